"""Accuracies and losses of networks whose true accuracies are known, on images that are drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import kendalltau

from nas.statistics.informed import ENOUGH, informed_accuracies


def drawn(seed: int, networks: int = 20, images: int = 300) -> tuple[npt.NDArray[np.float64], ...]:
    """True accuracies, and accuracies and mean losses on the same images for all: an image is hard, a network is good."""
    rng = np.random.default_rng(seed)
    worth, hard = rng.normal(0.8, 0.25, networks), rng.normal(0, 1.2, 20_000)
    margins = worth[:, None] - hard + rng.normal(0, 0.8, (networks, 20_000))
    losses = np.log1p(np.exp(-2 * margins))  # of two classes
    return (margins > 0).mean(axis=1), (margins > 0)[:, :images].mean(axis=1), losses[:, :images].mean(axis=1)


def test_losses_tell_apart_what_accuracies_on_few_images_do_not() -> None:
    before, after = [], []
    for seed in range(20):
        true, accuracies, losses = drawn(seed)
        informed = informed_accuracies(accuracies, losses, 300, 2)
        before.append(kendalltau(true, accuracies).statistic)
        after.append(kendalltau(true, informed).statistic)
    assert np.mean(after) > np.mean(before) + 0.03


def test_losses_that_tell_nothing_change_no_order() -> None:
    _, accuracies, _ = drawn(0)
    rising = np.argsort(np.argsort(accuracies)) / 20 + 1.0  # a better network with the higher loss
    assert informed_accuracies(accuracies, rising, 300, 2) is accuracies


def test_on_many_images_an_accuracy_is_what_it_is() -> None:
    _, accuracies, losses = drawn(0)
    assert informed_accuracies(accuracies, losses, 10**9, 2) == pytest.approx(accuracies, abs=1e-4)


def test_few_networks_and_losses_that_are_unknown_leave_them_as_they_are() -> None:
    few = np.linspace(0.5, 0.6, ENOUGH - 1)
    assert informed_accuracies(few, few[::-1], 100, 2) is few
    more = np.linspace(0.5, 0.6, 20)
    assert informed_accuracies(more, np.full(20, np.nan), 100, 2) is more
    assert informed_accuracies(more, np.ones(20), 100, 2) == pytest.approx(
        more
    )  # drawn to their mean where chance would do
