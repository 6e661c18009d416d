"""Shapes on paper, and what a laid-out part of a network consists of.

Lengths are in points (1/72 inch); y grows downwards; x = 0 is the axis on which a part is entered and left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Point = tuple[float, float]


@dataclass(frozen=True)
class Rect:
    """A box: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, dx: float, dy: float) -> Rect:
        """The same box elsewhere."""
        return Rect(self.x + dx, self.y + dy, self.width, self.height)


@dataclass(frozen=True)
class Wire:
    """A tensor on its way, as a line with right angles; it ends with an arrow where it enters a block."""

    points: tuple[Point, ...]
    arrow: bool

    def moved(self, dx: float, dy: float) -> Wire:
        """The same wire elsewhere."""
        return Wire(tuple((x + dx, y + dy) for x, y in self.points), self.arrow)


@dataclass
class Picture:
    """Something laid out: its extent left and right of the axis and below its top, and all that is in it."""

    left: float
    right: float
    height: float
    boxes: dict[str, Rect] = field(default_factory=dict)
    frames: dict[str, Rect] = field(default_factory=dict)
    """Frames by the path of their group; outer frames come before inner ones."""
    wires: list[Wire] = field(default_factory=list)
    forks: list[Point] = field(default_factory=list)
    """Points where a tensor goes more than one way."""

    @property
    def width(self) -> float:
        """Width from the leftmost to the rightmost point."""
        return self.left + self.right

    def put(self, other: Picture, x: float, y: float) -> None:
        """Adds what is in `other`, with its axis at x and its top at y."""
        self.boxes.update({name: rect.moved(x, y) for name, rect in other.boxes.items()})
        self.frames.update({path: rect.moved(x, y) for path, rect in other.frames.items()})
        self.wires += [wire.moved(x, y) for wire in other.wires]
        self.forks += [(px + x, py + y) for px, py in other.forks]


@dataclass(frozen=True)
class Part:
    """One box of a level: a block or a whole group."""

    picture: Picture
    inputs: tuple[int | None, ...]
    """Places of the parts it reads, in its own level; None is the tensor that enters the level."""
    is_block: bool
