"""What of a space can be trained at all: its shapes fit and its cost is inside the constraints."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from blocks.base import Scalar, Shape
from nas.architecture.cost import Built, Cost
from nas.errors import Infeasible, SearchError
from nas.space.grammar import Bounds, Options
from nas.space.space import Assignment, Space
from nas.statistics.proportion import wilson
from nas.text.formatting import digits

ENUMERABLE = 20_000
"""Spaces up to this size are counted one by one: half a minute when every block shape is new."""
QUIET_SECONDS = 2.0
"""Seconds before the user is told that it takes a while."""
PROBES = 1_000
"""Random architectures that are costed before constraints count as impossible to meet …"""
FEW_PROBES = 50
"""… unless after so many the closest of them leads to none that fits: 1 s instead of 10 on attn_cnn."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of all assignments of a space."""

    value: float
    exact: bool
    interval: tuple[float, float]
    """95 % confidence interval; the value twice when exact."""
    networks: int | None = None
    """Distinct networks among the assignments that fit; None where these were not enumerated."""


def feasible_share(space: Space, input: Shape, classes: int, *, samples: int = 1_000, seed: int = 0) -> Share:
    """The share of assignments whose shapes fit images of `input` and whose cost breaks no constraint.

    Exact by enumeration up to `ENUMERABLE` assignments; otherwise estimated from `samples` assignments, each as likely
    as any other, with Wilson's score interval.
    """
    if space.size <= ENUMERABLE:
        networks = [_network(space, assignment, input, classes) for assignment in space.enumerate()]
        share = sum(network is not None for network in networks) / space.size
        return Share(share, True, (share, share), len(set(networks) - {None}))
    rng = random.Random(seed)
    hits = sum(_network(space, space.sample_evenly(rng), input, classes) is not None for _ in range(samples))
    return Share(hits / samples, False, wilson(hits, samples))


def _network(space: Space, assignment: Assignment, input: Shape, classes: int) -> str | None:
    """The hash of what an assignment builds; None when its shapes do not fit or its cost breaks a constraint."""
    try:
        built = space.resolve(space.plan(assignment), input, classes)
    except Infeasible:
        return None
    return None if space.violation(built.cost) else built.architecture.hash


class Tried:
    """Architectures of a space that were built one after the other, and why those that did not fit did not."""

    def __init__(self, space: Space, input: Shape, classes: int) -> None:
        self._space, self._input, self._classes = space, input, classes
        self._nearest: dict[str, float] = {}
        """For each constraint, the cost nearest to its bound."""
        self._reasons: Counter[str] = Counter()
        self._closest: tuple[float, Assignment] | None = None

    def build(self, assignment: Assignment) -> Built | None:
        """What an assignment makes; None when its shapes do not fit or its cost breaks a constraint."""
        try:
            built = self._space.resolve(self._space.plan(assignment), self._input, self._classes)
        except Infeasible as problem:
            self._reasons[str(problem)] += 1
            return None
        price = built.cost
        if self._space.violation(price) is None:
            return built
        excess = 0.0
        for name, bounds in self._space.constraints.items():
            if name not in price:
                continue
            value = price[name]
            nearer = max if bounds.max is None else min
            self._nearest[name] = nearer(self._nearest.get(name, value), value)
            excess += _excess(value, bounds)
        if self._closest is None or excess < self._closest[0]:
            self._closest = excess, assignment
        return None

    def approach(self, rng: random.Random) -> Iterator[Built | None]:
        """Changes choice after choice of the architecture that came closest, as long as that brings one closer.

        Gives what each change makes: as `build`. Nothing where no shapes have fit.
        """
        improved = True
        while improved and self._closest is not None:
            before = self._closest[0]
            for name, option in _alternatives(self._space, self._closest[1]):
                closest = self._closest[1]
                if name in closest and closest[name] != option:  # an earlier change may have switched it off
                    yield self.build(_changed(self._space, {**closest, name: option}, rng))
            improved = self._closest[0] < before

    def problem(self, tried: str) -> SearchError:
        """Why none of those that were tried fits: the commonest reason, or the costs nearest to the bounds."""
        if not self._nearest:
            [(commonest, _)] = self._reasons.most_common(1)
            return SearchError(f"space {self._space.name}: {tried} fits images of {list(self._input)}: {commonest}")
        limits = ", ".join(
            f"{name} at least {digits(bounds.min or 0.0)} (largest seen: {digits(self._nearest[name])})"
            if bounds.max is None
            else f"{name} at most {digits(bounds.max)} (smallest seen: {digits(self._nearest[name])})"
            for name, bounds in self._space.constraints.items()
            if name in self._nearest and (bounds.max is not None or bounds.min is not None)
        )
        return SearchError(f"space {self._space.name}: {tried} meets the constraints: {limits}")


