from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats

from nas.statistics.welch import incomplete_beta, welch

ACCURACIES = st.lists(st.integers(0, 10_000).map(lambda number: number / 10_000), min_size=2, max_size=12)


@given(ACCURACIES, ACCURACIES)
def test_the_p_value_is_that_of_scipy(first: list[float], second: list[float]) -> None:
    assume(np.ptp(first) > 0 or np.ptp(second) > 0)
    theirs = stats.ttest_ind(first, second, equal_var=False).pvalue
    assert welch(first, second) == pytest.approx(theirs, rel=1e-6, abs=1e-12)


@given(st.floats(0.01, 1e4), st.floats(0.01, 1e4), st.floats(0, 1))
def test_the_beta_function_is_that_of_scipy(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), abs=1e-9)
