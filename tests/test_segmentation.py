"""A task that nas does not have: which pixels belong to a blob. Its type, data and space stand in this file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import nas
from nas.analysis.evidence import Evidence
from nas.config.recipe import Augment, Recipe
from nas.dashboard import notes
from nas.data import DATASETS, Task, load
from nas.errors import DataError, RecipeError, SearchError
from nas.objectives import OBJECTIVES
from nas.space.space import Space
from nas.store import Store
from nas.train import Trainer
from tests.conftest import Run
from tests.small_search import storage

__all__ = ["storage"]

SPACE = """\
name: pixels
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [2, 4, 8]}, kernel_size: {choose: [1, 3]}}
  body: {block: {choose: [conv, identity]}}
  head: {block: conv, channels: 2, kernel_size: 1}
"""
RECIPE = Recipe(optimizer="adamw", lr=0.05, batch_size=32, epochs=2, augment=Augment(crop_padding=0, flip=False))


class Segmentation(nas.TaskType):
    """A class for each pixel: logits (classes, H, W), cross-entropy, mean intersection over union."""

    name = "segmentation"
    metrics = (
        nas.Objective("iou", "maximize", "learned", (0.0, 1.0), "linear", label="mean IoU on validation images"),
    )
    is_dense = True

    def output(self, input: tuple[int, ...], classes: int) -> tuple[int, ...]:
        return (classes, *input[1:])

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
        return F.cross_entropy(outputs, targets, weights, label_smoothing=smoothing)

    def tally(self, outputs: Tensor, targets: Tensor) -> Tensor:
        classes = outputs.shape[1]
        counts = torch.bincount((targets * classes + outputs.argmax(1)).reshape(-1), minlength=classes**2).float()
        loss = F.cross_entropy(outputs, targets, reduction="none").mean((1, 2)).sum()
        return torch.cat([loss[None], counts])

    def summary(self, sums: Tensor, images: int) -> dict[str, float]:
        matrix = sums[1:].view(int((len(sums) - 1) ** 0.5), -1)
        union = matrix.sum(0) + matrix.sum(1) - matrix.diag()
        return {"loss": float(sums[0]) / images, "iou": float((matrix.diag() / union.clamp(min=1)).mean())}

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(1) == targets).float().mean((1, 2)).sum()

    def probabilities(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(1)


def blobs(task: Task, test: bool, progress: object) -> tuple[npt.NDArray[Any], npt.NDArray[Any], tuple[str, ...]]:
    """Bright squares on a noisy ground."""
    rng = np.random.default_rng(int(test))
    x = rng.integers(0, 90, (300, 1, 16, 16))
    y = np.zeros((300, 16, 16), dtype=np.int64)
    for image, labels in zip(x, y, strict=True):
        top, left, side = *rng.integers(0, 9, 2).tolist(), int(rng.integers(4, 8))
        image[0, top : top + side, left : left + side] += 70
        labels[top : top + side, left : left + side] = 1
    return x.astype(np.uint8), y, ("ground", "blob")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(OBJECTIVES)
    nas.register_task_type(Segmentation())
    augment = Augment(crop_padding=0, flip=False)
    nas.register_dataset("blobs", augment=lambda size: augment, task_type=Segmentation())(blobs)
    yield
    DATASETS.remove("blobs")
    OBJECTIVES.clear()
    OBJECTIVES.update(before)


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "pixels.yaml"
    path.write_text(SPACE)
    return path


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_it_is_searched_to_a_front_by_its_own_metric(
    space_file: Path, storage: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = nas.search(
        space_file, data="blobs", storage=storage, objectives=("iou", "parameters"), trials=8, recipe=RECIPE, max_concurrent=1
    )  # fmt: skip
    assert found.states == {"complete": 8}
    assert found.trials["accuracy"].isna().all()
    assert found.trials["iou"].between(0.2, 1).all()
    assert found.front["iou"].max() == found.trials["iou"].max()
    assert found.front["iou"].max() > 0.7
    assert list(found.front["parameters"]) == sorted(found.front["parameters"])
    assert 0 < found.hypervolume < 1
    with Store.open(storage) as store:
        best = found.front.iloc[-1]
        curve = store.curve(int(best["id"]))
        assert [epoch for epoch, _ in curve] == [1, 2]
        assert curve[-1][1]["iou"] == best["iou"]
        assert store.architecture(best["hash"]).nodes[-1].block == "conv"
    study = optuna.load_study(study_name="pixels-blobs", storage=storage)
    assert [trial.values for trial in study.trials] == found.trials[["iou", "parameters"]].to_numpy().tolist()
    assert study.directions[0] == optuna.study.StudyDirection.MAXIMIZE
    # the same command continues it, with early stopping by its metric
    more = nas.search(
        space_file, data="blobs", storage=storage, study="stopped", objectives=("iou", "parameters"), trials=8, recipe=RECIPE,
        epochs=4, scheduler="pareto_asha", min_epochs=1, reduction_factor=2.0, max_concurrent=1,
    )  # fmt: skip
    assert {"complete", "stopped_early"} <= set(more.states)

    # Tables and pages show it, also where nothing is registered.
    del OBJECTIVES["iou"]
    code, out, err = run("study", "pareto", "pixels-blobs", "--storage", storage)
    assert (code, err) == (0, "")
    assert "iou" in out.splitlines()[1]
    assert "accuracy" not in out
    for command in (
        ("study", "show", "pixels-blobs"),
        ("study", "list"),
        ("study", "pareto", "pixels-blobs", "--json"),
    ):
        code, out, err = run(*command, "--storage", storage)
        assert (code, err) == (0, "")
        assert "nan" not in out.lower()
    for command in (
        ("report", "--study", "pixels-blobs", "-o", "page.html"),
        ("study", "pareto", "pixels-blobs", "-o", "front.png"),
        ("study", "pareto", "pixels-blobs", "-o", "front.html"),
    ):
        code, _, err = run(*command, "--storage", storage)
        assert (code, err) == (0, "")
    page = Path("page.html").read_text()
    assert "best validation iou" in page
    assert "nan" not in page.lower()
    Image.open("front.png").verify()
    with Store.open(storage) as store:
        tested = notes.Tested(store.study("pixels-blobs"), store.measurements())
        note = notes.study_note(Evidence.read(store, "pixels-blobs"), tested, storage, 1)
    head = next(line for line in note.splitlines() if line.startswith("| trial"))
    assert "iou" in head
    assert "accuracy" not in head
    assert "![front of the study]" in note
    assert "nan" not in note.lower()
    recipe = space_file.with_name("recipe.yaml")
    recipe.write_text(
        "optimizer: adamw\nlr: 0.05\nbatch_size: 32\nepochs: 1\naugment: {crop_padding: 0, flip: false}\n"
    )
    code, out, err = run(
        "search", "--space", str(space_file), "--data", "blobs", "--storage", storage, "--study", "typed",
        "--objectives", "iou,parameters", "--trials", "1", "--recipe", str(recipe), "--plot", "typed.png",
    )  # fmt: skip
    assert code == 0, err
    assert "1 of 1 complete network on the front, the best by iou: trial 0" in " ".join(out.split())
    Image.open("typed.png").verify()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_it_is_retrained_by_its_own_metric_and_says_what_it_cannot(space_file: Path, storage: str, run: Run) -> None:
    found = nas.search(
        space_file, data="blobs", storage=storage, objectives=("iou", "parameters"), trials=3, recipe=RECIPE, retrain=1,
        max_concurrent=1,
    )  # fmt: skip
    assert found.final is not None
    network = found.final.network
    assert network.metric == "iou"
    assert network.mean == pytest.approx(sum(network.validated) / 2)
    assert network.test is not None
    assert network.test.classes == ()
    assert 0.5 < network.test.value("iou") <= 1
    assert 0 < (network.test.error("iou") or 0) < 0.2
    arguments = ("--study", "pixels-blobs", "--storage", storage)
    code, out, err = run("retrain", *arguments, "--trial", str(network.trial), "--device", "cpu", "--threads", "1")
    assert code == 0, err
    assert "test iou " in out
    assert "best of 2 on the validation images" in out
    code, out, err = run("choose", *arguments)
    assert code == 0, err
    assert "iou " in out.splitlines()[0]
    code, out, err = run("export", "best", *arguments, "-o", "network.py")
    assert code == 0, err
    text = Path("network.py").read_text()
    assert "Test iou of the weights: " in text
    assert "def predict" not in text
    Image.new("L", (16, 16)).save("image.png")
    code, _, err = run("predict", "pixels-blobs:best", "image.png", "--storage", storage)
    assert code == 2
    assert "a task of segmentation has no classes that an image could be said to be of" in err
    assert len(err.splitlines()) == 1
    code, _, err = run("compare", *arguments)
    assert code == 2
    assert "references give logits (2,), and a task of segmentation wants (2, 16, 16)" in err
    assert len(err.splitlines()) == 1


def test_a_training_reports_the_metric_as_it_is() -> None:
    data = load(Task("blobs", validation=0.2))
    assert (len(data.train), len(data.validation)) == (240, 60)

    class Oracle(torch.nn.Module):
        """Says what lies above a threshold."""

        def __init__(self) -> None:
            super().__init__()
            self.threshold = torch.nn.Parameter(torch.tensor(0.0))

        def forward(self, x: Tensor) -> Tensor:
            bright = (x - self.threshold) * 50
            return torch.cat([-bright, bright], 1)

    trainer = Trainer(Oracle(), data, RECIPE)
    answers, y = trainer.predict(data.validation).argmax(1), torch.from_numpy(data.validation.y)
    ious = [
        float(((answers == one) & (y == one)).sum()) / float(((answers == one) | (y == one)).sum()) for one in (0, 1)
    ]
    assert trainer.evaluate(data.validation)["iou"] == pytest.approx(sum(ious) / 2)


def test_what_does_not_fit_is_one_line(space_file: Path, storage: str) -> None:
    options: dict[str, Any] = {"data": "blobs", "storage": storage, "recipe": RECIPE, "trials": 1}
    with pytest.raises(
        SearchError,
        match="data 'blobs': a training reports loss, iou, and no accuracy; name other --objectives, such as by --metric iou",
    ):
        nas.search(space_file, **options)
    with pytest.raises(nas.SpaceError, match="the network ends with 2×16×16, not with 10 logits"):
        Space.load(space_file)
    wrong = space_file.with_name("wrong.yaml")
    wrong.write_text(SPACE.replace("{block: conv, channels: 2, kernel_size: 1}", "{block: classifier}"))
    with pytest.raises(
        SearchError, match=r"none of its 12 architectures fits images of \[1, 16, 16\]: .*ends with 2, not with 2×16×16"
    ):
        nas.search(wrong, objectives=("iou", "parameters"), **options)
    moving = RECIPE.replace(augment=Augment(crop_padding=2, flip=False))
    data = load(Task("blobs", validation=0.2))
    with pytest.raises(
        RecipeError, match="augment crop_padding: the labels of a task of segmentation do not move with the image"
    ):
        Trainer(torch.nn.Conv2d(1, 2, 1), data, moving)
    with pytest.raises(RecipeError, match="class_weights balanced: a task of segmentation has no classes to balance"):
        Trainer(torch.nn.Conv2d(1, 2, 1), data, RECIPE.replace(class_weights="balanced"))
    with pytest.raises(DataError, match=r"blobs: labels of \(16, 16\) pixels for images of \(8, 8\)"):
        load(Task("blobs", validation=0.2, image_size=8))
