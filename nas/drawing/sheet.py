"""What drawings are made of: named colours, text widths, rounded lines; and what a sheet of paper can do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from nas.drawing.geometry import Point, Rect, Wire

COLOURS: Final = {
    "ink": "#1b2733",
    "faint": "#5d6b78",
    "wire": "#51606e",
    "edge": "#33475b",
    "rim": "#c3ccd4",
    "frame0": "#f3f5f7",
    "frame1": "#e8ecf0",
    "frame2": "#dde3e8",
    "shade0": "#ffffff",
    "shade1": "#e4f0f9",
    "shade2": "#c3def0",
    "shade3": "#93c3e3",
    "shade4": "#5fa3d0",
    "same": "#ffffff",
    "removed": "#f6cfc4",
    "added": "#bfe6d3",
    "changed": "#fbe7b0",
    "removed_edge": "#b3401d",
    "added_edge": "#0b7a54",
    "changed_edge": "#9a6a00",
}
"""Colours by the role of what is drawn; a web page gives each role another colour on a dark ground."""
RADIUS: Final = 5.0
HEAD: Final = 5.0
"""Length of an arrow head."""


@lru_cache(maxsize=8192)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width in points of a text in the font of the drawing."""
    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().width)


class Sheet(Protocol):
    """Something to draw on, in points with y growing downwards. Colours are roles of `COLOURS`."""

    def write(
        self, x: float, y: float, text: str, size: float, *, color: str, align: str = "left", bold: bool = False
    ) -> None:
        """A line of text, its middle at height y, from x (left) or up to x (right)."""

    def box(self, rect: Rect, *, fill: str, edge: str, width: float, rounding: float) -> None:
        """A rectangle with round corners."""

    def wire(self, line: Wire, forks: Collection[Point]) -> None:
        """A line with rounded corners, but where it meets another one, and its arrow head."""

    def fork(self, point: Point) -> None:
        """The dot where a tensor goes two ways."""


@dataclass(frozen=True)
class Stroke:
    """A wire as pen movements: ``M`` and ``L`` with one point, ``Q`` with a control point and an end."""

    moves: tuple[tuple[str, tuple[Point, ...]], ...]
    head: tuple[Point, Point, Point] | None
    """The arrow head, its tip first."""


def stroke(line: Wire, forks: Collection[Point]) -> Stroke:
    """How a wire is drawn: corners are rounded but where it meets another one."""
    points = _simplified(line.points)
    moves: list[tuple[str, tuple[Point, ...]]] = [("M", (points[0],))]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        if corner in forks:
            moves.append(("L", (corner,)))
            continue
        radius = min(RADIUS, _length(before, corner) / 2, _length(corner, after) / 2)
        moves.append(("L", (_towards(corner, before, radius),)))
        moves.append(("Q", (corner, _towards(corner, after, radius))))
    end = points[-1]
    head = None
    if line.arrow:
        back = _towards(end, points[-2], HEAD)
        across = (2.6, 0.0) if points[-2][0] == end[0] else (0.0, 2.6)
        head = (end, (back[0] + across[0], back[1] + across[1]), (back[0] - across[0], back[1] - across[1]))
        end = back
    moves.append(("L", (end,)))
    return Stroke(tuple(moves), head)


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
