"""Which share of a space can be trained at all: its shapes fit and its cost is inside the constraints."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from blocks.base import Shape
from nas.cost import cost
from nas.errors import Infeasible
from nas.space import Assignment, Space

ENUMERABLE = 20_000
"""Spaces up to this size are counted one by one: half a minute when every block shape is new."""


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


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for a share of `hits` among `n` (Wilson 1927), at z = 1.96 with 95 % confidence."""
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
