"""Trials that are killed, by themselves or with their driver, go on from their checkpoints."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.config.recipe import Recipe
from nas.data import Dataset, Task, fraction_of, load
from nas.execution.checkpoint import Kept
from nas.execution.gpu_sharing import Slot
from nas.execution.report import Report
from nas.execution.runner import Runner
from nas.searches.options import SearchOptions
from nas.searches.progress import Progress
from nas.searches.trial_checkpoints import TrialCheckpoints, open_checkpoints
from nas.searches.trial_training import TrialSpec, TrialTraining
from nas.space.space import Space
from nas.store import Store
from nas.store.checkpoint_folders import NAME
from tests.searches.simulated import Config, SimulatedTune, epoch, quality, report
from tests.small_search import QUICK

CPU = torch.device("cpu")
RECIPE = QUICK.replace(epochs=3, batch_size=32)


class Killed(BaseException):
    """Nothing of ours is told when a process is killed."""


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return fraction_of(load(Task("digits", validation=0.25)), 0.1)


@pytest.fixture(scope="module")
def folded() -> Dataset:
    return fraction_of(load(Task("digits", validation=0.0, folds=2)), 0.1)


@dataclass
class Trial:
    """A trial of a tiny network, process after process."""

    dataset: Dataset
    spec: TrialSpec

    def process(self, kill_after: int | None = None) -> list[Report]:
        """What a process reports, that is killed after so many batches."""
        told: list[Report] = []
        with suppress(Killed):
            told.extend(self.reports(kill_after))
        return told

    def reports(self, kill_after: int | None = None) -> Iterator[Report]:
        """The same as they come. Raises Killed."""
        runner = Runner(CPU)
        training = TrialTraining(self.dataset, self.spec, CPU)
        if kill_after is not None:
            training._after_batch = _dies(training._after_batch, kill_after)  # type: ignore[method-assign]
        runner.assign(training, Slot(0.0))
        try:
            verdict = None
            while verdict is None:
                said = runner.step()
                verdict = said.verdict
                yield said
        finally:
            runner.close()


def _dies(after_batch: Callable[[], None], batches: int) -> Callable[[], None]:
    left = batches

    def dies() -> None:
        nonlocal left
        after_batch()
        left -= 1
        if left == 0:
            raise Killed

    return dies


@pytest.fixture
def spec(space_file: Path, tmp_path: Path) -> TrialSpec:
    space = Space.load(space_file)
    architecture = space.resolve(space.plan(space.sample(random.Random(0))), (1, 16, 16), 10).architecture
    kept = Kept(tmp_path / "kept" / "trial-1.checkpoint", {"recipe": "r"}, seconds=0.0)
    kept.path.parent.mkdir()
    return TrialSpec(architecture.to_json(), RECIPE, (1, 2, 3), kept, rungs=(1,))


def curve(reports: list[Report]) -> list[tuple[Any, ...]]:
    found = (report.epoch for report in reports if report.epoch is not None)
    return [(one.epoch, one.train_loss, one.loss, one.accuracy) for one in found]


@pytest.mark.parametrize("data", ["digits", pytest.param("folded", marks=pytest.mark.long)])
def test_a_trial_that_is_killed_again_and_again_ends_as_undisturbed(
    data: str, spec: TrialSpec, request: pytest.FixtureRequest
) -> None:
    dataset: Dataset = request.getfixturevalue(data)
    undisturbed = Trial(dataset, replace(spec, kept=None)).process()
    expected = curve(undisturbed)
    assert [number for number, *_ in expected] == [1, 2, 3]
    trial = Trial(dataset, spec)
    reports = [trial.process(kill_after) for kill_after in (3, 5, None)]
    assert all(begun[0].begun is not None for begun in reports if begun)
    *_, last = reports
    first = last[0].begun
    assert first is not None
    assert len(first.epochs) >= 1  # it did not begin at the start
    told = {point[0]: point for reported in reports for point in curve(reported)}
    assert [told[number] for number in sorted(told)] == expected
    assert last[-1].verdict is not None
    assert last[-1].verdict == undisturbed[-1].verdict
    assert {report.note for reported in reports for report in reported} == {""}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kills", [pytest.param(6, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("data", ["digits", "folded"])
def test_a_process_that_is_killed_again_and_again_ends_as_undisturbed(
    data: str, kills: int, spec: TrialSpec, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """SIGKILL at any instant, while the thread writes too."""
    dataset: Dataset = request.getfixturevalue(data)
    spec = replace(spec, recipe=RECIPE.replace(epochs=18), measured=(3, 6, 9, 12, 15, 18))
    expected = curve(Trial(dataset, replace(spec, kept=None)).process())
    told, rng = tmp_path / "told", random.Random(0)

    def process() -> None:
        for said in Trial(dataset, spec).reports():
            with told.open("a") as file:
                file.write(said.to_json() + "\n")

    assert spec.kept is not None
    for _ in range(kills):
        child, before = _fork(process), _moment(spec.kept.path)
        while _moment(spec.kept.path) == before:  # until it has come further
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended too soon"
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.waitpid(_fork(process), 0)
    reports = [Report.from_json(line) for line in told.read_text().splitlines()]
    found = {point[0]: point for point in curve(reports)}
    assert [found[number] for number in sorted(found)] == expected
    assert {report.note for report in reports} == {""}
    assert len(reports) < kills + 6 + 1  # a rung may be told again after each kill, and no more than that


def _fork(process: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            process()
        finally:
            os._exit(0)
    return child


def _moment(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def test_what_a_rung_has_is_on_the_disk_before_it_is_reported(digits: Dataset, spec: TrialSpec) -> None:
    assert spec.kept is not None
    patient = replace(spec, kept=replace(spec.kept, seconds=1e9))
    runner = Runner(CPU)
    runner.assign(TrialTraining(digits, patient, CPU), Slot(0.0))
    rung = runner.step()
    assert rung.saved
    assert rung.epoch is not None
    assert patient.kept is not None
    assert patient.kept.path.is_file()
    again = Trial(digits, patient).process()  # nobody heard of the rung: it is reported once more
    assert curve(again)[0] == curve([rung])[0]
    assert [point[0] for point in curve(again)] == [1, 2, 3]
    runner.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"identity": {"recipe": "other"}}, "trial-1.checkpoint: of another recipe; its trial begins at the start"),
        ({}, "no checkpoint that can be read"),
    ],
)
def test_a_checkpoint_that_is_of_no_use_costs_a_line(
    digits: Dataset, spec: TrialSpec, change: dict[str, Any], says: str
) -> None:
    assert spec.kept is not None
    expected = curve(Trial(digits, replace(spec, kept=None)).process())
    Trial(digits, spec).process(kill_after=6)
    if not change:
        spec.kept.path.write_bytes(spec.kept.path.read_bytes()[:-100])
    other = Trial(digits, replace(spec, kept=replace(spec.kept, **change))).process()
    assert says in other[0].note
    assert "begins at the start" in other[0].note
    assert other[0].begun is not None
    assert other[0].begun.epochs == ()
    assert curve(other) == expected
    assert [report.note for report in other[1:]] == ["", ""]


def test_the_checkpoint_of_another_network_does_not_stop_a_trial(
    digits: Dataset, spec: TrialSpec, space_file: Path
) -> None:
    assert spec.kept is not None
    Trial(digits, spec).process(kill_after=6)
    state = torch.load(spec.kept.path, weights_only=True)
    del state["trainer"]["model"]
    torch.save(state, spec.kept.path)
    reports = Trial(digits, spec).process()
    assert "does not fit (KeyError: 'model'); its trial begins at the start" in reports[0].note
    assert [point[0] for point in curve(reports)] == [1, 2, 3]


def test_a_folder_that_is_not_there_on_a_machine_costs_the_checkpoint_alone(
    digits: Dataset, spec: TrialSpec, tmp_path: Path
) -> None:
    elsewhere = replace(spec, kept=Kept(tmp_path / "absent" / "trial-1.checkpoint", {}))
    reports = Trial(digits, elsewhere).process()
    assert "is not there on" in reports[0].note
    assert reports[-1].verdict is not None
    assert reports[-1].verdict.state == "complete"
    assert not any(report.saved for report in reports)


# The driver ----------------------------------------------------------------------------------------------------------


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Search:
    """Drivers of one study, one after the other, whose trials have their last epoch alone as a checkpoint."""

    def __init__(self, storage: str, space_file: Path, folder: Path) -> None:
        self.storage, self.space_file = storage, space_file
        self.checkpoints = TrialCheckpoints(folder, {})
        folder.mkdir()

        self.trained: Counter[str] = Counter()
        """Epochs of each network, in all processes."""

    def run(self, trials: int, die: int | None = None, workers: int = 2, **options: Any) -> SimulatedTune:
        """A driver that ends after so many reports."""
        reports = 0

        def trains(config: Config) -> Iterator[Report]:
            nonlocal reports
            assert config.spec.kept is not None
            path, epochs = config.spec.kept.path, config.spec.recipe.epochs
            done = int(path.read_text()) if path.exists() else 0
            for number in range(max(1, done), epochs + 1):  # the last one is reported once more
                if number > done:
                    self.trained[config.network.hash] += 1
                    path.write_text(str(number))
                accuracy = quality(config.network) * number / epochs
                yield report(epoch(number, accuracy), "complete" if number == epochs else None, saved=True)
                reports += 1
                if reports == die:
                    raise Killed

        with Store.open(self.storage, create=True) as store:
            if not store.has_study("tiny"):
                SimulatedTune(store, self.space_file, epochs=4)
            try:
                with store.claim("tiny", lambda row: True):
                    tune = SimulatedTune(
                        store,
                        self.space_file,
                        trials=trials,
                        epochs=4,
                        worker=trains,
                        checkpoints=self.checkpoints,
                        progress=Notes(),
                        **options,
                    )
                    tune.run(workers=workers)
            except Killed:
                pass
            tune.stop.check()
        return tune


@pytest.fixture
def searched(storage: str, space_file: Path, tmp_path: Path) -> Search:
    return Search(storage, space_file, tmp_path / "kept")


def test_trials_of_a_driver_that_ends_go_on_under_their_own_rows(searched: Search, storage: str) -> None:
    searched.run(6, die=7)
    with Store.open(storage) as store:
        paused = store.paused("tiny")
        assert len(paused) == 2
        assert store.running("tiny") == 0
        assert (store.trials("tiny")["state"] == "complete").all()
    after = searched.run(6)
    assert [config.network.hash for config in after.configs[:2]] == paused["hash"].tolist()
    with Store.open(storage) as store:
        trials = store.trials("tiny")
        assert trials["state"].tolist() == ["complete"] * 6
        assert trials["hash"].is_unique
        assert set(paused["id"]) < set(trials["id"])
        assert len(store.paused("tiny")) == 0
        epochs = store.epochs("tiny")
        assert len(epochs) == 24
        assert not epochs.duplicated(["trial", "epoch"]).any()
    assert not list(searched.checkpoints.folder.iterdir())  # a trial that has ended needs none


def test_without_checkpoints_what_was_paused_begins_again_in_a_row_of_its_own(
    searched: Search, storage: str, space_file: Path
) -> None:
    searched.run(6, die=7)
    with Store.open(storage) as store:
        paused = store.paused("tiny")
    with Store.open(storage, create=True) as store, store.claim("tiny", lambda row: False) as repaired:
        assert repaired.interrupted == 2
        tune = SimulatedTune(store, space_file, trials=6, epochs=4)
        tune.run()
        trials = store.trials("tiny")
    assert sorted(trials["state"]) == ["complete"] * 6 + ["interrupted"] * 2
    assert trials[trials["state"] == "interrupted"]["hash"].tolist() == paused["hash"].tolist()
    assert set(trials["hash"]) == set(trials[trials["state"] == "complete"]["hash"])


def test_what_nobody_needs_is_swept_and_nothing_else(tmp_path: Path) -> None:
    checkpoints = TrialCheckpoints(tmp_path / "study-1-x", {})
    checkpoints.folder.mkdir()
    ours = ["trial-1.checkpoint", "trial-12.checkpoint", ".trial-1.checkpoint.host-9.part"]
    for name in (*ours, "trial-x.checkpoint", "mine.txt"):
        (checkpoints.folder / name).touch()
    assert all(NAME.fullmatch(name) for name in ours)
    checkpoints.sweep([12])
    assert {path.name for path in checkpoints.folder.iterdir()} == {
        "trial-12.checkpoint",
        "trial-x.checkpoint",
        "mine.txt",
    }


def test_a_study_that_is_deleted_takes_its_checkpoints_along(store: Store, space_file: Path, tmp_path: Path) -> None:
    for name in ("tiny", "other"):
        SimulatedTune(store, space_file, study=name)
    options = SearchOptions(space_file, checkpoints=tmp_path / "kept")
    opened = {name: open_checkpoints(options, store, store.study(name), print) for name in ("tiny", "other")}
    folders = {name: one.folder for name, one in opened.items() if one is not None}
    for folder in folders.values():
        folder.mkdir(parents=True)
        (folder / "trial-1.checkpoint").touch()
    assert len(set(folders.values())) == 2
    store.rename_study("tiny", "renamed")
    store.delete_study("renamed")
    assert not folders["tiny"].exists()
    assert (folders["other"] / "trial-1.checkpoint").exists()


def test_where_checkpoints_lie(store: Store, space_file: Path, tmp_path: Path) -> None:
    SimulatedTune(store, space_file)
    study, notes = store.study("tiny"), list[str]()
    beside = open_checkpoints(SearchOptions(space_file), store, study, notes.append)
    assert beside is not None
    assert beside.folder.parent == tmp_path / "nas.db-checkpoints"
    assert notes == []
    assert open_checkpoints(SearchOptions(space_file, ray_address="auto"), store, study, notes.append) is None
    assert "with a cluster name a folder that all machines share, by --checkpoints" in notes[0]
    other = study.recipe.replace(lr=0.5)
    assert isinstance(other, Recipe)
    changed = open_checkpoints(SearchOptions(space_file), store, replace(study, recipe=other), notes.append)
    assert changed is not None
    assert {name for name, value in changed.identity.items() if beside.identity[name] != value} == {"recipe"}
