"""Drivers that are killed at any instant, run twice at once, or find no room: nothing finished is lost, nothing done twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest

from nas.errors import StorageError
from nas.store import Store
from tests.postgres import PostgresServer


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest, storage: str) -> str:
    """A new study database of each kind."""
    if request.param == "sqlite":
        return storage
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture(scope="module")
def drivers(repository: Path) -> Iterator[Callable[..., Any]]:
    """Asks the program `killed`."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.searches.killed"],
        cwd=repository,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def ask(storage: str, folder: Path, trials: int, how: str, number: int) -> Any:
            print(json.dumps([storage, str(folder), trials, how, number]), file=program.stdin, flush=True)
            return json.loads(program.stdout.readline())

        yield ask
        program.stdin.close()


@pytest.mark.parametrize(
    ("kills", "budget"), [pytest.param(6, 25, marks=pytest.mark.long), pytest.param(20, 70, marks=pytest.mark.slow)]
)
def test_kills_of_the_driver_lose_nothing_and_repeat_nothing(
    drivers: Callable[..., Any], database: str, tmp_path: Path, kills: int, budget: int
) -> None:
    seen = drivers(database, tmp_path, budget, "kill", kills)
    with Store.open(database) as store:
        trials = store.trials("tiny")
        assert store.running("tiny") == 0
        assert store.driver("tiny") is None
        epochs = store.epochs("tiny")
        study = optuna.load_study(study_name="tiny", storage=store.optuna_storage())
    shown = trials[["trial", "id", "hash", "state", "accuracy"]]
    rows = {row["id"]: row for row in json.loads(shown.to_json(orient="records", double_precision=15))}
    assert len(seen) == kills
    for after in seen:  # what had finished before a kill is still there, as it was
        for row in after:
            assert {name: rows[row["id"]][name] for name in row} == row
    counts = Counter(trials["state"])
    assert set(counts) == {"complete", "interrupted"}
    assert counts["complete"] == budget  # the budget counts once
    assert counts["interrupted"] >= kills - 3  # it was killed with trials under way
    complete = trials[trials["state"] == "complete"]
    assert complete["hash"].is_unique
    # an interrupted one is evaluated again, once
    assert set(trials["hash"]) == set(complete["hash"])
    evaluated = Counter((tmp_path / "evaluated").read_text().split())
    assert set(evaluated) == set(complete["hash"])
    # more than once only where the kill came before the row: at most one of each of three workers a kill
    assert sum(evaluated.values()) - len(evaluated) <= 3 * kills
    assert not epochs[epochs["trial"].notna()].duplicated(["trial", "epoch"]).any()
    assert (epochs[epochs["trial"].isin(complete["trial"])].groupby("trial").size() == 3).all()
    assert trials["trial"].tolist() == list(range(len(trials)))
    assert [trial.number for trial in study.trials] == trials["trial"].tolist()
    assert [trial.user_attrs["hash"] for trial in study.trials] == trials["hash"].tolist()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("kills", "budget"), [pytest.param(6, 25, marks=pytest.mark.long), pytest.param(20, 70, marks=pytest.mark.slow)]
)
def test_with_checkpoints_kills_cost_no_epoch_that_was_recorded(
    drivers: Callable[..., Any], storage: str, tmp_path: Path, kills: int, budget: int
) -> None:
    seen = drivers(storage, tmp_path, budget, "kept", kills)
    with Store.open(storage) as store:
        trials = store.trials("tiny")
        assert store.paused("tiny").empty
        assert store.running("tiny") == 0
        epochs = store.epochs("tiny")
        study = optuna.load_study(study_name="tiny", storage=store.optuna_storage())
    assert len(seen) == kills
    assert trials["state"].tolist() == ["complete"] * budget  # none was tried anew in another row
    assert trials["hash"].is_unique
    assert not epochs.duplicated(["trial", "epoch"]).any()
    assert (epochs.groupby("trial").size() == 3).all()
    assert [trial.number for trial in study.trials] == trials["trial"].tolist()
    trained = Counter((tmp_path / "trained").read_text().splitlines())
    assert len(trained) == 3 * budget
    # more than once only where the kill came between the training and its checkpoint: at most one of three workers a kill
    assert sum(trained.values()) - len(trained) <= kills
    assert not list((tmp_path / "kept").glob("*.checkpoint"))


