"""Standard errors of what no formula gives one for: the bootstrap over images (Efron and Tibshirani 1993, An Introduction to the
Bootstrap, algorithm 6.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 200
"""Samples of images with replacement: 50 to 200 serve for a standard error (section 6.4); with 200 it is itself known to 5 %."""
FEWEST: Final = 0.5
"""Share of the samples that must give a number, such as an image of a class, for a spread to be told."""


def resampled(images: int, seed: int, resamples: int = RESAMPLES) -> Iterator[npt.NDArray[np.int64]]:
    """Places of images (images,), drawn with replacement, so many times; the same for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield rng.integers(0, images, images)


def spread(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The standard deviation of each column of (resamples, values), without what is no number.

    NaN where that is most, and where all are alike: that an image is right in every sample makes nothing certain.
    """
    there = np.isfinite(values)
    count = there.sum(0)
    known = count >= max(2, FEWEST * len(values))
    mean = np.where(there, values, 0).sum(0) / np.maximum(count, 1)
    squares = np.where(there, (values - mean) ** 2, 0).sum(0)
    found: npt.NDArray[np.float64] = np.where(
        known & (squares > 0), np.sqrt(squares / np.maximum(count - 1, 1)), np.nan
    )
    return found
