"""Where candidates come from: a `Space`, whose networks are known before training; `Observed` stands in where there is none."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from blocks.base import Scalar, Shape
from nas.census import ENUMERABLE
from nas.cost import cost, facts
from nas.errors import AssignmentError, Infeasible
from nas.grammar import Options
from nas.sampler.features import describe
from nas.space import Assignment, Space

REMEMBERED: Final = 50_000
"""Described networks that a domain keeps, for searches that follow each other in one process."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a network before it is trained."""

    features: tuple[tuple[str, float], ...]
    costs: tuple[float, ...]
    identity: str
    """Equal for assignments that build the same network."""
    effort: int
    """What it took to find out, in nodes."""


class Domain(Protocol):
    """Draws, changes and describes assignments."""

    @property
    def size(self) -> int | None:
        """How many assignments there are; None when nobody knows."""

    def describe(self, assignment: Assignment) -> Description | None:
        """None when it cannot be built, or breaks a constraint."""

    def sample(self, rng: random.Random) -> Assignment:
        """A random assignment."""

    def vary(self, rng: random.Random, parent: Assignment, other: Assignment, changes: int) -> Assignment:
        """`parent` with some of its choices taken from `other`, or decided anew."""

    def enumerate(self) -> Iterator[Assignment]:
        """Every assignment, for a domain of known size."""


class SpaceDomain:
    """The networks of a space, for images of one shape."""

    def __init__(self, space: Space, input: Shape, classes: int, costs: Sequence[str]) -> None:
        self._space, self._input, self._classes, self._costs = space, input, classes, tuple(costs)
        self._known: dict[tuple[tuple[str, Scalar], ...], Description | None] = {}

    @property
    def size(self) -> int | None:
        """Of a small space; a large one is never met as a whole."""
        return self._space.size if self._space.size <= ENUMERABLE else None

    def describe(self, assignment: Assignment) -> Description | None:
        """See `Domain`."""
        key = tuple(sorted(assignment.items()))
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = self._describe(assignment)
        return self._known[key]

    def _describe(self, assignment: Assignment) -> Description | None:
        try:
            architecture = self._space.from_assignment(assignment, self._input, self._classes)
        except (AssignmentError, Infeasible):
            return None
        price = cost(architecture, self._input, self._classes)
        if self._space.violation(price) is not None:
            return None
        features = describe(architecture, facts(architecture, self._input, self._classes), price)
        return Description(
            (*choice_features(assignment), *features.items()),
            tuple(float(getattr(price, name)) for name in self._costs),
            architecture.hash,
            len(architecture.nodes) + len(assignment),
        )

    def sample(self, rng: random.Random) -> Assignment:
        """See `Domain`."""
        return self._space.sample(rng)

    def vary(self, rng: random.Random, parent: Assignment, other: Assignment, changes: int) -> Assignment:
        """See `Domain`. Choices that a change switches on are drawn evenly."""
        changed = set(rng.sample(sorted(parent), min(changes, len(parent))))
        take = parent is not other

        def choose(name: str, options: Options) -> Scalar:
            if name in changed:
                if take and name in other and other[name] in options:
                    return other[name]
                return rng.choice([option for option in options if option != parent.get(name)] or options)
            for assignment in (parent, other):
                if name in assignment:
                    return assignment[name] if assignment[name] in options else rng.choice(options)
            return rng.choice(options)

        return self._space.walk(choose).assignment

    def enumerate(self) -> Iterator[Assignment]:
        """See `Domain`."""
        return self._space.enumerate()


def choice_features(assignment: Mapping[str, Any]) -> list[tuple[str, float]]:
    """One feature an option, 1 where it is taken; a choice that is not active has none.

    The group is the choice's name without the numbers of copies, so that copies of a node share one weight.
    """
    return [(f"choice {_role(name)}:{name}={value}", 1.0) for name, value in sorted(assignment.items())]


def _role(name: str) -> str:
    return ".".join(part for part in name.split(".") if not part.isdigit())
