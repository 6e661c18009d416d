from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nas.statistics.fisher import fisher_exact


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_the_p_value_is_that_of_scipy(hits: int, misses: int, other_hits: int, other_misses: int) -> None:
    ours = fisher_exact(hits, hits + misses, hits + other_hits, hits + misses + other_hits + other_misses)
    assert ours == pytest.approx(stats.fisher_exact([[hits, misses], [other_hits, other_misses]]).pvalue, rel=1e-6)


def test_thousands_of_trials() -> None:
    assert fisher_exact(90, 3000, 300, 10_000) == pytest.approx(1.0)
    assert fisher_exact(200, 3000, 300, 10_000) == pytest.approx(
        stats.fisher_exact([[200, 2800], [100, 6900]]).pvalue, rel=1e-6
    )
