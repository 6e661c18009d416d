"""What a network is worth on images: counts of right answers in each class, and all that follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.statistics.proportion import standard_error

CHANCE = 2.0
"""Standard errors that a difference may have by chance."""
SHARES = 3.0, 0.01
"""A class has another share of two sets of images from this many standard errors on, and this much of a difference."""


@dataclass(frozen=True)
class Score:
    """Images of each class that were classified right, and of how many."""

    right: tuple[int, ...]
    images: tuple[int, ...]

    @classmethod
    def of_confusion(cls, confusion: Sequence[Sequence[int]]) -> Score:
        """The score of a matrix with a row for each true class and a column for each predicted one."""
        rows = [[int(count) for count in row] for row in confusion]
        return cls(tuple(row[place] for place, row in enumerate(rows)), tuple(map(sum, rows)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Sequence[int]]) -> Score:
        """What `to_dict` gave."""
        return cls(tuple(data["right"]), tuple(data["images"]))

    def to_dict(self) -> dict[str, list[int]]:
        """Plain data for JSON."""
        return {"right": list(self.right), "images": list(self.images)}

    @property
    def total(self) -> int:
        """How many images there are."""
        return sum(self.images)

    @property
    def accuracy(self) -> float:
        """Share of all images that were classified right."""
        return sum(self.right) / self.total

    @property
    def error(self) -> float:
        """Standard error of the accuracy."""
        return standard_error(self.accuracy, self.total)

    @property
    def balanced(self) -> float:
        """Mean of the accuracies of the classes that there are images of: each class counts alike."""
        there = [place for place, images in enumerate(self.images) if images]
        return sum(self.right[place] / self.images[place] for place in there) / len(there)

    @property
    def balanced_error(self) -> float:
        """Standard error of `balanced`."""
        errors = [error for place in range(len(self.images)) if (error := self.of(place)[1]) is not None]
        return math.sqrt(sum(error**2 for error in errors)) / len(errors)

    def of(self, place: int) -> tuple[float | None, float | None]:
        """Accuracy of one class and its standard error; None where there is no image of it."""
        images = self.images[place]
        if not images:
            return None, None
        accuracy = self.right[place] / images
        return accuracy, standard_error(accuracy, images)

    def record(self, names: Sequence[str]) -> dict[str, Any]:
        """Everything as plain data, for `--json`; accuracies in [0, 1]."""
        classes = [(name, self.images[place], *self.of(place)) for place, name in enumerate(names)]
        return {
            "images": self.total,
            "accuracy": self.accuracy,
            "standard_error": self.error,
            "balanced_accuracy": self.balanced,
            "balanced_standard_error": self.balanced_error,
            "classes": [
                {"class": name, "images": images, "accuracy": accuracy, "standard_error": error}
                for name, images, accuracy, error in classes
            ],
        }


@dataclass(frozen=True)
class Gap:
    """How much better the same weights did on one set of images than on another."""

    difference: float
    """Difference of two accuracies in [0, 1]."""
    error: float
    """Its standard error."""

    @classmethod
    def between(cls, first: Score, second: Score) -> Gap:
        """The gap between the scores of two sets that share no image."""
        return cls(first.accuracy - second.accuracy, math.hypot(first.error, second.error))

    @property
    def by_chance(self) -> bool:
        """Whether two measurements of equal worth may differ so much: up to `CHANCE` standard errors."""
        return abs(self.difference) <= CHANCE * self.error

    def record(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return {"difference": self.difference, "standard_error": self.error, "by_chance": self.by_chance}


def other_shares(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """The classes whose share of the images differs between two sets by more than chance, the largest difference first.

    `first` and `second` count the images of each class.
    """
    errors, least = SHARES
    total, others = sum(first), sum(second)
    shares = [(one / total, two / others) for one, two in zip(first, second, strict=True)]
    found = []
    for place, (one, two) in enumerate(shares):
        together = (first[place] + second[place]) / (total + others)
        chance = math.sqrt(together * (1 - together) * (1 / total + 1 / others))
        if abs(one - two) > max(errors * chance, least):
            found.append(place)
    return sorted(found, key=lambda place: -abs(shares[place][0] - shares[place][1]))
