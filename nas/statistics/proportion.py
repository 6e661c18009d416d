"""How sure an accuracy is that was measured on some images."""

from __future__ import annotations

import math


def standard_error(accuracy: float, images: int) -> float:
    """Standard error of an accuracy (or an error) in [0, 1] on so many images: its standard deviation over other images like them.

    Of the binomial distribution, with one right and one wrong answer added, so that 0 and 1 do not pass for certain (Laplace's
    rule of succession).
    """
    share = (accuracy * images + 1) / (images + 2)
    return math.sqrt(share * (1 - share) / images)


def with_error(accuracy: float, images: int | None) -> str:
    """An accuracy in [0, 1] with its standard error, ``74.2 ± 1.9 %``; ``74.20%`` where nobody knows on how many images."""
    if not images:
        return f"{accuracy:.2%}"
    return f"{100 * accuracy:.1f} ± {100 * standard_error(accuracy, images):.1f} %"


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for a share of `hits` among `n` (Wilson 1927), at z = 1.96 with 95 % confidence."""
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
