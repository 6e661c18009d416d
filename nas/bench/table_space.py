"""A space as a table knows it: with the table's own costs, and only the networks that the table has where it lacks others."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

from blocks.base import Scalar, Shape
from nas.architecture.cost import Built, Cost
from nas.errors import Infeasible
from nas.objectives import COUNTED
from nas.space.space import Assignment, Plan, Space


@dataclass(frozen=True)
class _Priced(Built):
    """A network whose cost is the table's."""

    price: Cost = field(kw_only=True)

    @cached_property
    def cost(self) -> Cost:
        """See `price`."""
        return self.price


@dataclass(frozen=True)
class TableSpace(Space):
    """Networks that a table lacks cannot be: whoever draws, counts or searches meets none of them."""

    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict, kw_only=True, repr=False)
    """Values of what is exact that the table has, by the hash of a network."""
    listed: tuple[Assignment, ...] | None = field(default=None, kw_only=True, repr=False)
    """The assignments of the table where it is not complete: what is drawn and enumerated."""

    @classmethod
    def of(
        cls, space: Space, prices: Mapping[str, Mapping[str, float]], listed: tuple[Assignment, ...] | None
    ) -> TableSpace:
        """The networks of `space` that have a price."""
        return cls(**{item.name: getattr(space, item.name) for item in fields(space)}, prices=prices, listed=listed)

    @property
    def size(self) -> int:
        """See `Space`; assignments of the table where it is not complete."""
        return super().size if self.listed is None else len(self.listed)

    @cached_property
    def _assignments(self) -> frozenset[frozenset[tuple[str, Scalar]]] | None:
        return None if self.listed is None else frozenset(frozenset(found.items()) for found in self.listed)

    @cached_property
    def _digest(self) -> str:
        text = repr(sorted((hash, sorted(price.items())) for hash, price in self.prices.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """See `Space`; another for every table."""
        return f"{super().fingerprint}-{self._digest}"

    def resolve(self, plan: Plan, input: Shape | None = None, classes: int = 10) -> Built:
        """See `Space`. Raises Infeasible for what the table lacks; where it is not complete, for assignments that it lacks."""
        if self._assignments is not None and frozenset(plan.assignment.items()) not in self._assignments:
            raise Infeasible(plan.output, "the table has no such network")  # most proposals of a large space: not built
        built = super().resolve(plan, input, classes)
        values = self.prices.get(built.architecture.hash)
        if values is None:
            raise Infeasible(built.architecture.output, "the table has no such network")
        exact = {name: values[name] if name in values else built.cost[name] for name in COUNTED}
        others = {**built.cost.others, **{name: value for name, value in values.items() if name not in COUNTED}}
        price = Cost(round(exact["parameters"]), round(exact["macs"]), round(exact["activation_bytes"]), others)
        return _Priced(built.architecture, built.input, built.classes, built.facts, price=price)

    def sample(self, rng: random.Random) -> Assignment:
        """See `Space`."""
        return super().sample(rng) if self.listed is None else dict(rng.choice(self.listed))

    def sample_evenly(self, rng: random.Random) -> Assignment:
        """See `Space`."""
        return super().sample_evenly(rng) if self.listed is None else dict(rng.choice(self.listed))

    def enumerate(self) -> Iterator[Assignment]:
        """See `Space`."""
        return super().enumerate() if self.listed is None else map(dict, self.listed)