def _excess(value: float, bounds: Bounds) -> float:
    """How many times a cost is above its bound or below it, as a logarithm."""
    if bounds.max is not None and value > bounds.max:
        return math.log(value / bounds.max)
    if bounds.min is not None and value < bounds.min:
        return math.log(bounds.min / max(1, value))
    return 0.0


def _alternatives(space: Space, assignment: Assignment) -> list[tuple[str, Scalar]]:
    """Every option of every choice that is met on the way to an assignment."""
    found: list[tuple[str, Scalar]] = []

    def choose(name: str, options: Options) -> Scalar:
        found.extend((name, option) for option in options)
        return assignment[name]

    space.walk(choose)
    return found


def _changed(space: Space, wanted: Assignment, rng: random.Random) -> Assignment:
    """An assignment with these values, as far as their choices are met and have such an option; the others are drawn."""

    def choose(name: str, options: Options) -> Scalar:
        return wanted[name] if name in wanted and wanted[name] in options.admissible else rng.choice(options.admissible)

    return space.walk(choose, mend=True).assignment


def draw_feasible(
    space: Space, rng: random.Random, input: Shape, classes: int, note: Callable[[str], None] = lambda text: None
) -> tuple[Assignment, Built]:
    """The first of `PROBES` random architectures that fits the input and the constraints. Raises SearchError when none does.

    After `FEW_PROBES` the closest of them is changed choice by choice: when that leads to none that fits, no more are
    drawn. `note` is told when it takes a while.
    """
    tried = Tried(space, input, classes)
    waiting = _Waiting(space, note, PROBES)
    fitting: Cost | None = None
    for number in range(PROBES):
        if number == FEW_PROBES:
            fitting = _approached(tried, waiting)
        assignment = space.sample(rng)
        built = tried.build(assignment)
        if built is not None:
            return assignment, built
        waiting.look()
    problem = tried.problem(f"none of {PROBES:,} random architectures")
    if fitting is None:
        raise problem
    costs = ", ".join(f"{digits(fitting[name])} {name}" for name in space.constraints if name in fitting)
    raise SearchError(
        f"{problem}; one that was made by changing the closest does ({costs}), but such are too rare for a search"
    )


def _approached(tried: Tried, waiting: _Waiting) -> Cost | None:
    """What the closest of `FEW_PROBES` leads to; None where that is not known. Raises SearchError when nothing fits there."""
    changed = 0
    for changed, found in enumerate(tried.approach(random.Random(0)), 1):
        if found is not None:
            return found.cost
        if changed == PROBES:
            return None
        waiting.look()
    if changed:
        raise tried.problem(
            f"none of {FEW_PROBES} random architectures, nor of {changed:,} made from the closest of them,"
        )
    return None


def check_feasible(
    space: Space, input: Shape, classes: int, seed: int = 0, note: Callable[[str], None] = lambda text: None
) -> None:
    """Raises SearchError, naming the costs nearest to the bounds, when no architecture fits the input and the constraints.

    `note` is told when that takes a while.
    """
    if space.size > ENUMERABLE:
        draw_feasible(space, random.Random(seed), input, classes, note)
        return
    tried = Tried(space, input, classes)
    waiting = _Waiting(space, note, space.size)
    if space.size > PROBES:
        rng = random.Random(seed)
        if any(tried.build(space.sample(rng)) is not None for _ in range(FEW_PROBES)):
            return
        _approached(tried, waiting)
    for assignment in space.enumerate():
        if tried.build(assignment) is not None:
            return
        waiting.look()
    raise tried.problem(f"none of its {space.size:,} architectures")


class _Waiting:
    """Says once, after a while, that nothing has been found yet."""

    def __init__(self, space: Space, note: Callable[[str], None], number: int) -> None:
        self._note = note
        self._text = f"space {space.name}: no architecture fits so far; trying {number:,}"
        self._end = time.monotonic() + QUIET_SECONDS

    def look(self) -> None:
        """Looks at the clock."""
        if time.monotonic() >= self._end:
            self._note(self._text)
            self._end = math.inf
