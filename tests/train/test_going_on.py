"""A training that is stopped after any batch and goes on in another process ends as one that nobody disturbed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.config.recipe import Augment, Recipe
from nas.data import Dataset, Task, fraction_of, load
from nas.execution.checkpoint import copied
from nas.train import Trainer, seed_everything
from nas.train.cross_validation import Folds

RECIPE = Recipe(
    epochs=3,
    batch_size=32,
    lr=0.01,
    optimizer="adamw",
    schedule="wsd",
    warmup=0.1,
    ema=0.9,
    clip_norm=1.0,
    mixup=0.4,
    sampling="balanced",
    precision="fp32",
    augment=Augment(crop_padding=1, flip=True, cutout=4, color_jitter=0.2),
)


class Draws(nn.Module):
    """Multiplies by what Python and NumPy draw, as a block of a user's own may."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (0.9 + 0.1 * random.random() + 0.1 * np.random.random()) if self.training else x


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), Draws(), nn.Flatten(), nn.Linear(512, 10)
    )  # fmt: skip


def whole() -> Trainer:
    seed_everything(0)
    return Trainer(network(), dataset(), RECIPE)


def folded() -> Folds:
    return Folds(network, dataset(folds=2), RECIPE)


_loaded: dict[int, Dataset] = {}


def dataset(folds: int = 1) -> Dataset:
    if folds not in _loaded:
        _loaded[folds] = fraction_of(load(Task("digits", validation=0.0 if folds > 1 else 0.25, folds=folds)), 0.1)
    return _loaded[folds]


def weights(trainer: Trainer | Folds) -> list[Tensor]:
    trainers = trainer.trainers if isinstance(trainer, Folds) else [trainer]
    return [value for one in trainers for value in one.network.state_dict().values()]


@pytest.mark.parametrize(("make", "stopped_after"), [(whole, 4), (whole, 5), (folded, 3)])
def test_a_training_goes_on_after_any_batch_bit_for_bit(
    make: Callable[[], Trainer | Folds], stopped_after: int
) -> None:
    file, batches = io.BytesIO(), 0

    def save_once() -> None:
        nonlocal batches
        batches += 1
        if batches == stopped_after:
            torch.save(copied(undisturbed.state_dict()), file)

    undisturbed = make()
    undisturbed.after_batch = save_once
    expected = [undisturbed.step() for _ in range(3)]
    file.seek(0)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    seed_everything(5)
    rest = make()
    rest.load_state_dict(state)
    assert rest.under_way
    while not rest.finished:
        rest.step()
    names = ("epoch", "train_loss", "train_accuracy", "loss", "accuracy", "lr")
    assert [[getattr(epoch, name) for name in names] for epoch in rest.epochs] == [
        [getattr(epoch, name) for name in names] for epoch in expected
    ]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights(rest), weights(undisturbed), strict=True))
