"""Whether a training has taught its network anything."""

from __future__ import annotations

import math

import numpy as np

from nas.data import Dataset
from nas.data.task import Labels
from nas.statistics.proportion import standard_error

EXPLODED = 10.0
"""Times the loss of a guess, log(classes): a validation loss above says that the network does not work."""


def majority(labels: Labels) -> float:
    """Share of the commonest class: what one is right in who always says it."""
    return float(np.bincount(labels).max() / len(labels))


def chance(dataset: Dataset) -> float:
    """The accuracy up to which a network is no better than the commonest class: two standard errors above its share."""
    guess = majority(dataset.measured_labels)
    return guess + 2 * standard_error(guess, len(dataset.measured_labels))


def untrained(dataset: Dataset, accuracy: float, loss: float) -> str | None:
    """Why a network with this validation accuracy in [0, 1] and loss counts as untrained; None when it has learned."""
    if accuracy < chance(dataset):
        guess = majority(dataset.measured_labels)
        return f"accuracy {accuracy:.1%} is not above chance: the commonest class alone gives {guess:.1%}"
    if not loss < EXPLODED * math.log(max(2, dataset.classes)):
        return f"validation loss {loss:.3g} has exploded: a guess has {math.log(max(2, dataset.classes)):.2f}"
    return None
