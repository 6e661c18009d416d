"""Axes of plots: from data to the unit interval, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from nas.text.formatting import tick

Ticks = list[tuple[float, str]]


@dataclass(frozen=True)
class Axis:
    """From data to the unit interval, and the ticks."""

    low: float
    high: float
    label: str
    log: bool = False
    ticks: Ticks = field(default_factory=list)

    def at(self, value: float) -> float:
        """Where a value lies: 0 at `low`, 1 at `high`."""
        if self.log:
            return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (value - self.low) / (self.high - self.low)


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
    step = _step((high - low) / 5, (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10))
    if whole:
        step = max(step, 1.0)
    first = math.ceil(low / step - 1e-9)
    marks = [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]
    digits = next(n for n in range(12) if math.isclose(round(step, n), step, rel_tol=1e-6))
    return Axis(low, high, label, False, [(mark, f"{mark:,.{digits}f}{unit}") for mark in marks])


def logarithmic(values: Sequence[float], label: str) -> Axis:
    """A logarithmic axis for these values, with ticks at 1, 2 and 5 where there is room."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max((high - low) * 0.05, 0.04)
    low, high = low - room, high + room
    decades = high - low
    factors = (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 3.2 else (1,)
    if decades < 0.5:
        inner = linear([10**low, 10**high], label, margin=0)
        return Axis(10**low, 10**high, label, True, [(mark, tick(mark)) for mark, _ in inner.ticks])
    marks = [
        float(factor * 10**power)
        for power in range(math.floor(low), math.ceil(high) + 1)
        for factor in factors
        if low <= math.log10(factor * 10**power) <= high
    ]
    return Axis(10**low, 10**high, label, True, [(mark, tick(mark)) for mark in marks])


def _step(rough: float, factors: Sequence[float]) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in factors if factor * power >= rough * 0.999)
