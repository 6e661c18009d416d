"""One group of a network set in rows, and the wires between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from nas.drawing.geometry import Part, Picture, Point, Wire

BESIDE: Final = 20.0
"""Between two boxes of a row."""
LABEL: Final = 11.0
"""Below a box, for the shape of its tensor."""
ARROW: Final = 11.0
"""Above a box."""
TRACK: Final = 7.0
"""Between two wires that run side by side."""
CLEAR: Final = 10.0
"""Between a wire that runs down beside boxes and the boxes."""


class Rows:
    """The rows of one level, and the wires between them.

    Gap g lies above row g; the last gap lies below the last row. What moves sideways in a gap has a track there.
    """

    def __init__(self, parts: Sequence[Part], rows: Sequence[int], exit: int | None) -> None:
        self.parts = parts
        self.row_of = rows
        self.count = max(rows) + 1
        self.exit = exit
        self.rows: list[list[int]] = [[] for _ in range(self.count)]
        self.x: dict[int | None, float] = {None: 0.0}
        self.left = [0.0] * self.count
        self.right = [0.0] * self.count
        self._place_rows()
        self.lane: dict[int | None, float] = {}
        self.from_side: set[tuple[int | None, int]] = set()
        self._choose_lanes()
        self.slot: dict[tuple[int, int], float] = {}
        self._choose_slots()
        self.tracks: list[dict[int | None, int]] = [{} for _ in range(self.count + 1)]
        self._choose_tracks()

    def _row(self, place: int | None) -> int:
        return -1 if place is None else self.row_of[place]

    def _place_rows(self) -> None:
        for place, row in enumerate(self.row_of):
            self.rows[row].append(place)
        for row, members in enumerate(self.rows):
            wanted = {place: self._wanted(place, alone=len(members) == 1) for place in members}
            members.sort(key=lambda place: (wanted[place], place))
            x = -math.inf
            for place in members:
                picture = self.parts[place].picture
                self.x[place] = max(wanted[place], x + picture.left)
                x = self.x[place] + picture.right + BESIDE
            pushed = sum(self.x[place] - wanted[place] for place in members) / len(members)
            for place in members:
                self.x[place] -= pushed
            self.left[row] = self.parts[members[0]].picture.left - self.x[members[0]]
            self.right[row] = self.parts[members[-1]].picture.right + self.x[members[-1]]

    def _wanted(self, place: int, *, alone: bool) -> float:
        """Below the one part that feeds it when that feeds nothing else; otherwise on the axis or amid its inputs."""
        inputs = self.parts[place].inputs
        if len(inputs) == 1 and self._row(inputs[0]) + 1 == self.row_of[place] and len(self._targets(inputs[0])) == 1:
            return self.x[inputs[0]]
        return 0.0 if alone or not inputs else sum(self.x[source] for source in inputs) / len(inputs)

    def _targets(self, source: int | None) -> list[int | None]:
        """The parts that read `source`, and None when it leaves the level."""
        found: list[int | None] = [place for place, part in enumerate(self.parts) if source in part.inputs]
        if self.exit is not None and source == self.exit:
            found.append(None)
        return found

    def _end(self, target: int | None) -> int:
        return self.count if target is None else self.row_of[target]

    def _choose_lanes(self) -> None:
        # One lane per tensor that skips rows, on the side where it is shorter; those that skip fewer rows are nearer.
        wanted: list[tuple[int, int, int | None]] = []
        for source in (None, *range(len(self.parts))):
            end = max((self._end(target) for target in self._targets(source)), default=-1)
            if end > self._row(source) + 1:
                wanted.append((end - self._row(source), self._row(source), source))
        taken: list[tuple[int, int, bool, float]] = []
        for _, row, source in sorted(wanted, key=lambda item: (item[0], item[1])):
            far = [target for target in self._targets(source) if self._end(target) > row + 1]
            end = max(self._end(target) for target in far)
            first, last = row + 1, min(end, self.count - 1)
            near = [lane for lane in taken if lane[0] <= last and lane[1] >= first]
            ends = [self.x[source], *(self.x[target] if target is not None else 0.0 for target in far)]
            options = []
            for to_left in (False, True):
                extents = (self.left if to_left else self.right)[first : last + 1]
                others = [lane[3] for lane in near if lane[2] == to_left]
                distance = max([max(extents) + CLEAR, *(other + TRACK + 2 for other in others)])
                lane = -distance if to_left else distance
                options.append((sum(abs(lane - x) for x in ends) + 4 * TRACK * len(others), to_left, distance))
            _, to_left, distance = min(options)
            taken.append((first, last, to_left, distance))
            self.lane[source] = -distance if to_left else distance
            for target in far:
                if target is None or not self.parts[target].is_block:
                    continue
                outermost = self.rows[self.row_of[target]][0 if to_left else -1]
                if target == outermost and self.parts[target].inputs.count(source) == 1:
                    self.from_side.add((source, target))

    def _height_on_side(self, source: int | None, target: int) -> float:
        """Where on the side of its target a wire enters, as a part of the height."""
        lane = self.lane[source]
        same = sorted(
            abs(self.lane[other])
            for other, block in self.from_side
            if block == target and (self.lane[other] > 0) == (lane > 0)
        )
        return (len(same) - same.index(abs(lane))) / (len(same) + 1)

    def _choose_slots(self) -> None:
        # Where on top of a block its wires enter: straight from above in the middle, the others beside it.
        for place, part in enumerate(self.parts):
            arriving = [
                (self._arrives_from(source, place), nth)
                for nth, source in enumerate(part.inputs)
                if (source, place) not in self.from_side
            ]
            arriving.sort()
            if not arriving:
                continue
            middle = min(range(len(arriving)), key=lambda index: (abs(arriving[index][0] - self.x[place]), index))
            for index, (_, nth) in enumerate(arriving):
                offset = (index - middle) * (TRACK + 2) if part.is_block else 0.0
                self.slot[place, nth] = self.x[place] + offset

    def _arrives_from(self, source: int | None, target: int) -> float:
        return self.x[source] if self._row(source) + 1 == self.row_of[target] else self.lane[source]

    def _choose_tracks(self) -> None:
        for gap in range(self.count + 1):
            moves: dict[int | None, tuple[float, list[float]]] = {}
            for source in (None, *range(len(self.parts))):
                leaves, arrives = self._moves(gap, source)
                if any(x != leaves for x in arrives):
                    moves[source] = (leaves, arrives)
            # Where one tensor comes down at the x at which another arrives, the first must turn off above the second.
            waiting = list(moves)
            while waiting:
                free = [
                    source
                    for source in waiting
                    if not any(_near(moves[other][0], moves[source][1]) for other in waiting if other != source)
                ]
                if not free:  # they wait for each other: the first arrives a little beside
                    others = [moves[other][0] for other in waiting[1:]]
                    self._shift_slots(gap, waiting[0], others)
                chosen = (free or waiting)[0]
                self.tracks[gap][chosen] = len(self.tracks[gap])
                waiting.remove(chosen)

    def _shift_slots(self, gap: int, source: int | None, taken: Sequence[float]) -> None:
        for (target, nth), x in self.slot.items():
            if self.row_of[target] == gap and self.parts[target].inputs[nth] == source and _near(x, taken):
                self.slot[target, nth] = x + TRACK / 2

    def _moves(self, gap: int, source: int | None) -> tuple[float, list[float]]:
        """The x at which a tensor comes into a gap from above, and those at which it goes on from there."""
        row = self._row(source)
        from_box = gap == row + 1
        leaves = self.x[source] if from_box else self.lane.get(source, 0.0)
        arrives = [self.lane[source]] if from_box and source in self.lane else []
        for target in self._targets(source):
            if self._end(target) != gap or (target is not None and (source, target) in self.from_side):
                continue
            if target is None:
                arrives.append(0.0)
            else:
                inputs = enumerate(self.parts[target].inputs)
                arrives += [self.slot[target, nth] for nth, other in inputs if other == source]
        return leaves, arrives

    def picture(self) -> Picture:
        """Everything at its place."""
        tops: list[float] = []
        y = 0.0
        gap_top: list[float] = []
        heights: list[float] = []
        for row, members in enumerate(self.rows):
            gap_top.append(y)
            y += self._gap(row)
            heights.append(max(self.parts[place].picture.height for place in members))
            tops.append(y)
            y += heights[row]
        gap_top.append(y)
        y += self._gap(self.count)
        lanes = list(self.lane.values())
        picture = Picture(
            max([*self.left, *(TRACK / 2 - lane for lane in lanes)]),
            max([*self.right, *(TRACK / 2 + lane for lane in lanes)]),
            y,
        )
        top_of: dict[int, float] = {}
        for place, part in enumerate(self.parts):
            row = self.row_of[place]
            top_of[place] = tops[row] + (heights[row] - part.picture.height) / 2
            picture.put(part.picture, self.x[place], top_of[place])

        def track(gap: int, source: int | None) -> float:
            first = gap_top[gap] + (LABEL if gap > 0 else 0.0)
            return first + TRACK * (self.tracks[gap][source] + 0.5)

        for source in (None, *range(len(self.parts))):
            self._draw(picture, source, top_of, y, track)
        return picture

    def _gap(self, gap: int) -> float:
        below_boxes = LABEL if gap > 0 else 0.0
        above_boxes = ARROW if gap < self.count else (2.0 if self.exit is not None else 0.0)
        if gap == 0 and not any(None in part.inputs for part in self.parts):
            above_boxes = 0.0
        return below_boxes + TRACK * len(self.tracks[gap]) + above_boxes

    def _draw(
        self,
        picture: Picture,
        source: int | None,
        top_of: Mapping[int, float],
        bottom: float,
        track: Callable[[int, int | None], float],
    ) -> None:
        x = self.x[source]
        start = 0.0 if source is None else top_of[source] + self.parts[source].picture.height
        row = self._row(source)
        ways: list[Wire] = []
        for target in self._targets(source):
            arrow = target is not None and self.parts[target].is_block
            end = self._end(target)
            stem: tuple[Point, ...] = ((x, start),)
            if end > row + 1 and self.lane[source] != x:
                stem += ((x, track(row + 1, source)), (self.lane[source], track(row + 1, source)))
            if target is not None and (source, target) in self.from_side:
                box = self.parts[target].picture
                side = math.copysign(1.0, self.lane[source])
                edge = self.x[target] + (box.right if side > 0 else -box.left)
                middle = top_of[target] + box.height * self._height_on_side(source, target)
                ways.append(Wire((*stem, (self.lane[source], middle), (edge, middle)), arrow))
                continue
            if target is None:
                arrivals, low = [0.0], bottom
            else:
                arrivals = [self.slot[target, n] for n, s in enumerate(self.parts[target].inputs) if s == source]
                low = top_of[target]
                arrivals = arrivals if self.parts[target].is_block else arrivals[:1]
            for arrival in arrivals:
                before = stem[-1][0]
                turn: tuple[Point, ...] = ()
                if arrival != before:
                    turn = ((before, track(end, source)), (arrival, track(end, source)))
                ways.append(Wire((*stem, *turn, (arrival, low)), arrow))
        _add_ways(picture, ways)


def _near(x: float, others: Sequence[float]) -> bool:
    """Whether two upright wires would look like one."""
    return any(abs(x - other) < TRACK / 3 for other in others)


def _add_ways(picture: Picture, ways: Sequence[Wire]) -> None:
    """Adds the wires of one tensor: each from where it parts from those before it, with a dot there."""
    for index, way in enumerate(ways):
        points = way.points
        start = points[0]
        rest = points[1:]
        longest = 0.0
        for other in ways[:index]:
            common = 0
            while common < min(len(points), len(other.points)) and points[common] == other.points[common]:
                common += 1
            if common == min(len(points), len(other.points)):
                continue  # the very same way
            parting = _parting(points[common - 1], points[common], other.points[common])
            length = _length([*points[:common], parting])
            if length > longest:
                longest, start, rest = length, parting, points[common:]
        if longest > 0:
            picture.forks.append(start)
        picture.wires.append(Wire((start, *rest), way.arrow))


def _length(points: Sequence[Point]) -> float:
    return sum(abs(x - a) + abs(y - b) for (x, y), (a, b) in pairwise(points))


def _parting(corner: Point, first: Point, second: Point) -> Point:
    x, y = corner
    if first[0] == second[0] == x:  # both go on downwards
        return (x, min(first[1], second[1]))
    if first[1] == second[1] == y and (first[0] > x) == (second[0] > x):  # both go to the same side
        return (min(first[0], second[0], key=lambda other: abs(other - x)), y)
    return corner
