from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from nas.sampler import surrogate
from nas.sampler.surrogate import Evidence, Posterior, Weights, inducing, learn

Array = npt.NDArray[np.float64]


def _data(count: int, seed: int = 0) -> tuple[Array, npt.NDArray[np.int64], Array]:
    """Six features in two groups; the target hangs on the first group alone."""
    x = np.random.default_rng(seed).normal(size=(count, 6))
    return x, np.array([0, 0, 0, 1, 1, 1]), np.sin(x[:, 0]) + 0.5 * x[:, 1]


def _posterior(x: Array, group: npt.NDArray[np.int64], y: Array, shift: Array | None = None) -> Posterior:
    seen = Evidence.exact(x, y) if shift is None else replace(Evidence.exact(x, y), shift=shift)
    return Posterior(learn(seen, group, start=None, steps=30), seen, group)


def _weights(noise: float) -> Weights:
    return Weights(noise, 0.0, -3.0, 0.3, -2.0, 1.0, np.array([-2.0, -6.0]))


def test_it_predicts_what_it_has_not_seen_from_the_features_that_matter() -> None:
    x, group, y = _data(120)
    seen = Evidence.exact(x, y)
    weights = learn(seen, group, start=None, steps=30)
    assert weights.groups[0] > weights.groups[1] + 1
    fresh, _, truth = _data(200, seed=1)
    mean, variance = Posterior(weights, seen, group)(fresh)
    assert float(np.corrcoef(mean, truth)[0, 1]) > 0.9
    inside = np.abs(mean - truth) < 2.5 * np.sqrt(variance + 1e-4)
    assert inside.mean() > 0.85


def test_a_sparse_posterior_is_near_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x, group, y = _data(200)
    seen, weights = Evidence.exact(x, y), _weights(-4.0)
    fresh = _data(50, seed=1)[0]
    exact = Posterior(weights, seen, group)
    monkeypatch.setattr(surrogate, "EXACT_AT_MOST", 150)
    sparse = Posterior(weights, seen, group)
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
    raised, unsure = y.copy(), np.zeros(60)
    raised[0], unsure[0] = y[0] + 3, 50.0
    seen = [replace(Evidence.exact(x, raised), extra=extra) for extra in (np.zeros(60), unsure)]
    pulls = [Posterior(_weights(-3.0), one, group)(x[:1])[0][0] - y[0] for one in seen]
    assert pulls[1] < 0.5 * pulls[0]


def test_what_a_sparse_posterior_rests_on_holds_the_best() -> None:
    y = np.random.default_rng(0).permutation(100).astype(np.float64)
    kept = inducing(y, 40)
    assert len(set(kept.tolist())) == 40
    assert set(np.argsort(y)[:20].tolist()) <= set(kept.tolist())


def test_what_is_known_to_be_noisy_is_trusted_less_than_its_neighbours() -> None:
    """One observation of 60 was lucky: 3 too low, and its known standard deviation says that it may be."""
    x, group, y = _data(60)
    lucky, known = y.copy(), np.full(60, 0.01)
    lucky[0], known[0] = y[0] - 3, 9.0
    seen = [replace(Evidence.exact(x, lucky), known=variance) for variance in (np.zeros(60), known)]
    pulls = [Posterior(_weights(-5.0), one, group)(x[:1])[0][0] - y[0] for one in seen]
    assert abs(pulls[1]) < 0.3 * abs(pulls[0])


def test_what_is_known_of_noise_is_not_learned_as_noise_of_the_model() -> None:
    x, group, y = _data(100)
    noisy = y + np.random.default_rng(5).normal(0, 0.7, len(y))
    seen = Evidence.exact(x, noisy)
    told = learn(replace(seen, known=np.full(len(y), 0.7**2)), group, start=None, steps=40)
    untold = learn(seen, group, start=None, steps=40)
    assert told.noise < untold.noise


def test_what_a_network_was_worth_at_a_rung_says_more_of_its_end_than_its_features() -> None:
    """Networks are off their features, and spread less at a rung; 60 of 90 were trained to the end."""
    x, group, y = _data(90)
    rng = np.random.default_rng(2)
    ends = y + rng.normal(0, 0.7, 90)
    rungs = 0.67 * ends + 1.5 + rng.normal(0, 0.1, 90)
    done, waits = np.arange(60), np.arange(60, 90)
    early = replace(Evidence.exact(x, rungs), shift=np.full(90, np.log(1 / 3)))
    posterior = Posterior(_weights(np.log(0.5)), early + Evidence.exact(x, ends)[done], group)
    known, variance = posterior.themselves(x[waits], waits)
    by_features = posterior(x[waits])[0]
    assert np.abs(known - ends[waits]).mean() < 0.7 * np.abs(by_features - ends[waits]).mean()
    assert (np.abs(known - ends[waits]) < 2.5 * np.sqrt(variance)).mean() > 0.85
    # and before that it is known how much the rung will tell
    observed, together = posterior.early(np.ones(1), np.log(1 / 3))
    assert 0.6 < together[0] / np.sqrt(observed[0]) < 1


def test_how_a_rung_is_related_to_the_end_is_learned() -> None:
    """The weights that are learned make what was observed likelier than others: networks spread less at the rung here."""
    x, group, y = _data(60)
    early = replace(Evidence.exact(x, 0.5 * y + 1), shift=np.full(60, np.log(1 / 3)))
    spread = learn(early + Evidence.exact(x, y), group, start=None, steps=25)
    alike = learn(replace(early, y=y + 1) + Evidence.exact(x, y), group, start=None, steps=25)
    assert spread.spreading > alike.spreading + 0.2
