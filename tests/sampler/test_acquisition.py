from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.sampler.acquisition import Budgets, Improvement, Warp

Array = npt.NDArray[np.float64]


def _by_chance(
    errors: Array, costs: Array, warp: Warp, reference: float, mean: float, deviation: float, cost: Array
) -> float:
    """The same expectation, by drawing errors and budgets."""
    rng = np.random.default_rng(0)
    budgets = rng.random((20_000, costs.shape[1]))
    affordable = np.all(costs[None] <= budgets[:, None], axis=2)
    best = np.minimum(np.where(affordable, errors[None], np.inf).min(axis=1), reference)
    drawn = warp.inverse(mean + deviation * rng.normal(size=20_000))
    gains = np.maximum(best - drawn, 0) * np.all(budgets >= cost, axis=1)
    return float(gains.mean())


@pytest.mark.parametrize("number_of_costs", [1, 2])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_expected_improvement_is_what_drawing_gives(number_of_costs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors, costs = rng.uniform(0.05, 0.5, 12), rng.random((12, number_of_costs))
    warp = Warp.fitted(errors)
    reference = float(errors.max())
    mean, deviation, cost = rng.normal(size=3), rng.uniform(0.2, 1.0, 3), rng.random((3, number_of_costs)) * 0.8
    found = Improvement(errors, costs, warp, reference, seed=0)(mean, deviation**2, cost)
    drawn = [_by_chance(errors, costs, warp, reference, *parts) for parts in zip(mean, deviation, cost, strict=True)]
    assert np.allclose(found, drawn, rtol=0.12, atol=2e-3)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_cheaper_and_better_is_never_less_hopeful(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors, costs = rng.uniform(0.05, 0.5, 8), rng.random((8, 1))
    improvement = Improvement(errors, costs, Warp.fitted(errors), float(errors.max()), seed=0)
    mean, cost = rng.normal(), rng.random()
    base, cheaper, better = improvement(
        np.array([mean, mean, mean - 0.5]), np.full(3, 0.3), np.array([[cost], [cost / 2], [cost]])
    )
    assert cheaper >= base - 1e-12
    assert better >= base - 1e-12


@given(errors=st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=30))
def test_a_warp_keeps_order_and_can_be_undone(errors: list[float]) -> None:
    values = np.sort(np.array(errors))
    warp = Warp.fitted(values)
    assert np.all(np.diff(warp(values)) >= -1e-9)
    assert np.allclose(warp.inverse(warp(values)), values, rtol=1e-6)


def test_errors_below_zero_are_warped_without_a_logarithm() -> None:
    values = np.array([-3.0, -1.0, 0.0, 2.0])
    warp = Warp.fitted(values)
    assert np.allclose(warp.inverse(warp(values)), values)


def test_budgets_run_from_the_cheapest_to_the_dearest() -> None:
    costs = np.array([[1e3, 0.0], [1e6, 5.0], [3e4, 2.0]])
    scaled = Budgets.spanning(costs)(costs)
    assert scaled.min() == 0
    assert scaled.max() == 1
    assert 0.02 < scaled[2, 0] < 0.6  # between its place on an even scale and on a logarithmic one
    assert scaled[2, 1] == pytest.approx(0.4)  # a cost of nothing has no logarithm


def test_the_variance_of_a_warped_error_is_that_of_its_measurements() -> None:
    rng = np.random.default_rng(0)
    warp = Warp.fitted(rng.uniform(0.05, 0.6, 200))
    errors, deviations = np.array([0.1, 0.3, 0.5]), np.array([0.01, 0.02, 0.03])
    drawn = [
        warp(rng.normal(error, deviation, 20_000)).var() for error, deviation in zip(errors, deviations, strict=True)
    ]
    assert np.allclose(warp.variance(errors, deviations), drawn, rtol=0.15)
    assert warp.variance(errors, np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
