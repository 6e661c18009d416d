"""Where a trial stands among all that came to a rung, kept as they come: nothing is sorted anew for the next one.

The order is by front, as non-dominated sorting has them, then by what a trial adds to the hypervolume of its front, then by who
came first. A new trial goes to the first front that does not dominate it. Those that it dominates there go one front on, where
they may push out others (Li et al. 2017, Efficient non-domination level update). Contributions are worked out for one front, by the
same function and in the same sequence as for all of them, so that they are the same to the bit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Losses = tuple[float, ...]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

REFERENCE = 1.1
"""The reference in each objective: its worst counts as well, and 1 is the worst possible loss."""


class Ranking:
    """The networks that came to a rung, each with its losses in [0, 1] for so many objectives, less is better."""

    def __init__(self, objectives: int) -> None:
        self._width = objectives
        self._rows: dict[str, int] = {}
        self._networks: list[str] = []
        self._losses = np.empty((64, objectives))
        self._fronts = _fronts(objectives)

    def __len__(self) -> int:
        return len(self._networks)

    def __contains__(self, network: str) -> bool:
        return network in self._rows

    def enter(self, network: str, losses: Losses) -> int:
        """Enters a network, which keeps its turn where it was here before. Returns its rank, from 1."""
        row = self._rows.get(network)
        if row is None:
            row = self._append(network, losses)
            self._fronts.add(row, losses)
        elif tuple(self._losses[row].tolist()) != losses:
            self._losses[row] = losses
            self._rebuild()
        return self._rank(row, losses)

    def recall(self, known: Mapping[str, Losses]) -> None:
        """Enters many networks at once."""
        for network, losses in known.items():
            row = self._rows.get(network)
            if row is None:
                self._append(network, losses)
            else:
                self._losses[row] = losses
        if known:
            self._rebuild()

    def best(self, most: int, waiting: Mapping[str, int], rung: int) -> str | None:
        """The first network that waits at this rung, among the so many that come first; None where none of them does."""
        before = 0
        for rows in self._fronts:
            if before >= most:
                return None
            # Of most fronts nobody waits: who may go on has gone on. That is looked up without a line of Python for each.
            if not waiting.keys().isdisjoint(map(self._networks.__getitem__, rows)):
                at_rung = [row for row in rows if waiting.get(self._networks[row]) == rung]
                for row in self._in_order(rows)[: most - before] if at_rung else ():
                    if row in at_rung:
                        return self._networks[row]
            before += len(rows)
        return None

    def _append(self, network: str, losses: Losses) -> int:
        row = self._rows[network] = len(self._networks)
        self._networks.append(network)
        if row == len(self._losses):
            self._losses = np.concatenate([self._losses, np.empty_like(self._losses)])
        self._losses[row] = losses
        return row

    def _rebuild(self) -> None:
        self._fronts = _fronts(self._width)
        self._fronts.fill(self._losses[: len(self)])

    def _rank(self, row: int, losses: Losses) -> int:
        before, rows = self._fronts.of(row, losses)
        return 1 + before + self._in_order(rows).index(row)

    def _in_order(self, rows: Iterable[int]) -> list[int]:
        """Rows of one front, from the one that adds most."""
        first = np.sort(np.fromiter(rows, np.intp))
        if self._width == 1 or len(first) == 1:  # one dimension has no hypervolume to share
            return [int(row) for row in first]
        import moocore

        contributions = moocore.hv_contributions(self._losses[first], ref=np.full(self._width, REFERENCE))
        return [int(row) for row in first[np.argsort(-contributions, kind="stable")]]


class _Fronts(Protocol):
    """Rows by front, from the best; iterating gives the rows of each."""

    def __iter__(self) -> Iterator[Sequence[int]]: ...

    def fill(self, losses: Floats) -> None:
        """Enters all rows, where none is."""

    def add(self, row: int, point: Losses) -> None:
        """Enters a row."""

    def of(self, row: int, point: Losses) -> tuple[int, Sequence[int]]:
        """The front of a row that is entered: how many come before it, and who is on it."""


def _fronts(objectives: int) -> _Fronts:
    if objectives <= 2:
        return _Line() if objectives == 1 else _Staircases()
    return _Sets()


class _Line:
    """One objective: each row is a front of its own, and of equal ones the first comes first."""

    def __init__(self) -> None:
        self._sorted: list[tuple[float, int]] = []

    def __iter__(self) -> Iterator[Sequence[int]]:
        return ((row,) for _, row in self._sorted)

    def fill(self, losses: Floats) -> None:
        self._sorted = sorted((value, row) for row, value in enumerate(losses[:, 0].tolist()))

    def add(self, row: int, point: Losses) -> None:
        insort(self._sorted, (point[0], row))

    def of(self, row: int, point: Losses) -> tuple[int, Sequence[int]]:
        return bisect_left(self._sorted, (point[0], row)), (row,)


class _Stairs:
    """A front of two objectives, along the first one: there the second one falls, but for equal points."""

    __slots__ = ("falling", "rising", "rows")

    def __init__(self, rising: list[float], falling: list[float], rows: list[int]) -> None:
        self.rising, self.falling, self.rows = rising, falling, rows
        """First objective; second one with its sign changed, so that it can be searched too; rows."""

    def dominates(self, x: float, minus_y: float) -> bool:
        """Whether one of the points does: the last that is not right of it is the lowest of those."""
        place = bisect_right(self.rising, x) - 1
        if place < 0:
            return False
        lowest = self.falling[place]
        return lowest > minus_y or (lowest == minus_y and self.rising[place] < x)

    def put(self, new: _Stairs) -> _Stairs:
        """Takes up neighbours on a front. Returns those that they dominate, if any, which leave; they are neighbours too."""
        start, end = bisect_left(self.rising, new.rising[0]), bisect_right(self.falling, new.falling[-1])
        if start < end and self.rising[start] == new.rising[0] and self.falling[start] == new.falling[0]:
            end = start  # an equal point is not dominated, nor is then anything else
        span = slice(start, end)
        left = _Stairs(self.rising[span], self.falling[span], self.rows[span])
        self.rising[span], self.falling[span], self.rows[span] = new.rising, new.falling, new.rows
        return left


class _Staircases:
    """Two objectives."""

    def __init__(self) -> None:
        self._fronts: list[_Stairs] = []

    def __iter__(self) -> Iterator[Sequence[int]]:
        return (front.rows for front in self._fronts)

    def fill(self, losses: Floats) -> None:
        for rows in _sorted_apart(losses):
            ordered = rows[np.argsort(losses[rows, 0], kind="stable")]
            rising, falling = losses[ordered].T
            self._fronts.append(_Stairs(rising.tolist(), (-falling).tolist(), ordered.tolist()))

    def add(self, row: int, point: Losses) -> None:
        x, minus_y = point[0], -point[1]
        moved = _Stairs([x], [minus_y], [row])
        for front in self._fronts[self._place(x, minus_y) :]:
            moved = front.put(moved)
            if not moved.rows:
                return
        self._fronts.append(moved)

    def of(self, row: int, point: Losses) -> tuple[int, Sequence[int]]:
        place = self._place(point[0], -point[1])
        return sum(len(front.rows) for front in self._fronts[:place]), self._fronts[place].rows

    def _place(self, x: float, minus_y: float) -> int:
        """The first front that does not dominate the point: all before do."""
        return bisect_left(self._fronts, True, key=lambda front: not front.dominates(x, minus_y))


class _Sets:
    """Three objectives and more."""

    def __init__(self) -> None:
        self._fronts: list[tuple[Rows, Floats]] = []
        """Rows of each, and their points."""

    def __iter__(self) -> Iterator[Sequence[int]]:
        return (rows.tolist() for rows, _ in self._fronts)

    def fill(self, losses: Floats) -> None:
        self._fronts = [(rows, losses[rows]) for rows in _sorted_apart(losses)]

    def add(self, row: int, point: Losses) -> None:
        moved, by = np.array([row]), np.array([point])
        for place in range(self._place(point), len(self._fronts)):
            rows, points = self._fronts[place]
            leaves = _dominated(points, by)
            self._fronts[place] = np.concatenate([rows[~leaves], moved]), np.concatenate([points[~leaves], by])
            moved, by = rows[leaves], points[leaves]
            if not len(moved):
                return
        self._fronts.append((moved, by))

    def of(self, row: int, point: Losses) -> tuple[int, Sequence[int]]:
        place = self._place(point)
        return sum(len(rows) for rows, _ in self._fronts[:place]), self._fronts[place][0].tolist()

    def _place(self, point: Losses) -> int:
        """The first front that does not dominate the point: all before do."""
        here = np.array(point)

        def free(front: tuple[Rows, Floats]) -> bool:
            near = front[1][(front[1] <= here).all(axis=1)]
            return not (near < here).any()

        return bisect_left(self._fronts, True, key=free)


def _sorted_apart(losses: Floats) -> list[Rows]:
    """Rows of each front, in their sequence."""
    import moocore

    fronts = moocore.pareto_rank(losses)
    return np.split(np.argsort(fronts, kind="stable"), np.cumsum(np.bincount(fronts))[:-1])


def _dominated(points: Floats, by: Floats) -> npt.NDArray[np.bool_]:
    """Which of `points` are dominated by one of `by`."""
    found: npt.NDArray[np.bool_] = np.all(points >= by.min(axis=0), axis=1)  # of most it is enough to look at these
    near = points[found][:, None]
    found[found] = np.any(np.all(near >= by, axis=2) & np.any(near > by, axis=2), axis=1)
    return found
