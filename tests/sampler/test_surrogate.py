from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nas.sampler import surrogate
from nas.sampler.surrogate import Posterior, Weights, inducing, learn

Array = npt.NDArray[np.float64]


def _data(count: int, seed: int = 0) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Six features in two groups; the target hangs on the first group alone."""
    x = np.random.default_rng(seed).normal(size=(count, 6))
    return x, np.array([0, 0, 0, 1, 1, 1]), np.sin(x[:, 0]) + 0.5 * x[:, 1]


def _posterior(x: Array, group: npt.NDArray[np.int64], y: Array, shift: Array | None = None) -> Posterior:
    none = np.zeros(len(y))
    shift = none if shift is None else shift
    return Posterior(learn(x, group, y, none, shift, none, start=None, steps=30), x, group, y, none, shift, none)


def test_it_predicts_what_it_has_not_seen_from_the_features_that_matter() -> None:
    x, group, y = _data(120)
    none = np.zeros(len(y))
    weights = learn(x, group, y, none, none, none, start=None, steps=30)
    assert weights.groups[0] > weights.groups[1] + 1
    fresh, _, truth = _data(200, seed=1)
    mean, variance = Posterior(weights, x, group, y, none, none, none)(fresh)
    assert float(np.corrcoef(mean, truth)[0, 1]) > 0.9
    inside = np.abs(mean - truth) < 2.5 * np.sqrt(variance + 1e-4)
    assert inside.mean() > 0.85


def test_a_sparse_posterior_is_near_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x, group, y = _data(200)
    none, weights = np.zeros(len(y)), Weights(-4.0, 0.0, np.array([-2.0, -6.0]))
    fresh = _data(50, seed=1)[0]
    exact = Posterior(weights, x, group, y, none, none, none)
    monkeypatch.setattr(surrogate, "EXACT_AT_MOST", 150)
    sparse = Posterior(weights, x, group, y, none, none, none)
    assert np.abs(exact(fresh)[0] - sparse(fresh)[0]).max() < 0.15
    ratio = np.sqrt(sparse(fresh)[1] / exact(fresh)[1])
    assert 0.5 < ratio.min() <= ratio.max() < 2
    for posterior in (exact, sparse):  # the variance is the diagonal of the covariance
        assert np.allclose(np.diag(posterior.covariance(fresh, fresh)), posterior(fresh)[1], atol=1e-8)


def test_observations_of_less_training_are_shifted_not_trusted_as_they_are() -> None:
    """All that is known of one half of the networks comes from trials that were stopped, and lies 1.5 too high."""
    x, group, y = _data(120)
    early = x[:, 0] > 0
    shift = np.where(early, np.log(0.3), 0.0)
    observed = y + np.where(early, 1.5, 0.0)
    # a few full trainings among them tell by how much
    shift[early & (x[:, 1] > 1.0)], observed[early & (x[:, 1] > 1.0)] = 0.0, y[early & (x[:, 1] > 1.0)]
    fresh, _, truth = _data(200, seed=1)
    half = fresh[:, 0] > 0
    told = _posterior(x, group, observed, shift)(fresh)[0]
    naive = _posterior(x, group, observed)(fresh)[0]
    assert np.abs(told - truth)[half].mean() < 0.6 * np.abs(naive - truth)[half].mean()


def test_failures_weigh_less_than_measurements() -> None:
    x, group, y = _data(60)
    weights, none = Weights(-3.0, 0.0, np.array([-2.0, -6.0])), np.zeros(60)
    raised, unsure = y.copy(), np.zeros(60)
    raised[0], unsure[0] = y[0] + 3, 50.0
    pulls = [Posterior(weights, x, group, raised, extra, none, none)(x[:1])[0][0] - y[0] for extra in (none, unsure)]
    assert pulls[1] < 0.5 * pulls[0]


def test_what_a_sparse_posterior_rests_on_holds_the_best() -> None:
    y = np.random.default_rng(0).permutation(100).astype(np.float64)
    kept = inducing(y, 40)
    assert len(set(kept.tolist())) == 40
    assert set(np.argsort(y)[:20].tolist()) <= set(kept.tolist())


def test_what_is_known_to_be_noisy_is_trusted_less_than_its_neighbours() -> None:
    """One observation of 60 was lucky: 3 too low, and its known standard deviation says that it may be."""
    x, group, y = _data(60)
    weights, none = Weights(-5.0, 0.0, np.array([-2.0, -6.0])), np.zeros(60)
    lucky, known = y.copy(), np.full(60, 0.01)
    lucky[0], known[0] = y[0] - 3, 9.0
    pulls = [Posterior(weights, x, group, lucky, none, none, var)(x[:1])[0][0] - y[0] for var in (none, known)]
    assert abs(pulls[1]) < 0.3 * abs(pulls[0])


def test_what_is_known_of_noise_is_not_learned_as_noise_of_the_model() -> None:
    x, group, y = _data(100)
    noisy = y + np.random.default_rng(5).normal(0, 0.7, len(y))
    none, known = np.zeros(len(y)), np.full(len(y), 0.7**2)
    told = learn(x, group, noisy, none, none, known, start=None, steps=40)
    untold = learn(x, group, noisy, none, none, none, start=None, steps=40)
    assert told.noise < untold.noise
