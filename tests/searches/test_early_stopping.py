from __future__ import annotations

import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.analysis.rank_correlation import rank_correlations
from nas.architecture.cost import Cost
from nas.searches.early_stopping import Rungs, rung_epochs
from nas.train.evaluation import measured_epochs


@pytest.mark.parametrize(
    ("epochs", "first", "factor", "rungs"),
    [
        (20, 1, 3.0, (1, 2, 7)),
        (9, 1, 3.0, (1, 3)),
        (5, 2, 2.0, (2,)),
        (1, 1, 3.0, ()),
        (6, 1, 1.5, (1, 2, 3, 4)),
        (20, None, 3.0, (7,)),
        (100, None, 2.0, (25, 50)),
        (10, None, 1.2, (3, 4, 5, 6)),
        (10, 4, 3.0, ()),
    ],
)
def test_rungs_lie_below_the_full_training(
    epochs: int, first: int | None, factor: float, rungs: tuple[int, ...]
) -> None:
    assert rung_epochs(epochs, first, factor) == rungs


@given(st.integers(1, 1000), st.one_of(st.none(), st.integers(1, 1000)), st.floats(1.01, 20))
def test_no_rung_lies_in_the_last_third_or_before_the_first_that_may_be(
    epochs: int, first: int | None, factor: float
) -> None:
    rungs = rung_epochs(epochs, first, factor)
    assert list(rungs) == sorted(set(rungs))
    assert all(1 <= rung <= 2 * epochs / 3 and rung < epochs for rung in rungs)
    assert all(rung >= (epochs / 4 if first is None else first) for rung in rungs)
    measured = measured_epochs(epochs, rungs)
    assert {epochs, *rungs} <= measured <= set(range(1, epochs + 1))
    assert len(measured) <= len(rungs) + 9


def _cost(parameters: int) -> Cost:
    return Cost(parameters, 1, 1)


def test_the_best_third_goes_on() -> None:
    rungs = Rungs(("accuracy", "parameters"), 9, 1, 3)
    rng = random.Random(0)
    places = [rungs.enter(str(number), 1, rng.random(), _cost(rng.randrange(1000, 10**6))) for number in range(300)]
    goes_on = [place.goes_on for place in places if place is not None]
    assert len(goes_on) == 300
    assert goes_on[0]  # the first has nobody to lose against
    assert 80 <= sum(goes_on) <= 140


def test_a_cheap_network_need_not_be_accurate() -> None:
    rungs = Rungs(("accuracy", "parameters"), 9, 1, 3)
    for number in range(9):
        rungs.enter(str(number), 1, 0.9 + number / 100, _cost(10**6))
    cheap = rungs.enter("cheap", 1, 0.5, _cost(10**3))
    assert cheap is not None
    assert cheap.goes_on
    dominated = rungs.enter("bad", 1, 0.4, _cost(10**6))
    assert dominated is not None
    assert (dominated.rank, dominated.of, dominated.goes_on) == (11, 11, False)


def test_other_epochs_are_no_rungs_and_a_network_stands_once_at_a_rung() -> None:
    rungs = Rungs(("accuracy",), 9, 1, 3)
    assert rungs.enter("a", 2, 0.5, _cost(1)) is None
    assert rungs.enter("a", 1, float("nan"), _cost(1)) is None
    for accuracy in (0.5, 0.6):
        place = rungs.enter("a", 1, accuracy, _cost(1))
        assert place is not None
        assert place.of == 1


def test_rank_correlations_are_those_of_the_trials_that_reached_both() -> None:
    final = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    rows = [
        {"trial": trial, "epoch": epoch, "accuracy": value}
        for trial, last in enumerate(final)
        for epoch, value in ((1, -last), (3, last / 2), (9, last))
        if not (epoch == 9 and trial == 0)
    ]
    found = rank_correlations(pd.DataFrame(rows), [1, 3, 9, 27])
    assert [(pair["epoch"], pair["later"], pair["trials"], pair["tau"]) for pair in found] == [
        (1, 3, 6, -1.0),
        (1, 9, 5, -1.0),
        (3, 9, 5, 1.0),
    ]
    few = rank_correlations(pd.DataFrame(rows[:6]), [1, 3])
    assert few[0]["tau"] is None
    assert rank_correlations(pd.DataFrame({"trial": [], "epoch": [], "accuracy": []}), [1, 3]) == []


def test_what_an_earlier_run_brought_to_a_rung_counts_as_if_it_had_come_now() -> None:
    rng = random.Random(0)
    now, recalled = (Rungs(("accuracy", "parameters"), 9, 1, 3) for _ in range(2))
    rows = [
        {"hash": str(number), "epoch": epoch, "accuracy": rng.random(), "parameters": rng.randrange(1000, 10**6)}
        for number in range(30)
        for epoch in (1, 2, 3)
    ]
    for row in rows:
        now.enter(row["hash"], row["epoch"], row["accuracy"], _cost(row["parameters"]))
    frame = pd.DataFrame([*rows, {**rows[0], "hash": "lost", "accuracy": None}])
    recalled.recall(frame)
    for epoch in (1, 3):
        places = [rungs.enter("new", epoch, 0.7, _cost(5000)) for rungs in (now, recalled)]
        assert places[0] == places[1]
        assert places[0] is not None
        assert places[0].of == 31
