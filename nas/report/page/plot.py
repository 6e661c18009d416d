"""Plots as HTML and SVG that fit any width without becoming small: lines and dots stretch, letters and dots do not grow.

The SVG has the unit square as its coordinates (times 1000) and is stretched over the plot; strokes do not scale, and a
dot is a stroke of no length with a round end. Axes are HTML, placed in per cent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nas.report.page.markup import Child, Html, tag
from nas.text.formatting import tick

Ticks = list[tuple[float, str]]
UNIT: Final = 1000


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


@dataclass(frozen=True)
class Layer:
    """Points or lines of one look; `look` is a class of `page.css`."""

    look: str
    d: str


def dots(look: str, x: Axis, y: Axis, points: Sequence[tuple[float, float]]) -> Layer:
    """A dot each."""
    return Layer(f"dots {look}", "".join(f"M{_at(x, y, point)}h0" for point in points))


def line(look: str, x: Axis, y: Axis, *curves: Sequence[tuple[float, float]]) -> Layer:
    """A line through the points of each curve."""
    return Layer(
        f"line {look}",
        "".join("M" + "L".join(_at(x, y, point) for point in curve) for curve in curves if len(curve) > 1),
    )


def steps(look: str, x: Axis, y: Axis, points: Sequence[tuple[float, float]]) -> Layer:
    """A staircase: level up to the next point, then upright."""
    corners: list[tuple[float, float]] = []
    for point in points:
        if corners:
            corners.append((point[0], corners[-1][1]))
        corners.append(point)
    return line(look, x, y, corners)


def upright(look: str, x: Axis, y: Axis, bars: Sequence[tuple[float, float, float]]) -> Layer:
    """A bar from the second to the third value at the first."""
    return line(look, x, y, *([(at, low), (at, high)] for at, low, high in bars))


def diamonds(look: str, x: Axis, y: Axis, points: Sequence[tuple[float, float]]) -> list[Html]:
    """A diamond each, to be put into `extra` of a plot: strokes have no such end."""
    return [
        tag(
            "i",
            class_=f"diamond {look}",
            style=f"left:{100 * x.at(point[0]):.2f}%;top:{100 - 100 * y.at(point[1]):.2f}%",
        )
        for point in points
    ]


def plot(
    x: Axis, y: Axis, layers: Sequence[Layer], *, label: str, data: str | None = None, extra: Child = None
) -> Html:
    """The whole plot. `label` says for a screen reader what is seen, `data` names the hover texts of `page.js`."""
    grid = "".join(f"M0 {_y(y, mark)}H{UNIT}" for mark, _ in y.ticks)
    paths = [Html(f'<path class="grid" d="{grid}"/>')]
    paths += [Html(f'<path class="{layer.look}" d="{layer.d}"/>') for layer in layers if layer.d]
    svg = Html(f'<svg viewBox="0 0 {UNIT} {UNIT}" preserveAspectRatio="none" aria-hidden="true">{"".join(paths)}</svg>')
    area = tag(
        "div",
        svg,
        [tag("span", name, class_="yt", style=f"top:{100 - 100 * y.at(mark):.2f}%") for mark, name in y.ticks],
        [
            tag(
                "span",
                name,
                class_="xt odd" if nth % 2 and len(x.ticks) > 5 else "xt",
                style=f"left:{100 * x.at(mark):.2f}%",
            )
            for nth, (mark, name) in enumerate(x.ticks)
        ],
        extra,
        class_="area",
        data_points=data,
    )
    return tag(
        "div",
        tag("div", y.label, class_="ylabel"),
        area,
        tag("div", x.label, class_="xlabel"),
        class_="plot",
        role="img",
        aria_label=label,
    )


def _at(x: Axis, y: Axis, point: tuple[float, float]) -> str:
    return f"{UNIT * x.at(point[0]):.1f} {_y(y, point[1])}"


def _y(y: Axis, value: float) -> str:
    return f"{UNIT * (1 - y.at(value)):.1f}"


def _step(rough: float, factors: Sequence[float]) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in factors if factor * power >= rough * 0.999)
