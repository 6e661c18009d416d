"""Axes: which scale accuracies have, what their ticks say, and finer ticks for who looks closer."""

from __future__ import annotations

import pytest

from nas.front.axes import Axis, logarithmic, share_axis


def texts(axis: Axis) -> list[str]:
    return [text for _, text in axis.ticks]


@pytest.mark.parametrize(
    ("members", "scale"),
    [
        ([0.2, 0.45, 0.7, 0.9], "percent"),  # far from the top
        ([0.95, 0.97, 0.99, 0.999], "error"),
        ([0.682, 0.961, 0.989, 0.994], "error"),  # one weak member does not hide that the others crowd
        ([0.95, 0.999, 1.0], "error"),
        ([0.95, 0.955, 0.96], "percent"),  # a linear axis tells them apart
        ([0.97], "percent"),
        ([1.0], "percent"),
        ([0.97, 0.97, 0.97], "percent"),
        ([1.0, 1.0], "percent"),
        ([0.0], "percent"),
    ],
)
def test_the_scale_of_accuracies(members: list[float], scale: str) -> None:
    axis = share_axis(members)
    assert axis.scale == scale
    assert ("log scale" in axis.label) == (scale == "error")
    assert len(axis.ticks) >= 3
    assert all(0 < axis.at(value) < 1 for value in members)
    assert all(0 <= axis.at(value) <= 1 for value, _ in axis.ticks)
    assert sorted(members, key=axis.at) == sorted(members)  # better is higher on either
    assert all(0 <= float(text.removesuffix(" %")) <= 100 for text in texts(axis))


def test_where_accuracies_crowd_the_better_half_has_half_of_the_axis() -> None:
    axis = share_axis([0.9, 0.99, 0.999])
    assert axis.at(0.99) == pytest.approx(0.5)
    assert sorted(texts(axis), key=lambda text: float(text[:-2])) == ["0.1 %", "0.3 %", "1 %", "3 %", "10 %"]


def test_an_accuracy_of_one_has_a_place_and_a_tick() -> None:
    axis = share_axis([0.9, 0.98, 1.0])
    assert axis.at(0.98) < axis.at(1.0) < 1
    assert [text for value, text in axis.ticks if axis.at(value) == pytest.approx(axis.at(1.0))] == ["0 %"]


def test_an_error_bar_across_the_top_stays_in_the_picture_and_is_no_error_of_zero() -> None:
    axis = share_axis([0.9, 0.98, 0.995], [0.997], [0.99, 1.004], tested=True)
    assert 0 < axis.at(0.99) < axis.at(1.004) < 1
    assert "0 %" not in texts(axis)
    assert "◆ test" in axis.label


@pytest.mark.parametrize("members", [[1.0], [0.99, 1.0], [0.0], [1.0, 1.0, 1.0], [0.97, 0.98]])
def test_finer_ticks_of_an_axis_that_ends_at_no_error_or_at_nothing_right(members: list[float]) -> None:
    axis = share_axis(members)
    for ticks in axis.zooms():
        assert ticks
        assert all(0 <= value <= 1 and 0 <= axis.at(value) <= 1 for value, _ in ticks)


AXES = [logarithmic([2e4, 1e7], "parameters"), share_axis([0.9, 0.99, 0.999]), share_axis([0.3, 0.8])]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.scale)
def test_who_looks_closer_finds_finer_ticks(axis: Axis) -> None:
    levels = axis.zooms()
    assert levels[0] == axis.ticks
    for part in range(9):  # a window of a ninth, anywhere
        seen = [sum(part / 9 <= axis.at(value) <= (part + 1) / 9 for value, _ in ticks) for ticks in levels]
        assert max(seen) >= 3
    assert all(len({text for _, text in ticks}) == len(ticks) for ticks in levels[:2])
