"""What is seen of a front, before anything draws it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.front.png import draw
from nas.front.table import columns, front_records
from nas.front.view import FrontView, cost_text, subtitle_of, view_of
from nas.objectives import OBJECTIVES, Objective, register_objective
from nas.pareto import pareto
from nas.store import Store
from tests.front.frames import invented
from tests.store.filling import make_study

TWO = ("accuracy", "parameters")


def seen(accuracies: list[float], states: list[str] | None = None, **more: int) -> FrontView:
    trials = invented(len(accuracies), states=states)
    trials["accuracy"] = accuracies
    trials["parameters"] = [1000 * (number + 1) for number in range(len(accuracies))]
    return view_of(trials, TWO, title="t", **more)


def test_members_are_those_of_the_front_cheapest_first() -> None:
    trials = invented(80)
    view = view_of(trials, TWO, title="t")
    assert [one.trial for one in view.members] == pareto(trials, TWO)["trial"].tolist()
    assert view.best is not None
    assert view.best.values["accuracy"] == trials["accuracy"].max()
    (panel,) = view.panels
    assert panel.staircase == tuple((one.values["parameters"], one.values["accuracy"]) for one in view.members)


def test_the_staircase_of_one_of_two_costs_leaves_out_what_buys_nothing() -> None:
    trials = invented(30, seed=3)
    trials["macs"] = trials["macs"].to_numpy()[::-1]
    view = view_of(trials, ("accuracy", "parameters", "macs"), title="t")
    for panel in view.panels:
        assert 0 < len(panel.staircase) < len(view.members)
        assert list(panel.staircase) == sorted(panel.staircase)
        heights = [accuracy for _, accuracy in panel.staircase]
        assert heights == sorted(set(heights))


@pytest.fixture
def surplus() -> Iterator[Objective]:
    """A registered objective of which more is better, and which may be below zero."""
    row = Objective("surplus", "maximize", "measured", (-10.0, 10.0), "linear", label="surplus of one image", unit="J")
    register_objective(row)
    yield row
    del OBJECTIVES[row.name]


def test_an_objective_that_was_registered_is_in_picture_table_and_card(surplus: Objective) -> None:
    trials = invented(30, seed=3)
    trials["surplus"] = 2.0 - trials["accuracy"] * 3
    view = view_of(trials, ("accuracy", "surplus"), title="t")
    (panel,) = view.panels
    assert len(view.members) > 5
    assert min(one.values["surplus"] for one in view.members) < 0
    # Who gives away some of it gets accuracy for it: from the right to the left, upwards.
    assert panel.staircase == tuple(sorted(panel.staircase, reverse=True))
    assert [accuracy for _, accuracy in panel.staircase] == sorted(accuracy for _, accuracy in panel.staircase)
    assert len({panel.at(one) for one in view.members}) == len(view.members)
    assert all(0 < panel.at(one)[0] < 1 for one in view.members)
    (axes,) = draw(view).axes
    assert axes.get_xlabel() == "surplus of one image"
    (column,) = [column for column in columns(view) if column.name == "surplus"]
    assert list(column.cells) == [f"{one.values['surplus']:.3g}" for one in view.members]
    assert [record["surplus"] for record in front_records(view)] == [one.values["surplus"] for one in view.members]
    assert cost_text(view.members[0].values).endswith(f" · {view.members[0].values['surplus']:.3g} J")


@pytest.fixture
def iou() -> Iterator[Objective]:
    row = Objective("iou", "maximize", "learned", (0.0, 1.0), "linear")
    register_objective(row)
    yield row
    del OBJECTIVES[row.name]


def test_another_metric_takes_the_place_of_accuracy(iou: Objective) -> None:
    trials = invented(30, seed=3, states=["complete"] * 28 + ["stopped_early"] * 2)
    trials["iou"], trials["accuracy"] = trials["accuracy"], float("nan")
    view = view_of(trials, ("iou", "parameters"), title="t", images=300, classes=2)
    assert [one.trial for one in view.members] == pareto(trials, ("iou", "parameters"))["trial"].tolist()
    assert [column.name for column in columns(view)] == ["trial", "iou", "parameters", "MACs", "seconds", "hash"]
    first = front_records(view)[0]
    assert (first["accuracy"], first["standard_error"]) == (None, None)
    assert first["iou"] == view.members[0].values["iou"] > 0
    best = max(view.members, key=lambda one: one.values["iou"])
    number = f"{len(view.members)} of 28 complete networks on the front"
    assert view.counts == f"{number}, the best by iou: trial {best.trial} · 2 stopped early"
    (panel,) = view.panels
    assert (panel.metric, panel.y.label) == ("iou", "validation iou")
    draw(view)


def test_where_less_is_better_the_staircase_goes_down() -> None:
    trials = invented(30, seed=3)
    trials["log_loss"] = 3 - 2.5 * trials["accuracy"]
    view = view_of(trials, ("log_loss", "parameters"), title="t", images=300, classes=2)
    (panel,) = view.panels
    values = [value for _, value in panel.staircase]
    assert values == sorted(values, reverse=True)
    assert view.best is not None
    assert view.best.values["log_loss"] == trials["log_loss"].min() == values[-1]
    assert all(0 <= panel.at(one)[1] <= 1 for one in view.members)
    assert panel.at(view.best)[1] == min(panel.at(one)[1] for one in view.members)
    draw(view)


def test_untrained_networks_are_counted_and_change_no_axis() -> None:
    good = [0.7, 0.8, 0.85, 0.9]
    without, together = seen(good), seen([*good, 0.1, 0.1], ["complete"] * 4 + ["untrained"] * 2)
    assert together.panels[0].y == without.panels[0].y
    assert together.panels[0].x == without.panels[0].x
    assert together.counts == "4 of 4 complete networks on the front, the most accurate: trial 3 · 2 untrained"


def test_a_complete_network_at_chance_is_counted_and_changes_no_axis() -> None:
    """The cheapest network is on the front whatever it has learned."""
    view = seen([0.12, 0.9, 0.92, 0.94], images=358, classes=10)
    (panel,) = view.panels
    assert len(view.members) == 4
    assert panel.y.low > 0.8
    assert panel.note.startswith("1 network below ")
    assert [panel.has(one) for one in view.members] == [False, True, True, True]
    assert len(panel.staircase) == 3


def test_what_is_not_shown_is_said_in_the_words_of_the_axis() -> None:
    (panel,) = seen([0.1, 0.9, 0.99, 0.995, 0.999], images=358, classes=10).panels
    assert panel.y.scale == "error"
    assert re.fullmatch(r"1 network with an error above 1\d\.\d %, not shown", panel.note)


def test_a_network_that_was_stopped_at_chance_squeezes_nothing() -> None:
    view = seen([0.9, 0.92, 0.94, 0.1], ["complete"] * 3 + ["stopped_early"])
    assert view.panels[0].y.low > 0.8
    assert view.panels[0].below == 1
    assert "1 stopped early" in view.counts


@pytest.mark.parametrize("accuracies", [[0.1], [0.1, 0.1], [1.0], [0.5, 0.5, 0.5]])
def test_few_and_equal_networks_are_all_in_the_picture(accuracies: list[float]) -> None:
    view = seen(accuracies, images=358, classes=10)
    (panel,) = view.panels
    assert panel.below == 0
    for one in view.networks:
        assert all(0 < place < 1 for place in panel.at(one))


def test_a_network_that_was_called_back_is_shown_once() -> None:
    trials = invented(5, states=["complete"] * 3 + ["stopped_early"] * 2)
    trials.loc[3, "hash"] = trials.loc[0, "hash"]
    assert [one.trial for one in view_of(trials, TWO, title="t").stopped] == [4]


def test_the_line_below_the_title(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        make_study(store, task={"dataset": "digits", "input": [1, 32, 32], "classes": 10})
        assert subtitle_of(store.study("first")) == "space nas_bench_macro  ·  data digits 1×32×32  ·  3 epochs"
