"""A network that teaches another: found by name or file, checked against the images, and learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nas
from nas.config.recipe import Augment, Recipe
from nas.data import Dataset, Split, Task, load
from nas.errors import DataError, NasError, RecipeError, SearchError, WeightsError
from nas.network.teacher import Teacher, find_teacher
from nas.network.weights import read_weights
from nas.searches.options import SearchOptions
from nas.train import Trainer, seed_everything
from nas.train.distillation import soft_loss
from tests.conftest import Run
from tests.trained import STUDY, make_trained_study


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_trained_study(tmp_path_factory.mktemp("teaching"))


@pytest.fixture
def file(storage: str) -> Path:
    return Path(storage.removeprefix("sqlite:///")).parent / "trial-0.safetensors"


def test_a_trial_and_its_file_are_one_teacher(storage: str, file: Path) -> None:
    by_name, by_file = (find_teacher(word, storage=storage) for word in (f"{STUDY}:0", file))
    assert by_name.text.split()[1] == by_file.text.split()[1], "the same weights"
    by_name.check(tuple("0123456789"), (1, 16, 16))
    with pytest.raises(
        WeightsError, match=f"teacher {STUDY}:1: is not trained: random weights: no checkpoint of this trial"
    ):
        find_teacher(f"{STUDY}:1", storage=storage)
    with pytest.raises(WeightsError, match=r"teacher .*gone\.safetensors: no such file of weights"):
        find_teacher(file.with_name("gone.safetensors"), storage=storage)
    other = file.with_name("other.pt")
    torch.save({"weight": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match=r"other\.pt: must be a \.safetensors file"):
        find_teacher(other, storage=storage)


def test_classes_and_images_must_fit(storage: str) -> None:
    teacher = find_teacher(f"{STUDY}:0", storage=storage)
    with pytest.raises(
        DataError, match=r"teacher little-digits:0: must know the classes of the images, .* has '9, nine'"
    ):
        teacher.check((*"012345678", "nine"), None)
    with pytest.raises(DataError, match="takes images of 1×16×16, and these are 3×32×32"):
        teacher.check(tuple("0123456789"), (3, 32, 32))


def test_classes_in_another_order_and_images_of_another_scale_mean_the_same(file: Path) -> None:
    state, card = read_weights(file)
    assert card is not None
    data = load(Task("digits"))
    turned = replace(data, class_names=data.class_names[::-1], mean=(0.5,), std=(0.2,))
    teacher = Teacher("it", card, state)
    raw = torch.from_numpy(data.validation.x[:20].copy()).float() / 255
    views = [(raw - one.mean[0]) / one.std[0] for one in (data, turned)]
    first, second = (teacher.network(one, torch.device("cpu"))(x) for one, x in zip((data, turned), views, strict=True))
    assert torch.allclose(first, second.flip(1), atol=1e-4)
    assert (first.argmax(1).numpy() == data.validation.y[:20]).mean() > 0.5


def test_soft_targets_are_those_of_the_paper() -> None:
    ours, theirs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).view(2, 3, 4)
    soft, said = (ours / 3).log_softmax(1), (theirs / 3).softmax(1)
    entropy = -(said * said.log()).sum(1).mean()
    assert torch.allclose(soft_loss(ours, theirs, 3.0), 9 * (F.cross_entropy(soft, said) - entropy), atol=1e-6)
    assert soft_loss(theirs, theirs, 3.0) == pytest.approx(0, abs=1e-6)


def test_a_network_learns_what_the_teacher_says() -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (64, 1, 4, 4), dtype=np.uint8), np.arange(64) % 3)
    data = Dataset(Task("digits"), split, split, ("a", "b", "c"), (0.5,), (0.25,))
    seed_everything(3)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).requires_grad_(False)
    recipe = Recipe(lr=0.2, epochs=60, batch_size=64, teacher_weight=1.0, augment=Augment(0, flip=False), norm_images=0)
    trainer = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), data, recipe, teacher=teacher, measured=())
    while not trainer.finished:
        trainer.step()
    x = (torch.from_numpy(split.x).float() / 255 - 0.5) / 0.25
    assert (trainer.network(x).argmax(1) == teacher(x).argmax(1)).float().mean() > 0.9


@pytest.mark.long
def test_a_retraining_records_its_teacher(run: Run, storage: str, file: Path, tmp_path: Path) -> None:
    common = (
        "retrain",
        "--study",
        STUDY,
        "--storage",
        storage,
        "--seeds",
        "1",
        "--epochs",
        "2",
        "--output",
        str(tmp_path),
    )
    code, out, err = run(*common, "--trial", "1", "--teacher", str(file), "--json")
    assert code == 0, err
    teacher = find_teacher(file, storage=None)
    assert teacher.text in out
    code, _, err = run(*common, "--trial", "1", "--teacher", f"{STUDY}:7")
    assert (code, len(err.splitlines())) == (2, 1)


def test_a_teacher_is_named_where_it_can_teach() -> None:
    with pytest.raises(SearchError, match="teacher: teaches networks that are retrained; say how many with --retrain"):
        SearchOptions("plain", teacher="big.safetensors")
    with pytest.raises(RecipeError, match=r"recipe: teacher: name it with --teacher"):
        nas.search("plain", recipe=Recipe(teacher="big"), trials=1)
    with pytest.raises(NasError, match="temperature: must be above 0 and at most 100, not 0"):
        Recipe().replace(temperature=0.0)
