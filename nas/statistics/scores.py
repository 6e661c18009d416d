"""What a network is worth on images: metrics by name with their standard errors, for all images and class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.objectives import ACCURACY, BALANCED_ACCURACY
from nas.statistics.proportion import standard_error

CHANCE = 2.0
"""Standard errors that a difference may have by chance."""
SHARES = 3.0, 0.01
"""A class has another share of two sets of images from this many standard errors on, and this much of a difference."""


@dataclass(frozen=True)
class Estimate:
    """A value that was measured on some images, and how sure it is."""

    value: float
    error: float | None = None
    """Its standard error; None where nobody knows it."""


@dataclass(frozen=True)
class ClassScore:
    """What a network is worth on one class."""

    value: float | None
    """None where no image has the class, like `error`."""
    error: float | None
    images: int
    """Images of the class, or that have the label."""


@dataclass(frozen=True)
class Score:
    """What a network is worth on one part of the data."""

    metrics: Mapping[str, Estimate]
    """Estimates by the names of metrics, the loss too."""
    images: int | None = None
    """How many images there are; None where that is not recorded."""
    classes: tuple[ClassScore, ...] = ()
    """Class by class; empty where labels are no classes."""
    class_metric: str = ""
    """What the classes are measured by: ``accuracy``, ``average_precision``."""

    @classmethod
    def of_counts(cls, right: Sequence[int], images: Sequence[int]) -> Score:
        """That of `right` answers among the `images` of each class: accuracy, and the mean of the accuracies of the classes."""
        total = sum(images)
        accuracy = sum(right) / total
        classes = []
        for hits, tries in zip(right, images, strict=True):
            share = hits / tries if tries else None
            classes.append(ClassScore(share, None if share is None else standard_error(share, tries), tries))
        there = [one for one in classes if one.value is not None]
        balanced = sum(one.value or 0.0 for one in there) / len(there)
        metrics = {
            ACCURACY.name: Estimate(accuracy, standard_error(accuracy, total)),
            BALANCED_ACCURACY.name: Estimate(balanced, error_of_mean([one.error or 0.0 for one in there])),
        }
        return cls(metrics, total, tuple(classes), ACCURACY.name)

    def value(self, metric: str) -> float:
        """The value of a metric; NaN where it was not measured."""
        return self.metrics[metric].value if metric in self.metrics else math.nan

    def error(self, metric: str) -> float | None:
        """The standard error of a metric."""
        return self.metrics[metric].error if metric in self.metrics else None

    def of(self, place: int) -> tuple[float | None, float | None]:
        """The value of one class and its standard error; None where there is no image of it."""
        return self.classes[place].value, self.classes[place].error

    def record(self, names: Sequence[str]) -> dict[str, Any]:
        """Everything as plain data, for `--json`."""
        return {
            "images": self.images,
            **{name: one.value for name, one in self.metrics.items()},
            "standard_errors": {name: one.error for name, one in self.metrics.items()},
            "classes": [
                {"class": name, "images": one.images, self.class_metric: one.value, "standard_error": one.error}
                for name, one in zip(names, self.classes, strict=False)
            ],
        }


@dataclass(frozen=True)
class Gap:
    """How much larger a value is that the same weights have on one set of images than on another."""

    difference: float
    error: float | None
    """Its standard error; None where one of both has none."""

    @classmethod
    def between(cls, first: Score, second: Score, metric: str) -> Gap:
        """The gap between two sets that share no image."""
        errors = first.error(metric), second.error(metric)
        error = None if errors[0] is None or errors[1] is None else math.hypot(errors[0], errors[1])
        return cls(first.value(metric) - second.value(metric), error)

    @property
    def by_chance(self) -> bool | None:
        """Whether two measurements of equal worth may differ so much: up to `CHANCE` standard errors; None: nobody knows."""
        return None if self.error is None else abs(self.difference) <= CHANCE * self.error

    def record(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return {"difference": self.difference, "standard_error": self.error, "by_chance": self.by_chance}


def error_of_mean(errors: Sequence[float]) -> float:
    """Standard error of the mean of values that were measured on images of their own, from their standard errors."""
    return math.sqrt(sum(error**2 for error in errors)) / len(errors)


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
