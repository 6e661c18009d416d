"""Real searches: real Ray, real SQLite, real training on digits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import optuna
import pytest
from PIL import Image

import nas
import nas.space.space
import tests.failing  # noqa: F401 (registers the block that misbehaves)
from nas.config.recipe import Recipe
from nas.data import Task, load
from nas.errors import SearchError, StorageError
from nas.execution.session import STOP_SECONDS
from nas.searches.progress import Progress
from nas.searches.protocol import tell_protocol
from nas.searches.search import SearchResult
from nas.space.reader import SpaceFile, parse_space
from nas.store import Store
from tests.small_search import QUICK, SPACE, training_process

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A name of a socket in it is short enough for Linux."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def alone(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SearchResult]:
    """The database of a search by one worker, and what it found."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "tiny.yaml").write_text(SPACE)
    storage = f"sqlite:///{folder / 'nas.db'}"
    found = nas.search(folder / "tiny.yaml", storage=storage, trials=4, recipe=QUICK, max_concurrent=1)
    return folder / "nas.db", found


def test_a_search_finds_a_front_and_continues(
    alone: tuple[Path, SearchResult], space_file: Path, storage: str, tmp_path: Path
) -> None:
    database, first = alone
    shutil.copy(database, tmp_path / "nas.db")
    assert first.states == {"complete": 4}
    assert first.ended == "done"
    assert len(first.front) >= 1
    assert first.trials["hash"].nunique() == 4
    more = nas.search(space_file, storage=storage, trials=6, recipe=QUICK)
    assert sum(more.states.values()) == 6
    assert set(more.states) <= {"complete", "untrained"}
    assert list(more.trials["hash"][:4]) == list(first.trials["hash"])
    assert more.hypervolume >= first.hypervolume
    again = nas.search(space_file, storage=storage, trials=6, recipe=QUICK)
    assert len(again.trials) == 6

    # Optuna, and so its dashboard, sees the same
    study = optuna.load_study(study_name="tiny-digits", storage=storage)
    assert [trial.number for trial in study.trials] == list(more.trials["trial"])
    assert study.metric_names == ["accuracy", "parameters"]
    for trial, row in zip(study.trials, more.trials.to_dict("records"), strict=True):
        assert trial.values == ([row["accuracy"], row["parameters"]] if row["state"] == "complete" else None)
        assert trial.user_attrs["choices"] == row["assignment"]
        assert trial.params.keys() == study.trials[0].params.keys() >= {"depth (layers)", "width (channels)"}
        assert {"hash", "parameters", "macs", "state", "seconds", "device"} <= trial.user_attrs.keys()

    with Store.open(storage) as store:
        assert len(store.epochs("tiny-digits")) == 6

    with pytest.raises(SearchError, match="begun with epochs 1, not 2"):
        nas.search(space_file, storage=storage, trials=9, recipe=QUICK, epochs=2)
    with pytest.raises(SearchError, match="begun with image_size None, not 8; use the same options"):
        nas.search(space_file, storage=storage, trials=9, recipe=QUICK, image_size=8)
    other = space_file.with_name("other.yaml")
    other.write_text(space_file.read_text().replace("[4, 8, 16]", "[4, 8]"))
    with pytest.raises(SearchError, match="begun with another space"):
        nas.search(other, storage=storage, study="tiny-digits", trials=9, recipe=QUICK)
    with (
        pytest.raises(StorageError, match="no study 'tiny-digit'.*did you mean 'tiny-digits'"),
        Store.open(storage) as store,
    ):
        store.study("tiny-digit")


@pytest.mark.long
def test_what_goes_wrong_costs_one_trial(tmp_path: Path, storage: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad\ninput: [1, 16, 16]\ngraph:\n"
        "  stem: {block: conv, channels: 12, stride: 2}\n"
        "  trap: {block: misbehave, how: {choose: [not, raise, memory, nan, die]}}\n"
        "  head: {block: classifier, pool: flatten}\n"
    )
    notes = Notes()
    result = nas.search(path, storage=storage, trials=5, recipe=QUICK, max_concurrent=2, progress=notes)
    ended = {row["assignment"]["trap.how"]: (row["state"], row["reason"]) for row in result.trials.to_dict("records")}
    assert ended["not"][0] == "complete"
    assert ended["raise"] == ("failed", "RuntimeError: this block is broken")
    assert ended["memory"] == ("out_of_memory", "MemoryError (alone on its device)")
    assert ended["nan"] == ("diverged", "training loss is nan at iteration 1 of epoch 1")
    assert ended["die"][0] == "failed"
    assert "worker process died" in ended["die"][1]
    states = [trial.state.name for trial in optuna.load_study(study_name="bad-digits", storage=storage).trials]
    assert sorted(states) == ["COMPLETE", "FAIL", "FAIL", "FAIL", "FAIL"]
    more = nas.search(path, storage=storage, trials=50, recipe=QUICK, progress=notes)
    assert (more.ended, len(more.trials)) == ("exhausted", 5)
    assert "every architecture of bad inside the constraints has been evaluated" in notes.notes


