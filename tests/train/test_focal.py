"""Focal loss: right answers count less, and without a power all is as before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import nas
from nas.config.recipe import Augment, Recipe
from nas.data import Dataset, Split, Task
from nas.data.task_type import Classification
from nas.errors import RecipeError
from nas.train import Trainer
from tests.test_segmentation import Segmentation

torch.manual_seed(0)
OUTPUTS, TARGETS = torch.randn(40, 3), torch.randint(0, 3, (40,))
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])


def test_without_a_power_it_is_cross_entropy() -> None:
    tiny = Classification(focal=1e-9)
    for weights in (None, WEIGHTS):
        expected = F.cross_entropy(OUTPUTS, TARGETS, weights, label_smoothing=0.1)
        assert torch.allclose(tiny.loss(OUTPUTS, TARGETS, weights, 0.1), expected, atol=1e-5)


def test_right_answers_count_less() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0])
    p = logits.softmax(1)[:, 0]
    expected = (-((1 - p) ** 2) * p.log()).mean()
    assert torch.allclose(Classification(focal=2.0).loss(logits, labels, None, 0.0), expected)


def test_that_of_several_labels_is_torchvisions() -> None:
    from torchvision.ops import sigmoid_focal_loss

    labels = torch.randint(0, 2, (40, 3))
    expected = sigmoid_focal_loss(OUTPUTS, labels.float(), alpha=-1, gamma=2.0, reduction="mean")
    assert torch.allclose(nas.MultiLabel(2.0).loss(OUTPUTS, labels, None, 0.0), expected)


def test_a_recipe_trains_by_it_and_is_measured_as_ever() -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (40, 1, 4, 4), dtype=np.uint8), np.arange(40) % 3)
    data = Dataset(Task("digits"), split, split, ("a", "b", "c"), (0.5,), (0.25,))
    recipe = Recipe(focal=2.0, lr=1e-9, epochs=1, batch_size=40, augment=Augment(crop_padding=0, flip=False))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    epoch = Trainer(model, data, recipe).step()
    assert epoch.train_loss < 0.8 * epoch.loss
    with pytest.raises(RecipeError, match="focal: a task of segmentation has no such loss"):
        Segmentation().focused(2.0)
