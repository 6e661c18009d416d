"""What the numbers of a study say, on studies whose rule is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nas.analysis.blocks import block_records
from nas.analysis.causes import causes, significant
from nas.analysis.equal_cost import at_equal_cost
from nas.analysis.evidence import Evidence, kind_of_reason
from nas.analysis.importance import importances
from nas.analysis.rank_correlation import rank_correlation
from nas.analysis.trajectory import trajectory
from nas.pareto import hypervolume
from nas.space.choices import options_taken, role
from tests.planted import CULPRIT, GOOD, planted

COSTS = ("parameters",)


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return planted()


def test_copies_of_a_choice_are_one_role() -> None:
    assert role("rest.0.cells.12.transform.block") == "rest.*.cells.*.transform.block"
    assert role("stage1.rest.0.layer") == "stage1.rest.*.layer"
    assert role("merge.inputs.1") == "merge.inputs.*"
    taken = options_taken({"a.0.k": 3, "a.1.k": 5, "a.2.k": 3})
    assert taken == {"a.*.k": {3: 2, 5: 1}}


def test_reasons_without_their_numbers_are_equal() -> None:
    first = kind_of_reason("training loss is nan at iteration 11 of epoch 1")
    assert first == kind_of_reason("training loss is nan at iteration 3 of epoch 12") != kind_of_reason("loss is inf")
    assert kind_of_reason("loss 1.5e+21 at 3") == "loss … at …"


def test_the_planted_culprit_is_found_and_nothing_else_is_blamed(evidence: Evidence) -> None:
    found = causes(evidence)
    blamed = [cause for cause in found if significant(cause)]
    name = f"{CULPRIT[0]} = {CULPRIT[1]}"
    assert name in (blamed[0].name, *blamed[0].also)
    assert 0.3 < blamed[0].rate < 0.7
    assert blamed[0].interval[0] < blamed[0].rate < blamed[0].interval[1]
    assert blamed[0].other_rate == 0
    assert blamed[0].states == {"diverged": blamed[0].bad}
    assert blamed[0].reason == "training loss is nan at iteration … of epoch …"
    # Only what the culprit brings with it may be blamed too.
    assert {cause.name for cause in blamed[1:]} <= {"projection", "projection stride 2", "projection norm batch"}


def test_without_a_culprit_nothing_is_blamed() -> None:
    chance = planted(culprit=False)
    trials = chance.trials.copy()
    bad = np.random.default_rng(4).random(len(trials)) < 0.2
    trials.loc[bad, "state"] = "failed"
    found = causes(dataclasses.replace(chance, trials=trials))
    assert found
    assert not any(significant(cause) for cause in found)
    assert all(cause.q >= cause.p for cause in found)


def test_properties_of_the_same_trials_stand_together(evidence: Evidence) -> None:
    names = [name for cause in causes(evidence) for name in (cause.name, *cause.also)]
    assert len(names) == len(set(names))
    together = next(cause for cause in causes(evidence) if cause.name == f"{CULPRIT[0]} = {CULPRIT[1]}")
    assert any(name.startswith("projection channels") for name in together.also)


def test_accuracy_at_equal_cost_no_longer_follows_cost() -> None:
    complete = planted(good=False).complete
    found = at_equal_cost(complete, COSTS)
    assert found is not None
    cost = np.log10(complete["parameters"].to_numpy(float))
    assert np.corrcoef(cost, complete["accuracy"])[0, 1] > 0.7
    assert abs(np.corrcoef(cost, found.residual)[0, 1]) < 0.1
    assert found.explained > 0.5
    assert at_equal_cost(complete.head(5), COSTS) is None


def test_the_planted_choice_matters_most(evidence: Evidence) -> None:
    found = importances(evidence.complete, COSTS)
    assert found is not None
    assert found.roles[0].role == GOOD[0]
    assert found.predicted > 0.5
    assert found.roles[0].drop > 3 * found.roles[1].drop
    best = found.roles[0].effects[0]
    assert best.option == GOOD[1]
    assert best.mean - best.half > 0
    worst = found.roles[0].effects[-1]
    assert 7 < best.mean - worst.mean < 13


def test_noise_is_not_called_important() -> None:
    chance = planted(good=False, culprit=False)
    found = importances(chance.complete, COSTS)
    assert found is not None
    assert found.predicted < 0.1
    assert importances(chance.complete.head(10), COSTS) is None


def test_hypervolume_over_trials_is_that_of_the_front(evidence: Evidence) -> None:
    way = trajectory(evidence.trials, evidence.study.objectives)
    assert way.trials[0] == 0
    assert way.trials[-1] == len(evidence.trials)
    assert way.hypervolume[-1] == pytest.approx(hypervolume(evidence.trials, evidence.study.objectives))
    half = way.trials.index(70)
    assert way.hypervolume[half] == pytest.approx(hypervolume(evidence.trials.head(70), evidence.study.objectives))
    assert way.hypervolume == sorted(way.hypervolume)
    assert way.hours[-1] == pytest.approx(len(evidence.trials) * 2 / 3600)


def test_a_result_taken_over_costs_no_time(evidence: Evidence) -> None:
    trials = evidence.trials.copy()
    trials.loc[10:19, "source"] = 3
    way = trajectory(trials, evidence.study.objectives)
    assert way.hours[-1] == pytest.approx((len(trials) - 10) * 2 / 3600)


def test_late_epochs_rank_better_than_early_ones(evidence: Evidence) -> None:
    found = rank_correlation(evidence.epochs, evidence.complete)
    assert found is not None
    assert found.epochs == (1, 2, 3, 4)
    assert found.networks == len(evidence.complete)
    first, third = found.tau[0][3], found.tau[2][3]
    assert first is not None
    assert third is not None
    assert first < third
    assert found.tau[3][3] == pytest.approx(1)
    assert rank_correlation(evidence.epochs[evidence.epochs["epoch"] == 1], evidence.complete) is None


def test_blocks_count_who_has_them(evidence: Evidence) -> None:
    records = {record.block: record for record in block_records(evidence)}
    assert records["classifier"].share == 1
    assert records["classifier"].worth is None  # nothing is without it
    projection = records["projection"]
    assert projection.bad == int((evidence.trials["state"] == "diverged").sum())
    assert 0 < projection.share < 1
    assert projection.worth is not None
