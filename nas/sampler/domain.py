"""Where candidates come from: a `Space`, whose networks are known before training (see `nas.sampler.trials` for none)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol

from optuna.distributions import BaseDistribution

from blocks import Facts
from blocks.base import Params, Scalar, Shape
from nas.architecture.architecture import INPUT, Architecture
from nas.errors import AssignmentError, Infeasible
from nas.objectives import OBJECTIVES
from nas.sampler.features import Features, describe
from nas.space.feasibility import ENUMERABLE
from nas.space.grammar import Options
from nas.space.space import Assignment, Space

REMEMBERED: Final = 50_000
"""Networks of which a process keeps what was found out: 100 MB."""
MEASURING: Final = 90
"""What it takes to measure a block for the first time (2 ms), in nodes of networks whose blocks are known (0.02 ms)."""
STEP: Final = (1.0, 2.3, 0.5)
"""What an operation of a forward pass costs in a training step of 32 images, a MB of the tensors that it makes, and a million
multiply-accumulates. Fitted to trainings of 12 networks of attn_cnn at 32 pixels on one core of an AMD EPYC, of 6 to 80 seconds: it
is off by 5 %, with a rank correlation of .99; at 16 pixels .98 (21 networks), on an Intel Xeon .96 (97 networks)."""
PROBING: Final = 500
"""What it takes to measure a further value of a network (10 ms)."""
INFEASIBLE: Final = 400
"""The same for a network that cannot be: it is unknown how far its blocks were measured."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of a network before it is trained."""

    features: Features
    costs: tuple[float, ...]
    identity: str
    """Equal for assignments that build the same network."""
    pace: float = 1.0
    """How long a training step takes, in an unknown unit; 1 for all where it is unknown."""


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
        """The description of its network; None when it cannot be built, or breaks a constraint."""

    def repeats(self, assignment: Assignment) -> bool:
        """Whether a trial with these answers would be one that has ended, whatever its `Description` says."""

    def sample(self, rng: random.Random) -> Assignment | None:
        """A random assignment; None when nothing is known of them yet."""

    def vary(self, rng: random.Random, parent: Assignment, other: Assignment, changes: int) -> Assignment:
        """`parent` with some of its choices taken from `other`, or decided anew."""

    def enumerate(self) -> Iterator[Assignment]:
        """Every assignment, for a domain of known size."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found out about an assignment, and what that took."""

    description: Description | None
    effort: int
    blocks: tuple[int, ...]


@dataclass
class _Remembered:
    """Networks of the space that was searched last: a comparison of samplers searches one again and again."""

    context: object = None
    networks: dict[tuple[tuple[str, Scalar], ...], _Known] = field(default_factory=dict)


_remembered = _Remembered()
_block_numbers: dict[tuple[str, Params, tuple[Shape, ...]], int] = {}