def test_published_networks_start_first_and_those_that_do_not_fit_are_counted(storage: str) -> None:
    notes = Notes()
    result = nas.search(
        "attn_cnn",
        storage=storage,
        trials=1,
        steps=20,
        max_parameters=4_750_000,
        max_macs=6e7,
        max_concurrent=1,
        progress=notes,
    )
    (line,) = [note for note in notes.notes if note.startswith("published networks")]
    assert line.startswith("published networks that start the search: banbury_resnet8, 1 of ")
    assert " that fit; outside of parameters at most 4,750,000 and macs at most 60,000,000: " in line
    assert ", kong_aim_cam among them; no room in images of 1×16×16: " in line
    assert line.endswith(" (--seed-points all, auto or none)")
    assert list(result.trials["published"].dropna()) == ["banbury_resnet8"]


def test_time_ends_a_search(space_file: Path, storage: str) -> None:
    result = nas.search(space_file, storage=storage, trials=30, epochs=500, time="3s", max_concurrent=1)
    assert result.ended == "time is up"
    assert set(result.states) <= {"paused", "complete"}
    assert ("paused", "time is up") in _states(storage)  # the next run goes on with it


def test_one_worker_and_one_seed_make_the_same_decisions_and_read_each_file_once(
    alone: tuple[Path, SearchResult], space_file: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[Path] = []

    def parse(path: Path, text: str) -> SpaceFile:
        parsed.append(path)
        return parse_space(path, text)

    nas.space.space._read.cache_clear()
    monkeypatch.setattr(nas.space.space, "parse_space", parse)
    first = alone[1].trials
    again = nas.search(space_file, storage=storage, trials=4, recipe=QUICK, max_concurrent=1).trials
    assert list(first["hash"]) == list(again["hash"])
    assert list(first["accuracy"]) == list(again["accuracy"])
    assert {space_file, *parsed} > {space_file}, "the published networks have spaces too"
    assert len(parsed) == len(set(parsed))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials: must be at least 1, not 0"),
        ({"time": "soon"}, "time: must be like 90s, 30m or 1h30m, not 'soon'"),
        ({"objectives": ("acuracy", "macs")}, "no objective 'acuracy'; known: .*did you mean 'accuracy'"),
        ({"objectives": ("macs",)}, "accuracy must be one of them"),
        ({"sampler": "tpee"}, "no sampler 'tpee'.*did you mean 'tpe'"),
        (
            {"scheduler": "pareto_asha", "epochs": 4, "min_epochs": 4},
            "min_epochs: must be at most 1, not 4: .* of the 4 epochs",
        ),
        ({"cpus_per_trial": 10_000}, "cpus_per_trial: 10000 wanted, but Ray has"),
        ({"gpus_per_trial": 64}, "gpus_per_trial: must be at most 1, not 64"),
        ({"device": "cuda"}, "gpus_per_trial: 1 wanted, but Ray has 0"),
        ({"max_parameters": 3}, "meets the constraints: parameters at most 3"),
    ],
)
def test_options_that_cannot_be_met_are_refused(
    options: dict[str, object], message: str, space_file: Path, storage: str
) -> None:
    with pytest.raises(SearchError, match=message):
        nas.search(space_file, storage=storage, **options)


COMMAND = [sys.executable, "-m", "nas", "search", "--trials", "6", "--cpus-per-trial", "1", "--max-concurrent", "2"]


