"""Accuracies on few images, made surer by the losses on the same images."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.statistics.proportion import standard_error

Array = npt.NDArray[np.float64]

ENOUGH: Final = 3
"""Fewer networks are left as they were measured."""
DOUBT: Final = 0.5
"""Deviation of the slope that is expected beforehand, as a share of it."""


def informed_accuracies(accuracies: Array, losses: Array, images: int, classes: int) -> Array:
    """What networks are worth whose `accuracies` (n) in [0, 1] and mean cross-entropies (n) are of the same images, so many.

    An image counts in an accuracy as right or wrong and in a loss by how far, so that losses tell networks apart which accuracies
    do not. True accuracies are taken to lie about a line over the losses: its slope is, before anything is seen, that from a guess
    (ln `classes`, 1 / `classes`) to a network without error (0, 1), give or take half of it. What the scatter about the line has
    beyond the error of the measurements says how much of its own accuracy a network keeps (empirical Bayes; Fay and Herriot, JASA
    1979). Where the line does not fall, losses tell nothing, and accuracies are left as they are.
    """
    if len(accuracies) < ENOUGH or classes < 2 or not np.isfinite(losses).all() or np.ptp(losses) == 0:
        return accuracies
    off, away = accuracies - accuracies.mean(), losses - losses.mean()
    chance = float(np.mean([standard_error(float(value), images) ** 2 for value in accuracies]))
    before = -(1 - 1 / classes) / math.log(classes)
    sure = (DOUBT * before) ** -2
    slope = (sure * before + float(away @ off) / chance) / (sure + float(away @ away) / chance)
    if slope >= 0:
        return accuracies
    rest = off - slope * away
    own = max(float(rest @ rest) / (len(rest) - 1) - chance, 0.0)
    informed: Array = accuracies - rest * chance / (own + chance)
    return informed
