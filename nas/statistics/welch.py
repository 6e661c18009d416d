"""Welch's t-test. That of scipy is the same, after a second of processor time for its import."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

STEPS = 10_000
"""The continued fraction needs some tens of steps; so many are taken at most."""
EXACT = 1e-15


def welch(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p-value for equal means, of at least two values each, not all equal in both (Welch 1947)."""
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    t_squared = float(np.mean(first) - np.mean(second)) ** 2 / sum(parts)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    )
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t_squared))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22, by Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where it converges slowly
        return 1.0 - incomplete_beta(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    value, upper, lower = 1.0, 1.0, 0.0
    for step in range(STEPS):
        m = step // 2
        if step == 0:
            part = 1.0
        elif step % 2:
            part = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            part = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1.0 / _kept_off_zero(1.0 + part * lower)
        upper = _kept_off_zero(1.0 + part / upper)
        factor = upper * lower
        value *= factor
        if step and abs(factor - 1) < EXACT:
            break
    return front * (value - 1.0) / a


def _kept_off_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
