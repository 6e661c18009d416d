"""Axes of plots: from data to the unit interval, with round ticks, at several zooms.

What may stand on the axis of accuracies, and on which scale, is decided here for every output: see `metric_axis`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

from nas.objectives import Objective
from nas.text.formatting import tick, words

Ticks = list[tuple[float, str]]
Scale = Literal["linear", "percent", "log", "error"]
"""How values become lengths, and their ticks text: `percent` is linear, `error` the logarithm of 1 − value; of both the
values are in [0, 1].
"""

CROWDED: Final = 0.1
"""A front of which half has errors up to this crowds at the top of a linear axis."""
APART: Final = 3.0
"""Times the smallest error of a front that the largest must be for a logarithmic scale to tell more."""
TESTED: Final = ": ● validation  ◆ test"
"""Behind the label of an axis on which both are."""
ZOOMS: Final = (3, 9, 27)
"""Into so many parts an axis is cut for its finer ticks."""


@dataclass(frozen=True)
class Axis:
    """From data to the unit interval, and the ticks."""

    low: float
    high: float
    label: str
    scale: Scale = "linear"
    ticks: Ticks = field(default_factory=list)
    least: float = 0.0
    """The smallest error that the scale of errors tells from zero."""
    zero: bool = False
    """Whether an error of zero stands there, in the place of `least`."""

    def at(self, value: float) -> float:
        """Where a value lies: 0 at `low`, 1 at `high`."""
        if self.scale == "error":
            value = min(value, 1 - self.least)
        low, high = self._even(self.low), self._even(self.high)
        return (self._even(value) - low) / (high - low)

    def zooms(self) -> list[Ticks]:
        """The ticks, and finer ones for who looks closer: each list has as many again in every part of the axis."""
        low, high = self._even(self.low), self._even(self.high)
        found = [self.ticks]
        for parts in ZOOMS:
            ends = [self._value(low + part / parts * (high - low)) for part in range(parts + 1)]
            marks = {f"{mark:.9g}": (mark, text) for pair in pairwise(ends) for mark, text in self._between(*pair)}
            found.append(sorted(marks.values()))
        return found

    def _even(self, value: float) -> float:
        """On a scale whose equal steps are equal lengths."""
        return math.log10(value) if self.scale == "log" else -math.log10(1 - value) if self.scale == "error" else value

    def _value(self, even: float) -> float:
        return 10**even if self.scale == "log" else 1 - 10**-even if self.scale == "error" else even

    def _between(self, low: float, high: float) -> Ticks:
        if self.scale == "error":
            return _errors(1 - high, 1 - low, self.least if self.zero else 0.0)
        if self.scale == "percent":
            return _percents(low, high)
        return _powers(low, high) if self.scale == "log" else _round(low, high)


def linear(
    values: Sequence[float],
    label: str,
    *,
    unit: str = "",
    margin: float = 0.05,
    floor: float | None = None,
    whole: bool = False,
) -> Axis:
    """An axis for these values with round ticks, `whole` ones for what is counted. `unit` is written behind each tick."""
    low, high = min(values), max(values)
    room = max((high - low) * margin, abs(high) * 1e-3, 1e-9)
    low, high = low - room, high + room
    if floor is not None:
        low = max(low, floor)
    return Axis(low, high, label, ticks=_round(low, high, unit, whole=whole))


def logarithmic(values: Sequence[float], label: str) -> Axis:
    """A logarithmic axis for these values, with ticks at 1, 2 and 5 where there is room."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max((high - low) * 0.05, 0.04)
    low, high = 10 ** (low - room), 10 ** (high + room)
    return Axis(low, high, label, "log", _powers(low, high))


def metric_axis(
    metric: Objective,
    members: Sequence[float],
    others: Sequence[float] = (),
    bars: Sequence[float] = (),
    *,
    tested: bool = False,
) -> Axis:
    """The axis on which values of a metric that networks are chosen by have room: `share_axis` where they are shares of which more
    is better, else the scale of its row.
    """
    if metric.is_share and metric.is_maximized:
        return share_axis(members, others, bars, tested=tested, name=words(metric.name))
    label = f"{words(metric.name)}{TESTED}" if tested else f"validation {words(metric.name)}"
    shown = [*members, *others, *bars]
    if metric.scale == "logarithmic":
        return logarithmic([metric.on_axis(value) for value in shown], label)
    return linear(shown, label)


