"""Plots as HTML and SVG that fit any width without becoming small: lines and dots stretch, letters and dots do not grow.

The SVG has the unit square as its coordinates (times 1000) and is stretched over the plot; strokes do not scale, and a
dot is a stroke of no length with a round end. Axes are HTML, placed in per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nas.front.axes import Axis
from nas.text.markup import Child, Html, tag

UNIT: Final = 1000


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


def placed(name: str, place: tuple[float, float], child: Child = None, **attributes: str | None) -> Html:
    """An element to be put into `extra` of a plot, at a place in parts of it from the lower left corner; it follows a zoom."""
    x, y = place
    where = f"left:{100 * x:.2f}%;top:{100 - 100 * y:.2f}%"
    style = ";".join(filter(None, (where, attributes.pop("style", None))))
    return tag(name, child, style=style, data_x=f"{UNIT * x:.1f}", data_y=f"{UNIT * (1 - y):.1f}", **attributes)


def zooms(x: Axis, y: Axis) -> dict[str, list[list[tuple[float, str]]]]:
    """The ticks of both axes from coarse to fine, as `page.js` reads them: places in parts of a thousand, and texts."""
    return {
        "x": [[(round(UNIT * x.at(mark), 1), text) for mark, text in ticks] for ticks in x.zooms()],
        "y": [[(round(UNIT * (1 - y.at(mark)), 1), text) for mark, text in ticks] for ticks in y.zooms()],
    }


def plot(
    x: Axis, y: Axis, layers: Sequence[Layer], *, label: str, data: str | None = None, extra: Child = None
) -> Html:
    """The whole plot. `label` says for a screen reader what is seen, `data` names the points and finer ticks of `page.js`."""
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