@pytest.mark.long
def test_two_drivers_at_once_end_well_or_are_refused(
    drivers: Callable[..., Any], database: str, tmp_path: Path
) -> None:
    """Both begin at the same instant, on a study and (in the first round) on a database that do not exist yet."""
    ends = drivers(database, tmp_path, 6, "race", 3)
    assert len(ends) == 3
    for number, pair in enumerate(ends):
        study = f"round{number}"
        refused = [text for text in pair if text != "done"]
        assert len(refused) < 2, pair
        for text in refused:
            assert f"study '{study}': process" in text
            assert "is running it" in text
        with Store.open(database) as store:
            trials = store.trials(study)
            assert trials["state"].tolist() == ["complete"] * 6
            assert trials["hash"].is_unique
            assert store.running(study) == 0


def test_a_full_disk_ends_the_search_with_one_line_and_the_same_command_goes_on(
    drivers: Callable[..., Any], storage: str, tmp_path: Path
) -> None:
    first, second = drivers(storage, tmp_path, 40, "full", 400_000)
    assert "nothing finished is lost" in first
    assert "\n" not in first
    assert second == "done"
    with Store.open(storage) as store:
        trials = store.trials("tiny")
        assert (trials["state"] == "complete").sum() == 40
        assert trials[trials["state"] == "complete"]["hash"].is_unique
        assert set(trials["reason"].dropna()) <= {"the driver was killed", "the driver ended", "the search ended"}
        assert store.running("tiny") == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_the_command_itself(repository: Path, database: str, space_file: Path) -> None:
    """With Ray, worker processes and training: `nas search`, as a user types it."""
    kills, rng = (20, random.Random(0)) if database.startswith("sqlite") else (5, random.Random(1))
    command = [sys.executable, "-m", "nas", "search", "--space", str(space_file), "--storage", database]
    command += ["--trials", "30", "--epochs", "30", "--max-concurrent", "2"]
    environment = {**os.environ, "PYTHONPATH": str(repository), "RAY_ADDRESS": "", "OMP_NUM_THREADS": "1"}
    seen: list[pd.DataFrame] = []
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=space_file.parent, env=environment, stderr=subprocess.DEVNULL)
        before, deadline = len(_trials(database)), time.monotonic() + rng.uniform(2, 30)
        while time.monotonic() < deadline and len(_trials(database)) < before + 3:
            time.sleep(0.1)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.wait()
        seen.append(_trials(database))
    subprocess.run(command, cwd=space_file.parent, env=environment, timeout=600, check=True)
    trials = _trials(database)
    assert len(seen) == kills
    for after in seen:
        pd.testing.assert_frame_equal(trials[: len(after)], after, check_dtype=False)
    complete = trials[trials["state"] == "complete"]
    assert len(complete) == 30
    assert complete["hash"].is_unique
    assert set(trials["state"]) <= {"complete", "interrupted"}
    assert set(trials["hash"]) == set(complete["hash"])
    with Store.open(database) as store:
        assert store.running("tiny-digits") == 0


def _trials(database: str) -> pd.DataFrame:
    """Those that have finished."""
    columns = ["trial", "id", "hash", "state", "accuracy"]
    try:
        with Store.open(database) as store:
            if store.has_study("tiny-digits"):
                return store.trials("tiny-digits", assignments=False)[columns]
    except StorageError:  # killed before the tables were there
        pass
    return pd.DataFrame(columns=columns)


@pytest.mark.slow
def test_a_node_of_a_cluster_that_is_lost_costs_the_epochs_of_its_running_trials(
    repository: Path, space_file: Path, storage: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.execution.cluster", storage, str(space_file), "12", "20"],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=250,
        check=True,
    )
    said = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    assert said["lost"]
    assert said["ended"] == "done"
    restarts = [note for note in said["notes"] if note.startswith("its node was lost: the trial of network")]
    assert 1 <= len(restarts) <= 2  # the node had two CPUs
    with Store.open(storage) as store:
        trials = store.trials("tiny-digits")
        assert trials["state"].tolist() == ["complete"] * 12
        assert trials["hash"].is_unique
        assert set(trials["epochs"]) == {20}
        assert store.running("tiny-digits") == 0
