"""The candidates: every network that was thought of, with its features as a matrix."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.sampler.domain import Description, Domain
from nas.sampler.encoding import Encoding
from nas.sampler.features import Features
from nas.space.space import Assignment

FIRST_EFFORT: Final = 40_000
"""What describing candidates may take before the first proposal, in nodes (`Domain.spent`): about a second."""
EFFORT: Final = 4_000
"""The same before each further one."""
DRAWING: Final = 10
"""What it takes to draw an assignment, whether it is new or not, in nodes."""


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
            features = self._features(0)
            self._encoding = Encoding.of(features)
            self._matrix = self._encoding(features)
        elif len(self) > len(self._matrix):
            self._matrix = np.vstack([self._matrix, self._encoding(self._features(len(self._matrix)))])
        return self._matrix, self._encoding.groups, self._ages

    def _features(self, start: int) -> list[Features]:
        """Those of the candidates from `start` on."""
        return [description.features for description in self.descriptions[start:]]

    def paces(self) -> npt.NDArray[np.float64]:
        """How long a training step of each candidate takes, in an unknown unit: (candidates)."""
        return np.array([description.pace for description in self.descriptions])

    def costs(self) -> npt.NDArray[np.float64]:
        """Costs of the candidates: (candidates, costs)."""
        return np.array([description.costs for description in self.descriptions], dtype=np.float64)


def assignment_key(assignment: Assignment) -> Key:
    """Equal for equal assignments, whatever their order."""
    return tuple(sorted(assignment.items()))
