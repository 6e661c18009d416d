"""Candidates of a study whose space nobody wrote down: a plain Optuna objective that suggests as it runs.

What may be asked for is learned from the trials: the distributions, and when a parameter is asked for at all. It is
taken to hang on one other parameter that was asked before it (which may in turn hang on another): on that one
whose values tell the trials with it from those without. Where none does, an answer is always kept ready; a trial
that does not ask for it loses nothing.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nas.sampler.domain import Description, choice_features, role
from nas.sampler.features import Features
from nas.space.feasibility import ENUMERABLE
from nas.space.space import Assignment

ABSENT: Final = object()
PRESENT: Final = object()
"""Any value of a parameter whose values hardly occur twice: it can only tell by being asked for or not."""
EFFORT: Final = 5
"""What describing an assignment takes, in the nodes of `Domain.spent`."""
STEP: Final = 0.2
"""Deviation by which a number changes, as a share of its range."""


@dataclass
class _Asked:
    """What a trial is asked for next, after it was asked for something and answered; None: nothing more."""

    name: str | None = None
    after: dict[Any, _Asked] = field(default_factory=dict)


class TrialDomain:
    """See `Domain`. `costs` gives the costs of an assignment, None when it cannot be; without it they are not known."""

    def __init__(self, number_of_costs: int, costs: Callable[[Assignment], Sequence[float] | None] | None) -> None:
        self._costs = costs
        self._unknown = (math.nan,) * number_of_costs
        self._distributions: dict[str, BaseDistribution] = {}
        self._whole = 0
        # By parameter, in the order in which they were first asked for: values of each earlier parameter in the trials
        # that asked for it, and in those that did not.
        self._with: dict[str, dict[str, set[Any]]] = {}
        self._without: dict[str, dict[str, set[Any]]] = {}
        self._values: dict[str, set[Any]] = {}
        self._hangs_on: dict[str, str | None] = {}
        self._first = _Asked()
        self.spent = 0
        self.version = 0

    @property
    def size(self) -> int | None:
        """Size of a space of few options in which nothing is conditional."""
        size = 1
        for name in self._with:
            options = _options(self._distributions[name])
            if options is None:
                return None
            size *= len(options)
        small = bool(self._whole) and size <= ENUMERABLE and not any(self._without.values())
        return size if small else None

    def meet(self, params: Assignment, distributions: Mapping[str, BaseDistribution], *, whole: bool) -> None:
        """See `Domain`."""
        before = (dict(self._distributions), dict(self._hangs_on))
        self._distributions.update(distributions)
        if whole:
            self._compare(params)
            self._hangs_on = {name: self._telling(name) for name in self._with}
        if before != (self._distributions, self._hangs_on):
            self.version += 1

    def _compare(self, params: Assignment) -> None:
        for name in params:
            if name not in self._with:  # all trials before did without
                self._with[name] = {}
                self._without[name] = {other: set(values) for other, values in self._values.items() if self._whole}
                self._values[name] = {ABSENT} if self._whole else set()
        met = {name: self._telling_value(name, params) for name in self._with}
        earlier: list[str] = []
        for name in self._with:
            values = (self._with if name in params else self._without)[name]
            for other in earlier:
                values.setdefault(other, set()).add(met[other])
            self._values[name].add(met[name])
            earlier.append(name)
        self._whole += 1
        asked = self._first
        for name, value in params.items():
            asked.name = asked.name or name
            if asked.name != name:  # a storage that does not keep their order
                return
            asked = asked.after.setdefault(value, _Asked())

    def repeats(self, assignment: Assignment) -> bool:
        """See `Domain`: answers alike are asked for the same, whatever else an assignment holds ready."""
        asked: _Asked | None = self._first
        while asked is not None and asked.name is not None:
            asked = asked.after.get(assignment[asked.name]) if asked.name in assignment else None
        return asked is not None and bool(self._whole)

    def _telling_value(self, name: str, params: Assignment) -> Any:
        if name not in params:
            return ABSENT
        return PRESENT if isinstance(self._distributions[name], FloatDistribution) else params[name]

    def _telling(self, name: str) -> str | None:
        """The parameter on which `name` hangs; None when it is always asked for, or nothing tells."""
        without = self._without[name]
        return next(
            (other for other, values in self._with[name].items() if without and not values & without[other]), None
        )

    def describe(self, assignment: Assignment) -> Description | None:
        """See `Domain`."""
        self.spent += EFFORT
        costs = self._known_costs(assignment)
        if costs is None:
            return None
        words: Assignment = {}
        features: list[tuple[str, float]] = []
        for name, value in assignment.items():
            place = _place(self._distributions.get(name), value)
            if place is None:
                words[name] = value
            else:
                features += [(f"choice {role(name)}:{name}", place), (f"choice {role(name)}:{name} asked", 1.0)]
        identity = repr(sorted(assignment.items()))
        return Description(Features.of((*choice_features(words), *features)), costs, identity)

    def _known_costs(self, assignment: Assignment) -> tuple[float, ...] | None:
        if self._costs is None:
            return self._unknown
        try:
            given = self._costs(assignment)
        except KeyError:  # it needs a parameter that no trial has been asked for yet: to be predicted like the others
            return self._unknown
        if given is None:
            return None
        if len(given) != len(self._unknown):
            raise ValueError(f"costs: must return {len(self._unknown)} numbers, one a cost, not {len(given)}")
        return tuple(float(value) for value in given)

    def sample(self, rng: random.Random) -> Assignment | None:
        """See `Domain`."""
        if not self._whole:
            return None
        return self._walk(lambda name, distribution: _draw(rng, distribution))

    def vary(self, rng: random.Random, parent: Assignment, other: Assignment, changes: int) -> Assignment:
        """See `Domain`."""
        changed = set(rng.sample(sorted(parent), min(changes, len(parent))))
        take = parent is not other

        def choose(name: str, distribution: BaseDistribution) -> Any:
            if name in changed and not (take and name in other):
                return _change(rng, distribution, parent[name])
            for assignment in (other, parent) if name in changed else (parent, other):
                if name in assignment:
                    return assignment[name]
            return _draw(rng, distribution)

        return self._walk(choose)

    def enumerate(self) -> Iterator[Assignment]:
        """See `Domain`."""
        options = [_options(self._distributions[name]) or () for name in self._with]
        for values in itertools.product(*options):
            yield dict(zip(self._with, values, strict=True))

    def _walk(self, choose: Callable[[str, BaseDistribution], Any]) -> Assignment:
        taken: Assignment = {}
        for name, other in self._hangs_on.items():
            if other is None or self._telling_value(other, taken) not in self._without[name][other]:
                taken[name] = choose(name, self._distributions[name])
        return taken


def _options(distribution: BaseDistribution) -> Sequence[Any] | None:
    """All values of a distribution, None for one that has too many."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution) and distribution.high - distribution.low < ENUMERABLE:
        return range(distribution.low, distribution.high + 1, distribution.step)
    return None