def _start(space_file: Path, storage: str, *more: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A search in a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, "--space", str(space_file), "--storage", storage, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=space_file.parent,
        env={**_environment(), "PYTHONPATH": str(Path(nas.__file__).parents[1]), "RAY_ADDRESS": "", **(env or {})},
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Without what Ray has decided for this process."""
    return {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}


def _states(storage: str) -> list[tuple[str, str | None]]:
    path = storage.removeprefix("sqlite:///")
    if not Path(path).exists():
        return []
    try:
        with sqlite3.connect(path) as connection:
            return connection.execute("select state, reason from nas_trials order by id").fetchall()
    except sqlite3.OperationalError:  # the tables are not there yet
        return []


def _wait(storage: str, state: str, process: subprocess.Popen[str]) -> None:
    for _ in range(2000):  # on a busy machine Ray alone takes a minute
        if any(found == state for found, _ in _states(storage)) or process.poll() is not None:
            return
        time.sleep(0.1)


@pytest.mark.slow
def test_ctrl_c_ends_in_good_order(space_file: Path, storage: str) -> None:
    process = _start(space_file, storage, "--epochs", "400")
    _wait(storage, "running", process)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert ("paused", "interrupted") in _states(storage)
    assert "running" not in {state for state, _ in _states(storage)}


@pytest.mark.slow
def test_a_worker_that_is_killed_is_lost_once_and_told_in_no_paragraph(space_file: Path, storage: str) -> None:
    """Its trial is trained again. Ray reports the death on standard output, where the result stands."""
    process = _start(space_file, storage, "--epochs", "60", "--trials", "2", "--max-concurrent", "1", "--json")
    worker = training_process(process)
    time.sleep(1)
    os.kill(worker, signal.SIGKILL)
    output, _ = process.communicate(timeout=250)
    assert process.returncode == 0, output
    assert sum(json.loads(output)["states"].values()) == 2
    assert "failed" not in {state for state, _ in _states(storage)}
    [lost] = [reason for _, reason in _states(storage) if reason and "died" in reason]
    assert "tried again; at first its worker process died (crashed, killed, or out of memory)" in lost


@pytest.mark.slow
def test_a_batch_system_that_ends_every_process_is_not_kept_waiting(space_file: Path, storage: str) -> None:
    process = _start(space_file, storage, "--epochs", "400")
    _wait(storage, "running", process)
    os.killpg(process.pid, signal.SIGTERM)  # Ray's own processes too: nobody is left to answer
    output, _ = process.communicate(timeout=STOP_SECONDS + 10)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    output, _ = _start(space_file, storage, "--epochs", "400", "--time", "1s").communicate(timeout=60)
    assert "Traceback" not in output
    assert "running" not in {state for state, _ in _states(storage)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_a_cluster_is_joined_by_its_address(space_file: Path, storage: str, short_folder: Path, mode: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", f"--port={port}", "--num-cpus=2"]
    environment = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": "0" * 64}
    head = subprocess.Popen(
        [*command, "--include-dashboard=false", "--block", f"--temp-dir={short_folder}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        for _ in range(300):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.2)
        join = ["--ray-address", f"127.0.0.1:{port}", "--epochs", "1"]
        if mode == "token":
            process = _start(space_file, storage, *join)
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 2
            assert output.splitlines()[-1].endswith("set RAY_AUTH_MODE=token")
        output, _ = _start(space_file, storage, *join, env=environment).communicate(timeout=120)
        states = [state for state, _ in _states(storage)]
        assert len(states) == 6, output
        assert set(states) <= {"complete", "untrained"}, output
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


@pytest.mark.slow
def test_a_killed_driver_is_continued_by_the_same_command(space_file: Path, storage: str) -> None:
    process = _start(space_file, storage, "--epochs", "20")
    _wait(storage, "complete", process)
    process.kill()
    process.communicate(timeout=60)
    before = [state for state, _ in _states(storage)].count("complete")
    again = _start(space_file, storage, "--epochs", "20")
    output, _ = again.communicate(timeout=250)
    assert again.returncode == 0, output
    states = [state for state, _ in _states(storage)]
    assert states.count("complete") == 6
    assert before >= 1
    assert "running" not in states


@pytest.mark.parametrize(("images", "warned"), [(3, True), (250, False)])
def test_few_images_of_a_class_are_said_to_tell_little(images: int, warned: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for place in range(images):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{place}.png")
    dataset = load(Task(f"imagefolder:{tmp_path}", validation=0.25))
    progress = Notes()
    tell_protocol(dataset, Recipe(), progress, named=True)
    fewest = min(np.bincount(dataset.measured_labels))
    line = f"of one class {fewest} images alone are measured on: small differences between networks are chance"
    assert any(line in note for note in progress.notes) == warned
