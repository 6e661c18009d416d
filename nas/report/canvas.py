"""Ink on paper: the shapes and letters of a drawn architecture, in points with y growing downwards."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Line
from matplotlib.textpath import TextPath

from nas.errors import NasError
from nas.report.geometry import Point, Rect, Wire

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#1b2733"
FAINT: Final = "#5d6b78"
WIRE: Final = "#51606e"
EDGE: Final = "#33475b"
RADIUS: Final = 5.0


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in points of a text in the font of the drawing."""
    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().width)


def paper(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of this size in points, and the axes that cover it."""
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return figure, axes


def write(axes: Axes, x: float, y: float, text: str, size: float, *, align: str = "left", **style: Any) -> None:
    """A line of text, its middle at height y."""
    bold = style.pop("bold", False)
    axes.text(
        x,
        y,
        text,
        fontsize=size,
        family="DejaVu Sans",
        weight="bold" if bold else "normal",
        ha=align,
        va="center_baseline",
        **style,
    )


def box(axes: Axes, rect: Rect, *, fill: str, edge: str, width: float, rounding: float, zorder: float) -> None:
    """A rectangle with round corners."""
    axes.add_patch(
        FancyBboxPatch(
            (rect.x, rect.y),
            rect.width,
            rect.height,
            boxstyle=f"round,pad=0,rounding_size={rounding}",
            facecolor=fill,
            edgecolor=edge,
            linewidth=width,
            zorder=zorder,
        )
    )


def wire(axes: Axes, line: Wire, forks: Collection[Point]) -> None:
    """A line with rounded corners, but where it meets another one, and its arrow head."""
    points = _simplified(line.points)
    vertices: list[Point] = [points[0]]
    codes: list[int] = [int(Line.MOVETO)]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        if corner in forks:
            vertices.append(corner)
            codes.append(int(Line.LINETO))
            continue
        radius = min(RADIUS, _length(before, corner) / 2, _length(corner, after) / 2)
        vertices += [_towards(corner, before, radius), corner, _towards(corner, after, radius)]
        codes += [int(Line.LINETO), int(Line.CURVE3), int(Line.CURVE3)]
    end = points[-1]
    head = 5.0
    if line.arrow:
        back = _towards(end, points[-2], head)
        across = (2.6, 0.0) if points[-2][0] == end[0] else (0.0, 2.6)
        left = (back[0] + across[0], back[1] + across[1])
        right = (back[0] - across[0], back[1] - across[1])
        triangle = Line([end, left, right, end], [Line.MOVETO, Line.LINETO, Line.LINETO, Line.CLOSEPOLY])
        axes.add_patch(PathPatch(triangle, facecolor=WIRE, linewidth=0, zorder=3))
        end = back
    vertices.append(end)
    codes.append(int(Line.LINETO))
    axes.add_patch(PathPatch(Line(vertices, codes), fill=False, edgecolor=WIRE, linewidth=1.0, zorder=2, snap=False))


def fork(axes: Axes, point: Point) -> None:
    """The dot where a tensor goes two ways."""
    axes.add_patch(Circle(point, 1.8, facecolor=WIRE, linewidth=0, zorder=3))


def save(figure: Figure, path: Path, dpi: float) -> None:
    """Writes a figure without the date, so that equal figures are equal files. Raises NasError when it cannot."""
    metadata: dict[str, Any] = {"Software": None} if path.suffix.lower() == ".png" else {"Date": None}
    try:
        with matplotlib.rc_context({"svg.hashsalt": "nas", "svg.fonttype": "path"}):
            figure.savefig(path, dpi=dpi, metadata=metadata)
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None


def _simplified(points: tuple[Point, ...]) -> list[Point]:
    """Without points that are no corners."""
    kept = [points[0]]
    for point in points[1:]:
        if point == kept[-1]:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept[-1] = point
        else:
            kept.append(point)
    return kept if len(kept) > 1 else [points[0], points[0]]


def _length(first: Point, second: Point) -> float:
    return abs(first[0] - second[0]) + abs(first[1] - second[1])  # lines are upright or level


def _towards(start: Point, goal: Point, distance: float) -> Point:
    length = _length(start, goal) or 1.0
    part = distance / length
    return (start[0] + (goal[0] - start[0]) * part, start[1] + (goal[1] - start[1]) * part)
