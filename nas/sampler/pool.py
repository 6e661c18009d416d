"""The candidates: every network that was thought of, with its features as a matrix."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from nas.sampler.domain import Description, Domain
from nas.sampler.features import GROUPS, feature_names
from nas.space.space import Assignment

FIRST_EFFORT: Final = 40_000
"""What describing candidates may take before the first proposal, in nodes (`Domain.spent`): about a second."""
EFFORT: Final = 4_000
"""The same before each further one."""
DRAWING: Final = 10
"""What it takes to draw an assignment, whether it is new or not, in nodes."""
COLUMNS: Final = {"count": 48, "stage": 24, "path2": 64, "path3": 64}
"""Most features of a group, those that vary most."""
OWN_WEIGHT: Final = 24
"""Graph features with a weight of their own, those that vary most; the others share one a group."""


Key = tuple[tuple[str, object], ...]


class Pool:
    """Candidates by number. A number keeps its meaning until `keep`; `matrix` changes as the pool doubles."""

    def __init__(self, domain: Domain, seed: int) -> None:
        self._domain = domain
        self._rng = random.Random(f"pool-{seed}")
        self.assignments: list[Assignment] = []
        self.descriptions: list[Description] = []
        self._numbers: dict[Key, int | None] = {}
        """None for assignments that cannot be."""
        self._rest: Iterator[Assignment] | None = None
        self._grown = False
        self._frozen = 0
        self._ages = 0
        self.complete = False
        """Whether every network of the domain is in it."""

    def __len__(self) -> int:
        return len(self.assignments)

    def add(self, assignment: Assignment) -> int | None:
        """The number of a candidate, None when it cannot be."""
        key = assignment_key(assignment)
        if key in self._numbers:
            return self._numbers[key]
        description = self._domain.describe(assignment)
        if description is None:
            self._numbers[key] = None
            return None
        number = len(self.assignments)
        self._numbers[key] = number
        self.assignments.append(dict(assignment))
        self.descriptions.append(description)
        return number

    def number(self, key: Key) -> int | None:
        """The number of a candidate that was added before."""
        return self._numbers.get(key)

    def keep(self, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Drops all other candidates. Returns the new number of each old one, -1 for those that are gone."""
        renumbered = np.full(len(self), -1, dtype=np.int64)
        renumbered[numbers] = np.arange(len(numbers))
        self.assignments = [self.assignments[number] for number in numbers]
        self.descriptions = [self.descriptions[number] for number in numbers]
        self._numbers = {assignment_key(assignment): number for number, assignment in enumerate(self.assignments)}
        self._rest, self.complete, self._frozen = None, False, 0
        return renumbered

    def grow(self, parents: Sequence[Assignment], at_most: int) -> None:
        """Adds candidates: two of three are children of `parents`, the best networks so far, the others random."""
        domain = self._domain
        end = domain.spent + (EFFORT if self._grown else FIRST_EFFORT)
        self._grown = True
        while domain.spent < end and not self.complete and len(self) < at_most:
            domain.spent += DRAWING
            size = domain.size
            if size is not None and len(self._numbers) > size // 2:
                self._rest = self._rest or domain.enumerate()
                assignment = next(self._rest, None)
                self.complete = assignment is None
            elif parents and self._rng.random() < 2 / 3:
                assignment = self._child(parents)
            else:
                assignment = domain.sample(self._rng)
            if assignment is None:
                return
            self.add(assignment)

    def _child(self, parents: Sequence[Assignment]) -> Assignment:
        """Half of all children differ in one choice only; crossover and larger steps share the rest."""
        parent, other = self._rng.choice(parents), self._rng.choice(parents)
        if self._rng.random() < 2 / 3:
            changes = 1 + min(int(self._rng.expovariate(1.0)), 4)
            return self._domain.vary(self._rng, parent, parent, changes)
        return self._domain.vary(self._rng, parent, other, self._rng.randrange(1, len(parent) // 2 + 2))

    def matrix(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], int]:
        """Scaled features (candidates, columns), the group of each column, and a number that counts rescalings."""
        if len(self) >= 2 * self._frozen:
            self._frozen = len(self)
            self._ages += 1
            self._choose_columns()
            self._matrix = self._encode(0)
        elif len(self) > len(self._matrix):
            self._matrix = np.vstack([self._matrix, self._encode(len(self._matrix))])
        return self._matrix, self._groups, self._ages

    def costs(self) -> npt.NDArray[np.float64]:
        """Costs of the candidates: (candidates, costs)."""
        return np.array([description.costs for description in self.descriptions], dtype=np.float64)

    def _sparse(self, start: int) -> sparse.csr_array:
        features = [description.features for description in self.descriptions[start:]]
        pointers = np.cumsum([0, *[len(item.numbers) for item in features]])
        numbers = np.concatenate([item.numbers for item in features])
        values = np.concatenate([item.values for item in features])
        return sparse.csr_array((values, numbers, pointers), shape=(len(features), len(feature_names())))

    def _choose_columns(self) -> None:
        """Which features are columns, how they are scaled, and which share a weight."""
        whole = self._sparse(0).tocsc()
        mean = np.asarray(whole.mean(axis=0))
        variance = np.maximum(np.asarray((whole * whole).mean(axis=0)) - mean**2, 0.0)
        by_group: dict[str, list[str]] = {}
        number_of = {name: number for number, name in enumerate(feature_names()) if variance[number] > 1e-9}
        for name in sorted(number_of):
            by_group.setdefault(name.partition(":")[0], []).append(name)
        chosen: list[list[str]] = []
        singles: list[str] = []
        for group, names in by_group.items():
            names.sort(key=lambda name: (-variance[number_of[name]], name))
            names = names[: COLUMNS.get(group, len(names))]
            if group in GROUPS and not group.startswith("path"):
                singles += names
            else:
                chosen.append(names)
        singles.sort(key=lambda name: (-variance[number_of[name]], name))
        rest: dict[str, list[str]] = {}
        for place, name in enumerate(singles):
            if place < OWN_WEIGHT:
                chosen.append([name])
            else:
                rest.setdefault(name.partition(":")[0], []).append(name)
        chosen += rest.values()
        columns, groups, units, shares = [], [], [], []
        for number, names in enumerate(chosen):
            ids = [number_of[name] for name in names]
            # graph features weigh alike whatever their unit; options by how often they differ
            standard = np.sqrt(variance[ids]) if names[0].partition(":")[0] in GROUPS else np.ones(len(ids))
            total = 2 * float((variance[ids] / standard**2).sum())
            columns += ids
            groups += [number] * len(ids)
            units += list(standard)
            shares += [1 / np.sqrt(total)] * len(ids)
        self._columns = np.array(columns, dtype=np.int64)
        self._groups = np.array(groups, dtype=np.int64)
        self._mean, self._unit, self._share = mean[self._columns], np.array(units), np.array(shares)

    def _encode(self, start: int) -> npt.NDArray[np.float64]:
        """Rows from candidate `start` on; features that the columns do not know are left out."""
        rows = self._sparse(start).tocsc()[:, self._columns].toarray()
        # a feature that is rare among candidates may be tens of deviations away: 4 are enough
        encoded: npt.NDArray[np.float64] = np.clip((rows - self._mean) / self._unit, -4, 4) * self._share
        return encoded


def assignment_key(assignment: Assignment) -> Key:
    """Equal for equal assignments, whatever their order."""
    return tuple(sorted(assignment.items()))