class SpaceDomain:
    """The networks of a space, for images of one shape."""

    def __init__(
        self,
        space: Space,
        input: Shape,
        classes: int,
        costs: Sequence[str],
        features: Mapping[str, Callable[[Architecture], float]] | None = None,
    ) -> None:
        """`features` are values of a network beside its cost, by the names of objectives."""
        self._features = dict(features or {})
        self._space, self._input, self._classes, self._costs = space, input, classes, tuple(costs)
        self._sign = {name: -1.0 if OBJECTIVES[name].is_maximized else 1.0 for name in costs}
        counts = tuple((name, row.count) for name, row in OBJECTIVES.items() if row.count is not None)
        more = (*counts, *self._features.items())
        context = (space.fingerprint, tuple(space.constraints.items()), input, classes, self._costs, more)
        if _remembered.context != context:
            _remembered.context, _remembered.networks = context, {}
        self._known = _remembered.networks
        self._measured: set[int] = set()
        self.spent = 0
        self.version = 0

    @cached_property
    def size(self) -> int | None:
        """Size of a small space; a large one is never met as a whole."""
        size = self._space.size
        return size if size <= ENUMERABLE else None

    def meet(self, params: Assignment, distributions: Mapping[str, BaseDistribution], *, whole: bool) -> None:
        """See `Domain`. A space has no more to learn."""

    def repeats(self, assignment: Assignment) -> bool:
        """See `Domain`. The identity of a network says it all."""
        return False

    def describe(self, assignment: Assignment) -> Description | None:
        """See `Domain`."""
        key = tuple(sorted(assignment.items()))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._describe(assignment)
        # What was remembered counts as if it had not been: a search decides alike whatever ran before it.
        before = len(self._measured)
        self._measured.update(known.blocks)
        self.spent += known.effort + MEASURING * (len(self._measured) - before)
        return known.description

    def _describe(self, assignment: Assignment) -> _Known:
        try:
            built = self._space.resolve(self._space.plan(assignment), self._input, self._classes)
        except (AssignmentError, Infeasible):
            return _Known(None, INFEASIBLE, ())
        architecture, known, price = built.architecture, built.facts, built.cost
        effort, blocks = len(architecture.nodes) + len(assignment), self._blocks(architecture, known)
        if self._space.violation(price) is not None:
            return _Known(None, effort, blocks)
        if self._features:
            effort += PROBING * len(self._features)
            price = price.with_values({name: value(architecture) for name, value in self._features.items()})
            if self._space.violation(price) is not None:
                return _Known(None, effort, blocks)
        description = Description(
            Features.of((*choice_features(assignment), *describe(architecture, known, price).items())),
            tuple(self._sign[name] * price[name] if name in price else math.nan for name in self._costs),
            architecture.hash,
            pace(known.values()),
        )
        return _Known(description, effort, blocks)

    def _blocks(self, architecture: Architecture, known: Mapping[str, Facts]) -> tuple[int, ...]:
        """Numbers of what had to be measured for a network."""
        found: set[int] = set()
        for node in architecture.nodes:
            shapes = tuple([self._input if name == INPUT else known[name].out_shape for name in node.inputs])
            found.add(_block_numbers.setdefault((node.block, node.params, shapes), len(_block_numbers)))
        return tuple(found)

    def sample(self, rng: random.Random) -> Assignment:
        """See `Domain`."""
        return self._space.sample(rng)

    def vary(self, rng: random.Random, parent: Assignment, other: Assignment, changes: int) -> Assignment:
        """See `Domain`. Choices that a change switches on are drawn evenly."""
        changed = set(rng.sample(sorted(parent), min(changes, len(parent))))
        take = parent is not other

        def choose(name: str, options: Options) -> Scalar:
            if name in changed:
                if take and name in other and other[name] in options.admissible:
                    return other[name]
                others = [option for option in options.admissible if option != parent.get(name)]
                return rng.choice(others or options.admissible)
            for assignment in (parent, other):
                if name in assignment:
                    kept = assignment[name] in options.admissible
                    return assignment[name] if kept else rng.choice(options.admissible)
            return rng.choice(options.admissible)

        return self._space.walk(choose, mend=True).assignment

    def enumerate(self) -> Iterator[Assignment]:
        """See `Domain`."""
        return self._space.enumerate()


def pace(facts: Iterable[Facts]) -> float:
    """How long a training step of a network with these blocks takes, in multiples of one of its operations: see `STEP`."""
    operation, megabyte, million = STEP
    return 1.0 + sum(
        [operation * fact.operations + 32e-6 * (megabyte * fact.made_bytes + million * fact.macs) for fact in facts]
    )


def choice_features(assignment: Assignment) -> list[tuple[str, float]]:
    """One feature an option, 1 where it is taken; a choice that is not active has none.

    The group is the choice's name without the numbers of copies, so that copies of a node share one weight.
    """
    return [(f"choice {role(name)}:{name}={value}", 1.0) for name, value in sorted(assignment.items())]


def role(name: str) -> str:
    """A choice's name without the numbers of copies."""
    return ".".join(part for part in name.split(".") if not part.isdigit())
