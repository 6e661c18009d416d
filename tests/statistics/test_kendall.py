from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nas.statistics.kendall import kendall_tau_b

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=60)


@given(PAIRS)
def test_tau_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    first, second = zip(*pairs, strict=True)
    theirs = float(stats.kendalltau(first, second).statistic)
    assert kendall_tau_b(first, second) == (None if np.isnan(theirs) else pytest.approx(theirs, abs=1e-12))


def test_one_order_of_many_values_is_one() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    assert kendall_tau_b(values, np.exp(values)) == 1.0
    assert kendall_tau_b(values, -values) == -1.0
    noisy = values + np.random.default_rng(1).normal(size=10_000)
    assert kendall_tau_b(values, noisy) == pytest.approx(stats.kendalltau(values, noisy).statistic)
