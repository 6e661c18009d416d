"""What a search makes of what Tune tells it, on a real database; Tune itself is simulated."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from nas.architecture.architecture import Architecture
from nas.errors import StorageError
from nas.execution.gpu_sharing import Slot
from nas.execution.report import Report
from nas.pareto import left_out, pareto
from nas.searches.early_stopping import Rungs
from nas.searches.progress import EndedTrial, Progress, describe
from nas.searches.seed_points import SeedPoint
from nas.space.space import Space
from nas.store import Store, connection, retry
from tests.postgres import PostgresServer
from tests.searches.simulated import (
    INPUT,
    Config,
    SimulatedTune,
    epoch,
    learns,
    quality,
    report,
    run,
)

pytestmark = pytest.mark.usefixtures("studies")


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Watch(Progress):
    def __init__(self) -> None:
        self.trials: list[EndedTrial] = []

    def finished(self, trial: EndedTrial, running: int) -> None:
        self.trials.append(trial)


def test_a_network_that_any_study_has_trained_is_not_trained_again(store: Store, space_file: Path) -> None:
    first = run(store, space_file, trials=20)
    assert len(first.configs) == 20
    watch = Watch()
    second = run(store, space_file, "other", trials=36, progress=watch)
    assert len(second.configs) == 16  # the space has 36 networks
    ours = store.trials("other").set_index("hash")
    theirs = store.trials("tiny").set_index("hash")
    cached = ours[ours["source"].notna()]
    assert len(cached) == 20
    assert set(cached["state"]) == {"complete"}
    assert cached["seconds"].sum() == 0
    assert cached["accuracy"].to_dict() == theirs["accuracy"].to_dict()
    assert cached["source"].to_dict() == theirs["id"].to_dict()
    assert sum(trial.source is not None for trial in watch.trials) == 20
    assert len(store.epochs("other")) == 3 * 36
    # the sampler knows them all: nothing is left to propose
    assert second.proposer.propose() is None
    # and the third study refers to those that were trained, not to copies
    run(store, space_file, "third", trials=36)
    trained = set(store.trials("tiny")["id"]) | set(ours[ours["source"].isna()]["id"])
    assert set(store.trials("third")["source"]) == trained


def test_the_cache_can_be_switched_off(store: Store, space_file: Path) -> None:
    run(store, space_file, trials=5)
    again = run(store, space_file, "other", trials=5, cache=False)
    assert len(again.configs) == 5
    assert store.trials("other")["source"].isna().all()


def test_only_complete_trials_are_taken_over(store: Store, space_file: Path) -> None:
    def fails(config: Config) -> Iterator[Report]:
        yield report(None, "failed", "RuntimeError: no")

    run(store, space_file, trials=4, worker=fails)
    assert len(run(store, space_file, "other", trials=4).configs) == 4


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.05)


@pytest.mark.usefixtures("_quick")
def test_a_database_that_is_locked_now_and_then_loses_nothing(store: Store, storage: str, space_file: Path) -> None:
    """Another process holds the lock for most of the time."""
    over = threading.Event()

    def lock() -> None:
        other = sqlite3.connect(storage.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
        while not over.is_set():
            other.execute("BEGIN IMMEDIATE")
            time.sleep(0.3)
            other.execute("ROLLBACK")
            time.sleep(0.1)
        other.close()

    thread = threading.Thread(target=lock, daemon=True)
    notes: list[str] = []
    with Store.open(storage, create=True) as waiting:  # connections with the short timeout
        waiting.patience.notify = notes.append
        thread.start()
        try:
            run(waiting, space_file, trials=8)
        finally:
            over.set()
            thread.join(10)
    assert notes
    trials = store.trials("tiny")
    assert trials["state"].tolist() == ["complete"] * 8
    assert trials["hash"].nunique() == 8
    assert len(store.epochs("tiny")) == 24
    assert store.running("tiny") == 0


@pytest.mark.usefixtures("_quick")
def test_a_database_that_stays_away_ends_the_search_and_the_same_again_goes_on(storage: str, space_file: Path) -> None:
    def locks(config: Config) -> Iterator[Report]:
        yield from learns(config)

    other = sqlite3.connect(storage.removeprefix("sqlite:///"), isolation_level=None)
    started: list[int] = []

    def trains(config: Config) -> Iterator[Report]:
        started.append(1)
        if len(started) == 4:
            other.execute("BEGIN IMMEDIATE")
        yield from learns(config)

    with Store.open(storage, create=True) as waiting:
        waiting.patience.seconds = 0.3
        with pytest.raises(StorageError, match="was locked by another process"):
            run(waiting, space_file, trials=8, worker=trains)
    other.execute("ROLLBACK")
    with Store.open(storage, create=True) as again:
        done = again.trials("tiny")
        assert 0 < (done["state"] == "complete").sum() < 8
        run(again, space_file, trials=8)
        after = again.trials("tiny")
        assert (after["state"] == "complete").sum() == 8
        assert set(done[done["state"] == "complete"]["hash"]) <= set(after["hash"])
        assert after[after["state"] == "complete"]["hash"].is_unique


@pytest.mark.usefixtures("_quick")
@pytest.mark.long
def test_a_server_that_is_restarted_in_a_search_costs_nothing(postgres: PostgresServer, space_file: Path) -> None:
    if not postgres.ours:
        pytest.skip("stops the server: only done to one of its own")
    epochs: list[int] = []

    def trains(config: Config) -> Iterator[Report]:
        for said in learns(config):
            epochs.append(1)
            if len(epochs) in (5, 15):
                postgres.stop()
                timer = threading.Timer(0.7, postgres.start)
                timer.daemon = True
                timer.start()
            yield said

    notes: list[str] = []
    address = postgres.database()
    with Store.open(address, create=True) as server:
        server.patience.notify = notes.append
        SimulatedTune(server, space_file)  # makes the study
        tune = run(server, space_file, trials=8, worker=trains)
        trials = server.trials("tiny")
        assert trials["state"].tolist() == ["complete"] * 8
        assert trials["hash"].is_unique
        assert len(tune.configs) == 8
        assert len(server.epochs("tiny")) == 24
    with Store.open(address) as server:
        study = optuna.load_study(study_name="tiny", storage=server.optuna_storage())
        assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 8
    assert len(notes) == 2


def test_bad_trials_stop_early_and_seed_points_never(store: Store, space_file: Path) -> None:
    space = Space.load(space_file)
    worst = min(
        space.enumerate(),
        key=lambda assignment: quality(space.from_assignment(assignment, INPUT, 10)),
    )
    network = space.resolve(space.plan(worst), INPUT, 10)

    class Published:
        name = "published"

    seed = SeedPoint(Published(), worst, network, None)  # type: ignore[arg-type]
    rungs = Rungs(("accuracy",), 9, 1, 3)
    tune = run(store, space_file, "tiny", trials=36, rungs=rungs, epochs=9, seeds=[seed])
    trials = store.trials("tiny")
    stopped = trials[trials["state"] == "stopped_early"]
    complete = trials[trials["state"] == "complete"]
    assert len(stopped) + len(complete) == len(trials)
    assert 15 <= len(stopped) < 34
    called_back = trials[trials["trial"] >= 36]
    assert set(called_back["state"]) <= {"complete"}
    assert set(called_back["hash"]) <= set(stopped["hash"])
    assert set(stopped["epochs"]) == {1, 3}
    assert set(complete["epochs"]) == {9}
    assert network.architecture.hash in set(complete["hash"])  # the worst of all, but published
    assert stopped["reason"].str.fullmatch(r"\d+ of \d+ at epoch [13]").all()
    curves = store.epochs("tiny")
    assert set(curves[curves["trial"].isin(stopped["trial"])]["epoch"]) == {1, 2, 3}
    best = trials.loc[trials["accuracy"].idxmax()]
    assert best["state"] == "complete"
    # a sampler that cannot use a part of a training hears of a failure, never of a final value
    states = [trial.state.name for trial in tune.proposer._study.get_trials(deepcopy=False)]
    assert states.count("COMPLETE") == len(complete)


def test_a_stopped_trial_is_evaluated_in_full_when_another_study_wants_it(store: Store, space_file: Path) -> None:
    run(store, space_file, trials=36, rungs=Rungs(("accuracy",), 3, 1, 3))
    trials = store.trials("tiny")
    stopped = set(trials[trials["state"] == "stopped_early"]["hash"])
    stopped -= set(trials[trials["state"] == "complete"]["hash"])  # called back, and trained to its end
    assert stopped
    again = run(store, space_file, "other", trials=36).configs
    assert {config.network.hash for config in again} == stopped
    assert len(again) == len(stopped)


def test_what_a_stopped_trial_had_reached_comes_with_its_fidelity(
    store: Store, space_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = SimulatedTune(store, space_file, trials=36, rungs=Rungs(("accuracy",), 9, 1, 3), epochs=9)
    told: list[float] = []
    monkeypatch.setattr(tune.proposer, "finish", lambda proposal, accuracy, fidelity=1.0: told.append(fidelity))
    with store.claim("tiny"):
        tune.run()
    assert {round(fidelity, 3) for fidelity in told} == {0.111, 0.333, 1.0}


def test_the_end_of_a_search_interrupts_what_runs(store: Store, space_file: Path) -> None:
    def slow(config: Config) -> Iterator[Report]:
        yield report(epoch(1, 0.5))
        tune.stop.reason = "interrupted"
        yield report(epoch(2, 0.6))

    tune = SimulatedTune(store, space_file, worker=slow)
    with store.claim("tiny"):
        tune.run(workers=2)
    trials = store.trials("tiny")
    assert trials["state"].tolist() == ["interrupted"] * 2
    assert set(trials["reason"]) == {"interrupted"}
    assert trials["epochs"].min() >= 1


def test_only_what_came_far_enough_says_what_memory_it_needed(store: Store, space_file: Path) -> None:
    """A network that fails as it is built has held nothing yet, or what the network before it held."""

    class Packs:
        observed: list[int] = []

        def slot(self, architecture: Architecture) -> Slot:
            return Slot(0.0, None, 1000)

        def observe(self, predicted: int, peak: int) -> None:
            self.observed.append(peak)

    ends = iter([("failed", None), ("out_of_memory", None), ("failed", epoch(1, 0.5)), ("complete", epoch(1, 0.5))])

    def worker(config: Config) -> Iterator[Report]:
        state, values = next(ends)
        yield report(values, state, "why", peak_memory={"failed": 7, "out_of_memory": 8, "complete": 9}[state])

    tune = SimulatedTune(store, space_file, trials=4, worker=worker, packing=Packs())  # type: ignore[arg-type]
    with store.claim("tiny"):
        tune.run(workers=1)
    assert Packs.observed == [8, 7, 9]


def _hashes(tune: SimulatedTune) -> list[str]:
    return [config.network.hash for config in tune.configs]


def test_a_stopped_trial_that_would_be_on_the_front_is_trained_to_its_end(store: Store, space_file: Path) -> None:
    """Rungs look at the accuracy alone, so that they stop what is cheap."""
    notes = Notes()
    tune = run(store, space_file, trials=36, rungs=Rungs(("accuracy",), 9, 1, 3), epochs=9, progress=notes)
    trials = store.trials("tiny")
    objectives = ("accuracy", "parameters")
    stopped = trials[trials["state"] == "stopped_early"]
    again = trials[trials["trial"] >= 36]
    assert len(again) >= 1
    assert set(again["state"]) == {"complete"}  # whatever the rungs say of it now
    assert set(again["epochs"]) == {9}
    assert set(again["hash"]) <= set(stopped["hash"])
    assert again["hash"].is_unique
    assert left_out(trials, objectives).empty
    assert len(tune.configs) == len(trials) == 36 + len(again)
    said = [note for note in notes.notes if "would be on the front: its network is trained to the end" in note]
    assert len(said) == len(again)
    # with what they have by now, those that stay stopped are beaten by somebody who was trained to the end
    front = pareto(trials, objectives)
    for row in stopped[~stopped["hash"].isin(again["hash"])].to_dict("records"):
        beats = (front["accuracy"] >= row["accuracy"]) & (front["parameters"] <= row["parameters"])
        assert beats.any()


def test_nobody_calls_back_what_had_learned_nothing(store: Store, space_file: Path) -> None:
    tune = run(store, space_file, trials=36, rungs=Rungs(("accuracy",), 9, 1, 3), epochs=9, chance=1.0)
    assert len(tune.configs) == 36
    stopped = store.trials("tiny")
    assert not left_out(stopped, ("accuracy", "parameters")).empty
    assert left_out(stopped, ("accuracy", "parameters"), chance=1.0).empty


def test_what_was_called_back_and_killed_is_called_back_by_the_nextrun(store: Store, space_file: Path) -> None:
    def killed(config: Config) -> Iterator[Report]:
        if len(tune.configs) <= 36:
            yield from learns(config)
            return
        yield report(epoch(1, 0.1))
        tune.stop.reason = "interrupted"
        yield report(epoch(2, 0.1))

    def rungs() -> Rungs:
        return Rungs(("accuracy",), 9, 1, 3)

    tune = SimulatedTune(store, space_file, trials=36, rungs=rungs(), epochs=9, worker=killed)
    with store.claim("tiny"):
        tune.run(workers=1)
    trials = store.trials("tiny")
    (lost,) = trials[trials["state"] == "interrupted"]["hash"]
    assert lost in set(left_out(trials, ("accuracy", "parameters"))["hash"])
    again = run(store, space_file, trials=36, rungs=rungs(), epochs=9)
    assert lost in _hashes(again)
    trials = store.trials("tiny")
    assert lost in set(trials[trials["state"] == "complete"]["hash"])
    assert left_out(trials, ("accuracy", "parameters")).empty
    assert not run(store, space_file, trials=36, rungs=rungs(), epochs=9).configs


def test_a_search_whose_time_is_up_calls_nobody_back(store: Store, space_file: Path) -> None:
    def ends(config: Config) -> Iterator[Report]:
        if len(tune.configs) == 36:
            tune.stop.reason = "time is up"
        yield from learns(config)

    tune = SimulatedTune(store, space_file, trials=36, rungs=Rungs(("accuracy",), 9, 1, 3), epochs=9, worker=ends)
    with store.claim("tiny"):
        tune.run(workers=1)
    assert len(tune.configs) == 36
    assert not left_out(store.trials("tiny"), ("accuracy", "parameters")).empty


def test_a_network_that_learned_nothing_is_untrained_and_the_sampler_hears_of_a_failure(
    store: Store, space_file: Path
) -> None:
    reason = "accuracy 10.1% is not above chance: the commonest class alone gives 10.1%"
    number = iter(range(100))

    def learns_nothing(config: Config) -> Iterator[Report]:
        if next(number) % 2:
            yield report(epoch(1, 0.101), "untrained", reason)
        else:
            yield report(epoch(1, 0.5), "complete")

    watch = Watch()
    tune = run(store, space_file, trials=8, worker=learns_nothing, epochs=1, progress=watch)
    trials = store.trials("tiny")
    assert sorted(trials["state"]) == ["complete"] * 4 + ["untrained"] * 4
    bad = trials[trials["state"] == "untrained"]
    assert set(bad["reason"]) == {reason}
    assert set(bad["accuracy"]) == {0.101}  # kept, but no member of a front
    assert not set(bad["trial"]) & set(store.front("tiny")["trial"])
    states = [trial.state.name for trial in tune.proposer._study.get_trials(deepcopy=False)]
    assert states.count("COMPLETE") == 4  # what is untrained has no value for it
    assert describe(watch.trials[1], 358) == (
        f"trial 1: untrained, 10.1 ± 1.6 %, {watch.trials[1].cost.parameters:,} parameters: {reason}"
    )
    # another study does not take such a result over
    assert len(run(store, space_file, "other", trials=8, epochs=1).configs) == 4


def test_as_many_run_as_may_and_digits_that_tune_draws_again_cost_nothing(store: Store, space_file: Path) -> None:
    tune = SimulatedTune(store, space_file, trials=3)
    tune.searcher.concurrent = 2
    with store.claim("tiny"):
        assert isinstance(tune.searcher.suggest("0a"), dict)
        assert tune.searcher.suggest("0a") is None  # Tune itself ends the run here
        assert isinstance(tune.searcher.suggest("0b"), dict)
        assert tune.searcher.suggest("0c") is None  # two run
        tune.searcher.on_trial_complete("0a", {"report": report(epoch(3, 0.5), "complete").to_json()})
        assert isinstance(tune.searcher.suggest("0c"), dict)
        tune.searcher.close()
    assert len(store.trials("tiny")["hash"].unique()) == 3