def _draw(rng: random.Random, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice(distribution.choices)
    return _at(distribution, rng.random())


def _change(rng: random.Random, distribution: BaseDistribution, value: Any) -> Any:
    """Another option; a number near `value`."""
    if isinstance(distribution, CategoricalDistribution):
        return rng.choice([option for option in distribution.choices if option != value] or distribution.choices)
    place = _place(distribution, value)
    return _at(distribution, rng.random() if place is None else min(max(rng.gauss(place, STEP), 0.0), 1.0))


def _place(distribution: BaseDistribution | None, value: Any) -> float | None:
    """Where a number lies in its range, from 0 to 1; None for what is no number."""
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        return None
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (float(value) - low) / (high - low) if high > low else 0.0


def _at(distribution: BaseDistribution, place: float) -> Any:
    """The number at that place of its range."""
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = float(distribution.low), float(distribution.high)
    whole = isinstance(distribution, IntDistribution)
    if whole and not distribution.log:  # each number gets an even part of the range, the ends too
        low, high = low - 0.5 * (distribution.step or 1), high + 0.5 * (distribution.step or 1)
    value = math.exp(math.log(low) + place * math.log(high / low)) if distribution.log else low + place * (high - low)
    if distribution.step:
        value = distribution.low + round((value - distribution.low) / distribution.step) * distribution.step
    value = min(max(value, distribution.low), distribution.high)
    return round(value) if whole else value
