"""What the model expects of networks that are alike in all that it sees of them."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest

from nas.sampler.history import Observation
from nas.sampler.model import Known, Model

TRIED, FREE = 24, 4


def hopes_of_alike_networks(deviation: float, count: int) -> tuple[npt.NDArray[np.float64], float]:
    """The hope in each of some networks that were not tried, and the expected improvement by one more of the same distribution.

    Errors scatter three times as far on the worse side of their median, as those of random networks do.
    """

    def error(quantile: float) -> float:
        score = NormalDist().inv_cdf(quantile)
        return 0.3 + deviation * (score if score < 0 else 3 * score)

    errors = np.array([error((place + 0.5) / TRIED) for place in range(TRIED)])
    known = Known(
        matrix=np.zeros((TRIED + FREE, 1)),
        group=np.zeros(1, dtype=np.int64),
        age=0,
        costs=np.empty((TRIED + FREE, 0)),
        observed=[Observation(place, value) for place, value in enumerate(errors.tolist())],
        pending=[],
        paces=np.ones(TRIED + FREE),
    )
    _, hopes = Model(0).best(known, np.arange(TRIED, TRIED + FREE), count)
    draws = np.array([error((place + 0.5) / 10_000) for place in range(10_000)])
    return hopes, float(np.maximum(errors.min() - draws, 0).mean())


@pytest.mark.parametrize("count", [1, 3])
def test_a_network_may_be_better_than_all_that_look_like_it(count: int) -> None:
    """What its features do not say is hoped for as far as it was seen to differ."""
    hopes, expected = hopes_of_alike_networks(0.03, count)
    assert expected / 4 < hopes.min() <= hopes.max() < expected * 4
    assert hopes_of_alike_networks(0.003, count)[0].max() < hopes.min() / 3  # where they differ less, less is hoped for