def share_axis(
    members: Sequence[float],
    others: Sequence[float] = (),
    bars: Sequence[float] = (),
    *,
    tested: bool = False,
    name: str = "accuracy",
) -> Axis:
    """The axis on which shares in [0, 1] of the `members` of a front, of `others` and the ends of error bars have room.

    It shows the error, 1 − accuracy, on a logarithmic scale where accuracies crowd near the top: where at least half of the
    members have an error of at most `CROWDED`, and the largest error of a member is at least `APART` times the smallest. There
    the ratio of errors tells networks apart: from 99.8 to 99.9 % half of the errors go away, as they do from 98 to 99 %. In all
    other cases, such as weak networks, a single one, or equal ones, it shows the accuracy on a linear scale.

    An error of zero has no logarithm: it counts as half of the smallest other one, and its tick says 0 %.
    """
    shown = [*members, *others]
    errors = [max(round(1 - value, 9), 0.0) for value in shown]
    least = min((error for error in errors if error > 0), default=0.0) / 2
    own = sorted(max(error, least) for error in errors[: len(members)])
    if least and own and own[(len(own) - 1) // 2] <= CROWDED and own[-1] >= APART * own[0]:
        ends = [max(1 - value, least) for value in (*shown, *bars)]
        room = (max(ends) / min(ends)) ** 0.06
        low, high = min(ends) / room, min(max(ends) * room, 1.0)
        zero = min(errors) == 0
        word = "error" if name == "accuracy" else f"1 − {name}"
        label = f"{word}, log scale{TESTED}" if tested else f"validation error (1 − {name}), log scale"
        return Axis(1 - high, 1 - low, label, "error", _errors(low, high, least if zero else 0.0), least, zero)
    low, high = min([*shown, *bars]), max([*shown, *bars])
    room = max(0.08 * (high - low), 0.005)
    low, high = max(low - room, -room / 2), min(high + room, 1 + room / 2)
    label = f"{name}{TESTED}" if tested else f"validation {name}"
    return Axis(low, high, label, "percent", _percents(low, high))


def _errors(low: float, high: float, zero: float) -> Ticks:
    """An axis of errors between these two, by their accuracies; `zero` is where an error of zero stands, if there is one."""
    found = [(1 - error, f"{100 * error:.6g} %") for error, _ in _powers(low, high) if error > 1.6 * zero]
    return [*found, (1 - zero, "0 %")] if low <= zero <= high and zero else found


def _percents(low: float, high: float) -> Ticks:
    """Between these two, as far as accuracies go: an axis has room below 0 and above 1."""
    low, high = max(low, 0.0), min(high, 1.0)
    return [(mark / 100, text) for mark, text in _round(100 * low, 100 * high, " %")] if low < high else []


def _powers(low: float, high: float) -> Ticks:
    """At 1, 2 and 5 times powers of ten, where these are far enough apart; else as on a linear scale."""
    decades = math.log10(high / low)
    if decades < 0.5:
        return [(mark, tick(mark)) for mark, _ in _round(low, high)]
    factors = (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 3.2 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [float(factor * 10.0**power) for power in powers for factor in factors]
    return [(mark, tick(mark)) for mark in marks if low <= mark <= high]


def _round(low: float, high: float, unit: str = "", *, whole: bool = False) -> Ticks:
    step = _step((high - low) / 5, (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10))
    if whole:
        step = max(step, 1.0)
    first = math.ceil(low / step - 1e-9)
    marks = [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
    digits = next(n for n in range(12) if math.isclose(round(step, n), step, rel_tol=1e-6))
    return [(mark, f"{mark:,.{digits}f}{unit}") for mark in marks]


def _step(rough: float, factors: Sequence[float]) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in factors if factor * power >= rough * 0.999)
