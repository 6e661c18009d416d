"""The order of values in memory: whatever a network is like, what it learns from are its true gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from nas.config.recipe import Recipe
from nas.data import Dataset, Task, load
from nas.train import Trainer


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(Task("digits"))


def narrow(channels: int, stride: int = 2) -> nn.Module:
    """A convolution, and a strided 1×1 one, as on the shortcut of a residual block."""
    torch.manual_seed(0)
    first = nn.Conv2d(1, channels, 3, padding=1, bias=False)
    second = nn.Conv2d(channels, 8, 1, stride, bias=False)
    return nn.Sequential(first, second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


@pytest.mark.parametrize(("channels", "stride"), [(1, 2), (4, 2), (7, 2), (12, 2), (4, 1), (32, 2)])
def test_gradients_are_those_of_double_precision(digits: Dataset, channels: int, stride: int) -> None:
    recipe = Recipe(batch_size=32, precision="fp32", epochs=1)
    trainer = Trainer(narrow(channels, stride), digits, recipe)
    exact = narrow(channels, stride).double()
    x, y = next(iter(trainer.train_batches))
    nn.functional.cross_entropy(trainer.model(x), y).backward()
    nn.functional.cross_entropy(exact(x.double().contiguous()), y).backward()
    for found, true in zip(trainer.model.parameters(), exact.parameters(), strict=True):
        assert found.grad is not None
        assert true.grad is not None
        assert torch.allclose(found.grad.double(), true.grad, atol=1e-5, rtol=1e-3)


def test_channels_come_last_but_for_narrow_strided_pointwise_convolutions(digits: Dataset) -> None:
    recipe = Recipe(epochs=1)
    for channels, stride, last in ((4, 2, False), (12, 2, False), (4, 1, True), (16, 2, True)):
        for said in ("auto", "yes"):
            trainer = Trainer(narrow(channels, stride), digits, dataclasses.replace(recipe, channels_last=said))
            assert (trainer.layout == torch.channels_last) == last
    assert Trainer(narrow(16), digits, recipe.replace(channels_last="no")).layout == torch.contiguous_format
