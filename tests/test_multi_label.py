"""A task that nas does not have: an image may have several labels. Its type, data and space stand in this file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import nas
from nas.config.recipe import Augment, Recipe
from nas.data import DATASETS, Task, load
from nas.errors import RecipeError
from nas.objectives import OBJECTIVES
from nas.train import Trainer
from nas.train.cross_validation import Folds
from tests.small_search import storage

__all__ = ["storage"]

SPACE = """\
name: signs
input: [1, 12, 12]
graph:
  stem: {block: conv, channels: {choose: [4, 8, 16]}, kernel_size: {choose: [3, 5]}}
  body: {block: {choose: [conv, identity, max_pool]}}
  head: {block: classifier, pool: flatten}
"""
RECIPE = Recipe(
    optimizer="adamw", lr=0.02, batch_size=32, epochs=3, augment=Augment(crop_padding=0, flip=False), mixup=0.2
)


class MultiLabel(nas.TaskType):
    """Any number of labels: a logit for each, binary cross-entropy, the F1 score and the share of images with no mistake."""

    name = "multi-label classification"
    metrics = (
        nas.Objective("f1", "maximize", "learned", (0.0, 1.0), "linear", label="macro F1 on validation images"),
        nas.Objective("exact_match", "maximize", "learned", (0.0, 1.0), "linear"),
    )

    def output(self, input: tuple[int, ...], classes: int) -> tuple[int, ...]:
        return (classes,)

    def guess(self, classes: int) -> float:
        return math.log(2)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
        soft = targets.float() * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs, soft, weights)

    def tally(self, outputs: Tensor, targets: Tensor) -> Tensor:
        said, meant = outputs > 0, targets > 0
        loss = F.binary_cross_entropy_with_logits(outputs, targets.float(), reduction="none").mean(1).sum()
        parts = [(said & meant).sum(0), (said & ~meant).sum(0), (~said & meant).sum(0)]
        return torch.cat([loss[None], (said == meant).all(1).sum()[None].float(), *(part.float() for part in parts)])

    def summary(self, sums: Tensor, images: int) -> dict[str, float]:
        hits, wrong, missed = sums[2:].view(3, -1)
        f1 = float((2 * hits / (2 * hits + wrong + missed).clamp(min=1)).mean())
        return {"loss": float(sums[0]) / images, "f1": f1, "exact_match": float(sums[1]) / images}

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs > 0) == (targets > 0)).all(1).sum()

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def counts(self, labels: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = labels.sum(0)
        return counts


def strokes(task: Task, test: bool, progress: object) -> tuple[npt.NDArray[Any], npt.NDArray[Any], tuple[str, ...]]:
    """Noise with a row, a column and a dot, each or none of them."""
    rng = np.random.default_rng(int(test))
    x = rng.integers(0, 60, (400, 1, 12, 12))
    y = rng.integers(0, 2, (400, 3))
    for image, (row, column, dot) in zip(x, y, strict=True):
        image[0, rng.integers(0, 12), :] += 150 * row
        image[0, :, rng.integers(0, 12)] += 150 * column
        top, left = rng.integers(0, 9, 2)
        image[0, top : top + 3, left : left + 3] += 90 * dot
    return x.clip(0, 255).astype(np.uint8), y.astype(np.int64), ("row", "column", "dot")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(OBJECTIVES)
    nas.register_task_type(MultiLabel())
    augment = Augment(crop_padding=0, flip=False)
    nas.register_dataset("strokes", augment=lambda size: augment, task_type=MultiLabel())(strokes)
    yield
    DATASETS.remove("strokes")
    OBJECTIVES.clear()
    OBJECTIVES.update(before)


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "signs.yaml"
    path.write_text(SPACE)
    return path


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_it_is_searched_to_a_front_by_its_own_metrics(space_file: Path, storage: str) -> None:
    found = nas.search(
        space_file, data="strokes", storage=storage, objectives=("f1", "exact_match", "macs"), trials=6, recipe=RECIPE,
        sampler="tpe", max_concurrent=1,
    )  # fmt: skip
    assert found.states == {"complete": 6}
    assert found.trials["accuracy"].isna().all()
    assert found.trials[["f1", "exact_match"]].notna().all(axis=None)
    assert (found.trials["exact_match"] <= 1).all()
    for name in ("f1", "exact_match"):
        assert found.front[name].max() == found.trials[name].max()
    assert found.front["macs"].min() == found.trials["macs"].min()
    assert found.front["f1"].max() > 0.6
    # one of them with the sampler that learns one, measured by cross-validation
    crossed = nas.search(
        space_file, data="strokes", storage=storage, study="crossed", objectives=("f1", "macs"), folds=2, trials=2, recipe=RECIPE,
        epochs=1, max_concurrent=1,
    )  # fmt: skip
    assert crossed.trials["f1"].between(0, 1).all()
    assert crossed.measured_on == 400


def test_folds_average_every_metric() -> None:
    data = load(Task("strokes", validation=0.0, folds=2))

    def make() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3))

    folds = Folds(make, data, RECIPE.replace(epochs=1))
    epoch = folds.step()
    parts = [trainer.evaluate(trainer.dataset.validation) for trainer in folds.trainers]
    for name in ("f1", "exact_match"):
        assert epoch.others[name] == pytest.approx(sum(part[name] for part in parts) / 2)


def test_classes_are_weighed_by_how_often_they_are_there() -> None:
    data = load(Task("strokes", validation=0.2))
    trainer = Trainer(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3)), data, RECIPE.replace(class_weights="balanced")
    )
    assert trainer.class_weights is not None
    counts = torch.from_numpy(data.train.y.sum(0))
    assert torch.allclose(trainer.class_weights, (counts.sum() / (3 * counts)).float())
    assert trainer.step().others["f1"] >= 0
    with pytest.raises(
        RecipeError, match="sampling balanced: an image in a task of multi-label classification is not of one"
    ):
        Trainer(torch.nn.Linear(1, 1), data, RECIPE.replace(sampling="balanced"))
