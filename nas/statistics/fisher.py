"""Fisher's exact test of two by two counts. That of scipy is the same, after half a second of processor time for its import."""

from __future__ import annotations

import numpy as np

EQUAL = 1e-7
"""Tables whose probabilities differ by less than this part of them are equally likely: rounding must not decide."""


def fisher_exact(hits: int, tries: int, all_hits: int, all_tries: int) -> float:
    """Two-sided p-value of so many hits in `tries` of `all_tries`, among which there are `all_hits`."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, all_tries + 1)))])  # of the factorials

    def chosen(
        of: int, some: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(logs[of] - logs[some] - logs[of - some])

    possible = np.arange(max(0, tries + all_hits - all_tries), min(tries, all_hits) + 1)
    known = chosen(all_hits, possible) + chosen(all_tries - all_hits, tries - possible)
    likely = np.exp(known - known.max())
    observed = likely[hits - possible[0]]
    return float(min(1.0, likely[likely <= observed * (1 + EQUAL)].sum() / likely.sum()))
