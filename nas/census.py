"""What of a space can be trained at all: its shapes fit and its cost is inside the constraints."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from blocks.base import Shape
from nas.architecture import Architecture
from nas.cost import Cost, cost
from nas.errors import Infeasible, SearchError
from nas.space import Assignment, Space

ENUMERABLE = 20_000
"""Spaces up to this size are counted one by one: half a minute when every block shape is new."""
QUIET_SECONDS = 3.0
PROBES = 1_000
"""Random architectures that are costed before constraints count as impossible to meet."""


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
        architecture = space.from_assignment(assignment, input, classes)
    except Infeasible:
        return None
    return None if space.violation(cost(architecture, input, classes)) else architecture.hash


class Tried:
    """Architectures of a space that were built one after the other, and why those that did not fit did not."""

    def __init__(self, space: Space, input: Shape, classes: int) -> None:
        self._space, self._input, self._classes = space, input, classes
        self._smallest: dict[str, int] = {}
        self._reasons: Counter[str] = Counter()

    def build(self, assignment: Assignment) -> tuple[Architecture, Cost] | None:
        """What an assignment makes; None when its shapes do not fit or its cost breaks a constraint."""
        try:
            architecture = self._space.from_assignment(assignment, self._input, self._classes)
            price = cost(architecture, self._input, self._classes)
        except Infeasible as problem:
            self._reasons[str(problem)] += 1
            return None
        if self._space.violation(price) is None:
            return architecture, price
        for name in self._space.constraints:
            value = getattr(price, name)
            self._smallest[name] = min(self._smallest.get(name, value), value)
        return None

    def problem(self, tried: str) -> SearchError:
        """Why none of those that were tried fits: the commonest reason, or the smallest costs that were seen."""
        if not self._smallest:
            [(commonest, _)] = self._reasons.most_common(1)
            return SearchError(
                f"space {self._space.name}: {tried} architectures fits images of {list(self._input)}: {commonest}"
            )
        limits = ", ".join(
            f"{name} at most {bounds.max:,.0f} (smallest seen: {self._smallest[name]:,})"
            for name, bounds in self._space.constraints.items()
            if bounds.max is not None
        )
        return SearchError(f"space {self._space.name}: {tried} architectures meets the constraints: {limits}")


def check_feasible(
    space: Space, input: Shape, classes: int, seed: int = 0, note: Callable[[str], None] = lambda text: None
) -> None:
    """Raises SearchError, naming the smallest costs seen, when no architecture fits the input and the constraints.

    `note` is told when that takes a while.
    """
    rng = random.Random(seed)
    exact = space.size <= ENUMERABLE
    assignments = space.enumerate() if exact else (space.sample(rng) for _ in range(PROBES))
    tried = Tried(space, input, classes)
    number = space.size if exact else PROBES
    told = time.monotonic() + QUIET_SECONDS
    for assignment in assignments:
        if tried.build(assignment) is not None:
            return
        if time.monotonic() >= told:
            note(f"space {space.name}: no architecture fits so far; trying {number:,}")
            told = math.inf
    raise tried.problem(f"none of its {number:,}" if exact else f"none of {number:,} random")


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for a share of `hits` among `n` (Wilson 1927), at z = 1.96 with 95 % confidence."""
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
