"""Where candidates come from: a `Space`, whose networks are known before training (see `nas.sampler.trials` for none)."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from optuna.distributions import BaseDistribution

from blocks import Facts
from blocks.base import Params, Scalar, Shape
from nas.architecture import INPUT, Architecture
from nas.census import ENUMERABLE
from nas.cost import cost, facts
from nas.errors import AssignmentError, Infeasible
from nas.grammar import Options
from nas.sampler.features import describe
from nas.space import Assignment, Space

REMEMBERED: Final = 50_000
"""Described networks that a domain keeps."""
MEASURING: Final = 90
"""What it takes to measure a block for the first time (2 ms), in nodes of networks whose blocks are known (0.02 ms)."""
INFEASIBLE: Final = 400
"""The same for a network that cannot be: it is unknown how far its blocks were measured."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a network before it is trained."""

    features: tuple[tuple[str, float], ...]
    costs: tuple[float, ...]
    identity: str
    """Equal for assignments that build the same network."""


class Domain(Protocol):
    """Draws, changes and describes assignments."""

    spent: int
    """What all descriptions took so far, in nodes of networks: a budget that no clock disturbs."""

    version: int
    """Changes when what is known of the domain does: assignments from before may not be in it."""

    @property
    def size(self) -> int | None:
        """How many assignments there are; None when nobody knows, or they are too many to be met."""

    def meet(self, params: Assignment, distributions: Mapping[str, BaseDistribution], *, whole: bool) -> None:
        """A trial has ended; with `whole` it had been asked for all that it needs."""

    def describe(self, assignment: Assignment) -> Description | None:
        """None when it cannot be built, or breaks a constraint."""

    def sample(self, rng: random.Random) -> Assignment | None:
        """A random assignment; None when nothing is known of them yet."""

    def vary(self, rng: random.Random, parent: Assignment, other: Assignment, changes: int) -> Assignment:
        """`parent` with some of its choices taken from `other`, or decided anew."""

    def enumerate(self) -> Iterator[Assignment]:
        """Every assignment, for a domain of known size."""


class SpaceDomain:
    """The networks of a space, for images of one shape."""

    def __init__(self, space: Space, input: Shape, classes: int, costs: Sequence[str]) -> None:
        self._space, self._input, self._classes, self._costs = space, input, classes, tuple(costs)
        self._known: dict[tuple[tuple[str, Scalar], ...], Description | None] = {}
        self._measured: set[tuple[str, Params, tuple[Shape, ...]]] = set()
        self.spent = 0
        self.version = 0

    @property
    def size(self) -> int | None:
        """Of a small space; a large one is never met as a whole."""
        return self._space.size if self._space.size <= ENUMERABLE else None

    def meet(self, params: Assignment, distributions: Mapping[str, BaseDistribution], *, whole: bool) -> None:
        """See `Domain`. A space has no more to learn."""

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
            self.spent += INFEASIBLE
            return None
        known = facts(architecture, self._input, self._classes)
        self.spent += len(architecture.nodes) + len(assignment) + MEASURING * self._unmeasured(architecture, known)
        price = cost(architecture, self._input, self._classes)
        if self._space.violation(price) is not None:
            return None
        return Description(
            (*choice_features(assignment), *describe(architecture, known, price).items()),
            tuple(float(getattr(price, name, math.nan)) for name in self._costs),
            architecture.hash,
        )

    def _unmeasured(self, architecture: Architecture, known: Mapping[str, Facts]) -> int:
        """How many blocks of a network this domain has not met before."""
        before = len(self._measured)
        for node in architecture.nodes:
            shapes = tuple([self._input if name == INPUT else known[name].out_shape for name in node.inputs])
            self._measured.add((node.block, node.params, shapes))
        return len(self._measured) - before

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


def choice_features(assignment: Assignment) -> list[tuple[str, float]]:
    """One feature an option, 1 where it is taken; a choice that is not active has none.

    The group is the choice's name without the numbers of copies, so that copies of a node share one weight.
    """
    return [(f"choice {role(name)}:{name}={value}", 1.0) for name, value in sorted(assignment.items())]


def role(name: str) -> str:
    """A choice's name without the numbers of copies."""
    return ".".join(part for part in name.split(".") if not part.isdigit())
