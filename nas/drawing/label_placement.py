"""Names beside points such that they cover neither each other nor, if there is room, anything else.

All lengths are in pixels or points, whichever the caller uses throughout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.drawing.geometry import Point, Rect

DIRECTIONS: Final = 24
DISTANCES: Final = (9.0, 15.0, 23.0, 33.0, 45.0, 60.0, 78.0, 100.0)
"""Tried from near to far."""
COVERS_LABEL: Final = 1000.0
OUTSIDE: Final = 1000.0
COVERS_ANCHOR: Final = 60.0
COVERS_LINE: Final = 12.0
COVERS_POINT: Final = 6.0
PER_UNIT_AWAY: Final = 0.25


def place(
    anchors: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    points: Sequence[Point],
    lines: Sequence[tuple[Point, Point]],
    bounds: Rect,
) -> list[Rect]:
    """One box per anchor, in which its name is written.

    `sizes` are the widths and heights of the names, `points` and `lines` what better stays visible, `bounds` what no
    name may leave.
    """
    placed: list[Rect] = []
    everything = np.array(points, float).reshape(-1, 2)
    for anchor, (width, height) in zip(anchors, sizes, strict=True):
        options = [
            _beside(anchor, width, height, distance, 2 * math.pi * turn / DIRECTIONS)
            for distance in DISTANCES
            for turn in range(DIRECTIONS)
        ]
        reach = DISTANCES[-1] + width + height
        near = everything[(np.abs(everything - np.array(anchor)) < reach).all(axis=1)]
        costs = [_cost(box, anchor, placed, anchors, near, lines, bounds) for box in options]
        placed.append(options[costs.index(min(costs))])
    return placed


def gap(anchor: Point, box: Rect) -> tuple[float, Point]:
    """How far a point is from a box, and the nearest point of the box."""
    x = min(max(anchor[0], box.x), box.x + box.width)
    y = min(max(anchor[1], box.y), box.y + box.height)
    return math.dist(anchor, (x, y)), (x, y)


def overlap(first: Rect, second: Rect) -> bool:
    """Whether two boxes have an area in common."""
    return (
        first.x < second.x + second.width
        and second.x < first.x + first.width
        and first.y < second.y + second.height
        and second.y < first.y + first.height
    )


def _beside(anchor: Point, width: float, height: float, distance: float, angle: float) -> Rect:
    """The box in this direction whose nearest side is at this distance."""
    dx, dy = math.cos(angle), math.sin(angle)
    x = anchor[0] + dx * distance + (dx - 1) * width / 2
    y = anchor[1] + dy * distance + (dy - 1) * height / 2
    return Rect(x, y, width, height)


def _cost(
    box: Rect,
    anchor: Point,
    placed: Sequence[Rect],
    anchors: Sequence[Point],
    points: npt.NDArray[np.float64],
    lines: Sequence[tuple[Point, Point]],
    bounds: Rect,
) -> float:
    cost = PER_UNIT_AWAY * gap(anchor, box)[0]
    cost += COVERS_LABEL * sum(overlap(box, other) for other in placed)
    cost += COVERS_ANCHOR * sum(gap(other, box)[0] < 7 for other in anchors)
    low, high = np.array([box.x - 4, box.y - 4]), np.array([box.x + box.width + 4, box.y + box.height + 4])
    cost += COVERS_POINT * int(((points > low) & (points < high)).all(axis=1).sum())
    cost += COVERS_LINE * sum(_meets(box, line) for line in lines)
    inside = (
        bounds.x <= box.x
        and box.x + box.width <= bounds.x + bounds.width
        and bounds.y <= box.y
        and box.y + box.height <= bounds.y + bounds.height
    )
    return cost if inside else cost + OUTSIDE


def _meets(box: Rect, line: tuple[Point, Point]) -> bool:
    """Whether a level or upright line goes through the box."""
    (x1, y1), (x2, y2) = line
    return (
        min(x1, x2) <= box.x + box.width
        and max(x1, x2) >= box.x
        and min(y1, y2) <= box.y + box.height
        and max(y1, y2) >= box.y
    )
