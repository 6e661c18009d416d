"""Kendall's tau-b of two rows of values. That of scipy is the same, after a second of processor time for its import."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def kendall_tau_b(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Tau-b of two rows of equally many numbers, from -1 to 1 (Kendall 1945); None where all are equal in one of them."""
    x, x_counts = _ranks(first)
    y, y_counts = _ranks(second)
    pairs = len(x) * (len(x) - 1) // 2
    _, both_counts = _ranks(x * (len(x) + 1) + y)
    x_ties, y_ties, both_ties = _pairs(x_counts), _pairs(y_counts), _pairs(both_counts)
    if x_ties == pairs or y_ties == pairs:
        return None
    unlike = _inversions(y[np.lexsort((y, x))])
    alike = pairs - x_ties - y_ties + both_ties - unlike
    return max(-1.0, min(1.0, (alike - unlike) / math.sqrt((pairs - x_ties) * (pairs - y_ties))))


def _ranks(values: npt.ArrayLike) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The place of each among the different values, and how often each of those occurs."""
    _, ranks, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    return ranks.reshape(-1).astype(np.int64), counts.astype(np.int64)


def _pairs(counts: npt.NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: npt.NDArray[np.int64]) -> int:
    """How many pairs stand in falling order, in O(n log n): pairs that differ first in one bit, bit by bit from the highest."""
    found = 0
    for bit in reversed(range(int(ranks.max()).bit_length())):
        higher, ones = ranks >> (bit + 1), (ranks >> bit) & 1
        before = np.cumsum(ones) - ones
        first = np.searchsorted(higher, higher)  # where those with the same higher bits begin: they stand together
        found += int((before - before[first])[ones == 0].sum())
        ranks = ranks[np.argsort(ranks >> bit, kind="stable")]
    return found
