"""Trials that wait at a rung until they are worth more than a new one: on a real database, Tune is simulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas.architecture.cost import Cost
from nas.pareto import pareto
from nas.searches.early_stopping import Advised, Gain, Promoting, Promotion, Rungs
from nas.store import Store
from tests.searches.test_trial_checkpoints import Search

OBJECTIVES = ("accuracy", "parameters")


def rungs() -> Promotion:
    """After 1 and 2 of 4 epochs."""
    made = Promotion(OBJECTIVES, 4, 1, 2.0)
    assert made.epochs == (1, 2)
    return made


@pytest.fixture
def searched(storage: str, space_file: Path, tmp_path: Path) -> Search:
    return Search(storage, space_file, tmp_path / "kept")


def test_the_best_of_the_highest_rung_goes_on_once_enough_have_come_there() -> None:
    rung = rungs()
    assert isinstance(rung, Promoting)
    assert not isinstance(Rungs(OBJECTIVES, 4, 1, 2.0), Promoting)
    cost = Cost(1000, 1, 1)
    rung.enter("a", 1, 0.5, cost)
    assert rung.promote({"a": 1}) is None  # of one nobody knows whether it is good
    rung.enter("b", 1, 0.6, cost)
    assert rung.promote({"a": 1, "b": 1}) == "b"
    assert rung.promote({"a": 1}) is None
    for name, accuracy in (("c", 0.3), ("d", 0.2)):
        rung.enter(name, 1, accuracy, cost)
    assert rung.promote({"a": 1, "c": 1, "d": 1}) == "a"  # the second of four, which was the second of two
    for name in "ab":
        rung.enter(name, 2, 0.7, cost)
    assert rung.promote({"a": 2, "b": 2, "c": 1, "d": 1}) in {"a", "b"}
    assert rung.promote({"c": 1, "d": 1}) is None
    assert rung.promote({"elsewhere": 1}) is None


@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.long)])
def test_a_search_ends_with_whoever_would_be_on_the_front_trained_to_the_end(
    searched: Search, storage: str, workers: int
) -> None:
    searched.run(9, workers=workers, rungs=rungs())
    with Store.open(storage) as store:
        trials = store.trials("tiny")
        assert store.paused("tiny").empty
        assert store.running("tiny") == 0
        epochs = store.epochs("tiny")
    assert trials["hash"].is_unique  # what goes on has its row
    assert len(trials) == 9
    assert set(trials["state"]) == {"complete", "stopped_early"}
    assert set(trials.loc[trials["state"] == "stopped_early", "epochs"]) <= {1, 2}
    assert trials.loc[trials["state"] == "stopped_early", "reason"].str.match(r"\d+ of \d+ at epoch [12]").all()
    assert trials.loc[trials["state"] == "stopped_early", "seconds"].notna().all()
    # nobody who was stopped would be on the front with what it had
    seen = trials.assign(state="complete")
    assert set(pareto(seen, OBJECTIVES)["hash"]) <= set(trials.loc[trials["state"] == "complete", "hash"])
    # and nothing was trained twice
    assert searched.trained == dict(zip(trials["hash"], trials["epochs"], strict=True))
    assert not epochs.duplicated(["trial", "epoch"]).any()
    assert np.sum(trials["epochs"]) < 0.9 * 4 * 9
    assert not list(searched.checkpoints.folder.iterdir())


@pytest.mark.parametrize("die", [9, pytest.param(3, marks=pytest.mark.long)])
def test_drivers_that_end_lose_nothing_of_those_that_wait(searched: Search, storage: str, die: int) -> None:
    searched.run(8, die=die, rungs=rungs())
    with Store.open(storage) as store:
        waiting = store.paused("tiny")
        before = store.trials("tiny")
    assert len(waiting)
    searched.run(8, rungs=rungs())
    with Store.open(storage) as store:
        trials = store.trials("tiny")
    assert len(trials) == 8
    assert trials["hash"].is_unique
    assert set(waiting["id"]) | set(before["id"]) <= set(trials["id"])
    assert searched.trained == dict(zip(trials["hash"], trials["epochs"], strict=True))


@pytest.mark.long
def test_who_waits_goes_on_when_nobody_waits_any_more(searched: Search, storage: str) -> None:
    """The next run has no scheduler."""
    searched.run(12, die=11, rungs=rungs())
    searched.run(12)
    with Store.open(storage) as store:
        assert store.trials("tiny")["state"].tolist() == ["complete"] * 12


@pytest.mark.long
def test_a_trial_that_has_no_checkpoint_is_stopped(searched: Search, storage: str) -> None:
    searched.checkpoints.has = lambda row: False  # type: ignore[method-assign]
    searched.run(12, rungs=rungs())
    with Store.open(storage) as store:
        trials = store.trials("tiny")
        assert store.paused("tiny").empty
    assert len(trials) >= 12
    assert "stopped_early" in set(trials["state"])


def test_where_the_model_decides_no_step_is_lost_or_made_twice(searched: Search, storage: str) -> None:
    made = Gain(OBJECTIVES, 4, 1, 2.0)
    assert isinstance(made, Advised)
    assert not isinstance(rungs(), Advised)
    searched.run(12, rungs=made, sampler="pareto")
    with Store.open(storage) as store:
        trials = store.trials("tiny")
        assert store.paused("tiny").empty
    assert trials["hash"].is_unique
    assert {"complete"} <= set(trials["state"]) <= {"complete", "stopped_early"}
    assert searched.trained == dict(zip(trials["hash"], trials["epochs"], strict=True))
    seen = trials.assign(state="complete")
    assert set(pareto(seen, OBJECTIVES)["hash"]) <= set(trials.loc[trials["state"] == "complete", "hash"])
