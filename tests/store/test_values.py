"""Values of trials by the names of objectives; databases from before they were stored so."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest

from nas.architecture.cost import cost
from nas.errors import StorageError
from nas.objectives import OBJECTIVES, Objective, register_objective
from nas.space.space import Space
from nas.store import Reading, Store, TrialResult
from tests.store.filling import INPUT, curve, draw, finish, make_study

OLDER = {version: Path(__file__).parent / f"version_{version}.sql" for version in (2, 3)}
"""Written by nas at that table version: `nas search --space small.yaml --trials 3 --epochs 2 --objectives accuracy,latency`, and
a latency."""

NODES = Objective("nodes", "minimize", "exact", (1, 1e3), form="grouped", count=lambda network, *_: len(network.nodes))
ENERGY = Objective("energy", "minimize", "measured", (1e-3, 1e3), unit="mJ")
RECALL = Objective("recall", "maximize", "learned", (0.0, 1.0), "linear")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(OBJECTIVES)
    yield
    OBJECTIVES.clear()
    OBJECTIVES.update(before)


@pytest.fixture(params=OLDER)
def old(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> str:
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.executescript(OLDER[request.param].read_text())
    return url


@pytest.mark.parametrize("create", [False, True])
def test_latencies_of_an_older_database_are_values_and_readings(old: str, tmp_path: Path, create: bool) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as database:
        rows = database.execute("SELECT trial_id, milliseconds, low, runs FROM nas_latencies ORDER BY id").fetchall()
    with Store.open(old, create=create) as store:
        trials = store.trials("small-digits")
        assert dict(zip(trials["id"], trials["latency"], strict=True)) == {row[0]: row[1] for row in rows[:3]}
        assert list(store.front("small-digits")["trial"]) == [0, 2]
        first = store.readings(trials["hash"][0], "latency")
        assert [(one.settings, one.row) for one in first] == [
            ({"batch": 4, "threads": 1}, None),
            ({"batch": 1, "threads": 1}, 1),
        ]
        assert [(one.value, one.low, one.runs) for one in first] == [rows[3][1:], rows[0][1:]]
        assert {one.device for one in store.readings_of_study("small-digits", "latency")} == {"cpu: test CPU"}
    with sqlite3.connect(tmp_path / "nas.db") as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert "nas_latencies" not in tables
        assert database.execute("SELECT version FROM nas_schema").fetchall() == [(4,)]


def _filled(store: Store) -> None:
    for row in (NODES, ENERGY, RECALL):
        register_objective(row)
    make_study(store, objectives=["recall", "nodes", "energy"])
    rng, space = random.Random(0), Space.load("nas_bench_macro")
    with store.claim("first"):
        for number in range(4):
            assignment, options, architecture = draw(space, rng)
            given = {"assignment": assignment, "options": options, "architecture": architecture}
            trial = store.start_trial("first", **given, cost=cost(architecture, INPUT, 10))
            store.add_reading(Reading("energy", architecture.hash, INPUT, 10, "", {}, 2.0 + number, row=trial))
            points = [{**point, "others": {"recall": 0.1 * point["epoch"]}} for point in curve(0.5)]  # type: ignore[operator]
            finish(store, trial, 0.5, values={"recall": 0.9 - number / 10}, epochs=points)


def test_values_of_every_kind_are_stored_by_name_and_given_to_optuna(store: Store, url: str) -> None:
    _filled(store)
    trials = store.trials("first")
    assert list(trials["recall"]) == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert list(trials["energy"]) == [2.0, 3.0, 4.0, 5.0]
    assert [len(store.architecture(digest).nodes) for digest in trials["hash"]] == list(trials["nodes"])
    study = optuna.load_study(study_name="first", storage=url)
    assert [trial.values for trial in study.trials] == trials[["recall", "nodes", "energy"]].to_numpy().tolist()
    assert [way.name for way in study.directions] == ["MAXIMIZE", "MINIMIZE", "MINIMIZE"]
    assert study.trials[2].user_attrs["energy"] == 4.0
    second = store.curve(int(trials["id"][0]))[1]
    assert second == (2, {"accuracy": pytest.approx(1 / 3), "top5": 0.99, "loss": 1.05, "recall": 0.2})
    reached = store.accuracies("first", [2])
    assert list(reached["recall"]) == [0.2] * 4
    assert list(reached["energy"]) == [2.0, 3.0, 4.0, 5.0]


def test_a_process_that_registered_nothing_reads_them(store: Store, url: str) -> None:
    _filled(store)
    front = store.front("first")
    for name in ("nodes", "energy", "recall"):
        del OBJECTIVES[name]
    with Store.open(url) as again:
        assert again.study("first").objectives == ("recall", "nodes", "energy")
        assert OBJECTIVES["energy"] == ENERGY
        assert OBJECTIVES["nodes"].count is None
        pd.testing.assert_frame_equal(again.front("first"), front)
        assert [study["objectives"] for study in again.studies()] == [["recall", "nodes", "energy"]]


def test_a_network_that_another_study_trained_brings_its_values(store: Store) -> None:
    _filled(store)
    make_study(store, "second", objectives=["recall", "nodes"])
    row = store.trial("first", 1)
    past = store.find_result("second", row.hash)
    assert past is not None
    assert past.values["recall"] == pytest.approx(0.8)
    options = {name: (value,) for name, value in row.assignment.items()}
    architecture = store.architecture(row.hash)
    with store.claim("second"):
        trial = store.start_trial(
            "second",
            assignment=row.assignment,
            options=options,
            architecture=architecture,
            cost=cost(architecture, INPUT, 10),
        )
        store.take_over(trial, past)
    taken = store.trials("second").iloc[0]
    assert (taken["recall"], taken["nodes"]) == (pytest.approx(0.8), len(architecture.nodes))
    assert "energy" not in store.trials("second")  # measured for the other study
    assert store.delete_study("first") == 4
    assert store.curve(trial)[0][1]["recall"] == 0.1  # the learning curve came with it


def test_one_name_stands_for_one_objective_in_a_database(store: Store) -> None:
    _filled(store)
    register_objective(replace(ENERGY, direction="maximize"))
    with pytest.raises(StorageError, match="objective 'energy': the database has another one of that name"):
        make_study(store, "second", objectives=["accuracy", "energy"])


def test_a_complete_trial_has_what_it_was_to_learn(store: Store) -> None:
    register_objective(RECALL)
    make_study(store, objectives=["recall", "parameters"])
    rng = random.Random(0)
    with store.claim("first"):
        assignment, options, architecture = draw(Space.load("nas_bench_macro"), rng)
        trial = store.start_trial(
            "first",
            assignment=assignment,
            options=options,
            architecture=architecture,
            cost=cost(architecture, INPUT, 10),
        )
        with pytest.raises(ValueError, match="a complete trial has a finite recall, not None"):
            store.finish_trial(trial, "complete", TrialResult(values={"accuracy": 0.5}))
