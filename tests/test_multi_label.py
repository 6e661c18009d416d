"""An image may have several labels. Data and space stand in this file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import nas
from nas.config.recipe import Augment, Recipe
from nas.data import DATASETS, Batches, Task, load
from nas.errors import DataError, RecipeError
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
    augment = Augment(crop_padding=0, flip=False)
    nas.register_dataset("strokes", augment=lambda size: augment, task_type=nas.MultiLabel())(strokes)
    yield
    DATASETS.remove("strokes")


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "signs.yaml"
    path.write_text(SPACE)
    return path


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_it_is_searched_to_a_front_by_its_own_metrics(space_file: Path, storage: str) -> None:
    found = nas.search(
        space_file, data="strokes", storage=storage, objectives=("macro_f1", "exact_match", "macs"), trials=6, recipe=RECIPE,
        sampler="tpe", max_concurrent=1,
    )  # fmt: skip
    assert found.states == {"complete": 6}
    assert found.trials["accuracy"].isna().all()
    assert found.trials[["macro_f1", "exact_match", "mean_average_precision"]].notna().all(axis=None)
    assert (found.trials["exact_match"] <= 1).all()
    for name in ("macro_f1", "exact_match"):
        assert found.front[name].max() == found.trials[name].max()
    assert found.front["macs"].min() == found.trials["macs"].min()
    assert found.front["macro_f1"].max() > 0.6
    # one of them with the sampler that learns one, measured by cross-validation
    crossed = nas.search(
        space_file, data="strokes", storage=storage, study="crossed", metric="mean_average_precision", folds=2, trials=2,
        recipe=RECIPE, epochs=1, max_concurrent=1,
    )  # fmt: skip
    assert crossed.trials["mean_average_precision"].between(0, 1).all()
    assert crossed.measured_on == 400


def test_folds_average_every_metric() -> None:
    data = load(Task("strokes", validation=0.0, folds=2))

    def make() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3))

    folds = Folds(make, data, RECIPE.replace(epochs=1))
    epoch = folds.step()
    parts = [trainer.evaluate(trainer.dataset.validation) for trainer in folds.trainers]
    for name in ("macro_f1", "exact_match"):
        assert epoch.others[name] == pytest.approx(sum(part[name] for part in parts) / 2)


def test_classes_are_weighed_by_how_often_they_are_there() -> None:
    data = load(Task("strokes", validation=0.2))
    trainer = Trainer(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3)), data, RECIPE.replace(class_weights="balanced")
    )
    assert trainer.class_weights is not None
    counts = torch.from_numpy(data.train.y.sum(0))
    assert torch.allclose(trainer.class_weights, (counts.sum() / (3 * counts)).float())
    assert trainer.step().others["macro_f1"] >= 0
    with pytest.raises(
        RecipeError, match="sampling balanced: an image in a task of multi-label classification is not of one"
    ):
        Trainer(torch.nn.Linear(1, 1), data, RECIPE.replace(sampling="balanced"))


def test_metrics_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score

    from nas.train import evaluate

    torch.manual_seed(0)
    data = load(Task("strokes", validation=0.2))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(144, 3))
    found = evaluate(model, Batches(data.validation, data, 32), task_type=data.type)
    with torch.no_grad():
        outputs = model(next(iter(Batches(data.validation, data, 1000)))[0])
    said, meant = (outputs > 0).numpy(), data.validation.y
    assert found["macro_f1"] == pytest.approx(f1_score(meant, said, average="macro"), abs=1e-6)
    assert found["exact_match"] == pytest.approx(accuracy_score(meant, said))
    assert found["mean_average_precision"] == pytest.approx(average_precision_score(meant, outputs.sigmoid().numpy()))


def test_labels_must_be_zeros_and_ones() -> None:
    labels = np.array([[0, 1], [2, 0]])
    with pytest.raises(DataError, match="x: labels must be 0 or 1, not 2"):
        nas.MultiLabel().check("x", labels, (2, 3, 4, 4), ("a", "b"))
