from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.config.block_files import load_blocks
from nas.config.recipe import Augment, Recipe
from nas.config.recipe_presets import RECIPES, batch_size, described, fitted, sampling_for
from nas.data import Batches, Dataset, Split, Task
from nas.errors import RecipeError
from nas.train import schedule


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_recipe_file_says_only_what_differs(tmp_path: Path) -> None:
    path = _write(tmp_path, "optimizer: adamw\nlr: 1e-3\nmilestones: [10, 20]\naugment: {flip: false}\n")
    recipe = Recipe.load(path)
    assert recipe == Recipe(optimizer="adamw", lr=0.001, milestones=(10, 20), augment=Augment(flip=False))
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr: 0.1", r"recipe.yaml:1: recipe: unknown key 'lrr'; did you mean 'lr'"),
        ("epochs: 3\nlr: -1", r"recipe.yaml:2: recipe: lr: must be above 0, not -1"),
        (
            "optimizer: sdg",
            r"recipe.yaml:1: recipe: optimizer: must be 'sgd' or 'adamw', not 'sdg'; did you mean 'sgd'",
        ),
        ("epochs: many", r"recipe.yaml:1: epochs: must be a whole number, not 'many'"),
        ("epochs: true", r"must be a whole number, not True"),
        ("augment:\n  cutout: -3", r"recipe.yaml:2: augment: cutout: must be from 0 to 512 pixels, not -3"),
        ("lr: .nan", r"recipe.yaml:1: recipe: lr: must be a finite number, not nan"),
        ("weight_decay: .inf", r"recipe.yaml:1: recipe: weight_decay: must be a finite number, not inf"),
        ("milestones: [10, 0]", r"recipe.yaml:1: recipe: milestones: must be above 0, not \[10.0, 0.0\]"),
        ("nesterov: true\nmomentum: 0", r"recipe.yaml:1: recipe: nesterov: must be false without momentum"),
        ("augment: {flips: true}", r"recipe.yaml:1: augment: unknown key 'flips'; did you mean 'flip'"),
        ("- lr", r"recipe.yaml:1: recipe must be a mapping"),
        ("", r"recipe.yaml: the file is empty"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load(_write(tmp_path, text))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "adam"}, "optimizer: must be 'sgd' or 'adamw', not 'adam'; did you mean 'adamw'?"),
        ({"lr": "0.1"}, "lr: must be a finite number, not '0.1'"),
        ({"epochs": 2.5}, "epochs: must be a whole number, not 2.5"),
        ({"epochs": True}, "epochs: must be a whole number, not True"),
        ({"nesterov": 1}, "nesterov: must be true or false, not 1"),
        ({"milestones": 3}, "milestones: must be a list of numbers, not 3"),
        ({"augment": None}, "augment: must be a mapping, not None"),
    ],
)
def test_a_recipe_made_in_python_is_checked_the_same_way(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Recipe(**values)
    with pytest.raises(RecipeError, match=re.escape(f"recipe: {message}")):
        Recipe.from_dict(values)
    with pytest.raises(RecipeError, match=re.escape(f"recipe: {message}")):
        Recipe().replace(**values)


def test_an_unknown_key_has_a_nearest_word() -> None:
    with pytest.raises(RecipeError, match="recipe: unknown key 'epoch'; did you mean 'epochs'"):
        Recipe.from_dict({"epoch": 3})
    with pytest.raises(RecipeError, match="augment: unknown key 'cutuot'; did you mean 'cutout'"):
        Recipe.from_dict({"augment": {"cutuot": 3}})
    with pytest.raises(RecipeError, match="augment: cutout: must be from 0 to 512 pixels, not -1"):
        Recipe.from_dict({"augment": {"cutout": -1}})
    assert Recipe().replace(epochs=9) == Recipe(epochs=9)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="absent.yaml: no such recipe file"):
        Recipe.load(tmp_path / "absent.yaml")


def test_schedules_rise_and_fall_where_they_should() -> None:
    cosine = Recipe(schedule="cosine", warmup_epochs=2)
    assert [round(schedule(cosine, epoch, 10), 3) for epoch in (1, 2, 6, 10)] == [0.5, 1, 0.5, 0]
    step = Recipe(schedule="step", milestones=(0.5, 8), gamma=0.1)
    assert [round(schedule(step, epoch, 10), 3) for epoch in (4.9, 5, 7.9, 8)] == [1, 0.1, 0.1, 0.01]
    one_cycle = Recipe(schedule="one_cycle")
    assert schedule(one_cycle, 3, 10) == 1
    assert schedule(one_cycle, 0, 10) < 0.1
    assert schedule(one_cycle, 10, 10) < 0.001
    assert schedule(Recipe(schedule="constant"), 7, 10) == 1


@pytest.mark.parametrize(
    ("images", "batch"),
    [(1, 16), (399, 16), (400, 32), (3_999, 32), (4_000, 64), (45_000, 128), (100_000, 256), (1_200_000, 512)],
)
def test_small_sets_are_trained_in_small_batches(images: int, batch: int) -> None:
    recipe = fitted("modern", images, Augment())
    assert recipe.batch_size == batch_size(images) == batch
    steps = recipe.epochs * recipe.steps_per_epoch(images)
    assert steps >= 0.95 * 1_000
    assert recipe.epochs >= 5
    assert recipe.lr == pytest.approx(fitted("modern", 1_000, Augment()).lr * (batch / 32) ** 0.5)
    assert recipe.steps == 0  # they are epochs now


def test_recipes_go_by_name_file_or_themselves(tmp_path: Path) -> None:
    assert set(RECIPES) == {"fast", "modern", "paper-like", "finetune"}
    flips = Augment(flip=False)
    for name in RECIPES:
        assert fitted(name, 1_000, flips).augment == flips
    fast = fitted("fast", 1_000, flips)
    assert fast.epochs * fast.steps_per_epoch(1_000) == pytest.approx(300, abs=16)
    assert fitted("paper-like", 1_000, flips).epochs == 160
    path = _write(tmp_path, "steps: 500\nbatch_size: 10\n")
    assert fitted(path, 1_000, flips) == fitted(str(path), 1_000, flips) == Recipe(batch_size=10, epochs=5)
    assert fitted(Recipe(epochs=7), 1_000, flips) == Recipe(epochs=7)
    with pytest.raises(
        RecipeError, match=r"^modren: no such recipe file, and none of fast, modern, paper-like, finetune; did you"
    ):
        fitted("modren", 1_000, flips)


OWN = """\
import nas


@nas.register_recipe("patient")
def patient(images, augment):
    return nas.Recipe(steps=10 * images // 50, batch_size=50, augment=augment)


@nas.register_recipe("raises")
def raises(images, augment):
    return nas.Recipe(batch_size=images // 0)


@nas.register_recipe("no-recipe")
def no_recipe(images, augment):
    return {"steps": 500}
"""


def test_a_file_adds_recipes_by_name(tmp_path: Path) -> None:
    file = tmp_path / "recipes.py"
    file.write_text(OWN)
    try:
        load_blocks(file)
        flips = Augment(flip=False)
        assert fitted("patient", 1_000, flips) == Recipe(batch_size=50, epochs=10, augment=flips)
        with pytest.raises(RecipeError, match="^recipe 'raises': ZeroDivisionError for 100 images: '.*zero'$"):
            fitted("raises", 100, flips)
        with pytest.raises(RecipeError, match=r"^recipe 'no-recipe': must return a nas.Recipe, not \{'steps': 500\}$"):
            fitted("no-recipe", 100, flips)
        with pytest.raises(RecipeError, match=r"finetune, patient, raises, no-recipe; did you mean 'patient'\?"):
            fitted("pateint", 100, flips)
    finally:
        for name in ("patient", "raises", "no-recipe"):
            RECIPES.remove(name)


@pytest.mark.parametrize(
    ("trained", "tested", "drawn"),
    [
        ((300, 300, 150, 80), (500, 500, 500, 500), "balanced"),
        ((300, 300, 150, 80), (150, 150, 75, 40), "shuffle"),  # the same shares
        ((300, 300, 150, 80), None, "shuffle"),
        ((250, 250, 250, 250), (800, 100, 50, 50), "shuffle"),  # even already
        ((400, 200, 100), (800, 150, 50), "shuffle"),  # further from even than the training images
        ((30, 25, 28), (10, 12, 11), "shuffle"),  # a difference that is chance
        ((300, 300, 300), (1, 1, 1), "shuffle"),
    ],
)
def test_classes_are_drawn_alike_where_test_images_show_them_alike(
    trained: tuple[int, ...], tested: tuple[int, ...] | None, drawn: str
) -> None:
    assert sampling_for(trained, tested) == drawn


def test_a_recipe_is_described_as_it_trains() -> None:
    line = described(Recipe(batch_size=50, steps=300, lr=0.0123, schedule="wsd", augment=Augment(2, flip=True)), 1_000)
    assert line.startswith("300 steps of 50 images (15 epochs), sgd with learning rate 0.012, wsd, weight decay ")
    assert line.endswith("crops of 2 pixels and flips")
    plain = described(Recipe(batch_size=50, epochs=1, augment=Augment(0, flip=False)), 100)
    assert plain.startswith("2 steps of 50 images (1 epoch")
    assert plain.endswith("no augmentation")
    mixed = described(Recipe(epochs=2, mixup=0.2, sampling="balanced", augment=Augment(0)), 100)
    assert mixed.endswith("flips and mixup, every class as often as any other")
    assert "mixup" not in described(Recipe(epochs=2, mixup=0.2, mixup_epochs=3), 100)


@given(st.integers(1, 5_000), st.integers(1, 600), st.integers(1, 2_000))
def test_steps_become_epochs_to_the_nearest(images: int, batch: int, steps: int) -> None:
    recipe = Recipe(batch_size=batch, steps=steps)
    each = recipe.steps_per_epoch(images)
    fitting = recipe.for_images(images)
    assert (fitting.epochs, fitting.steps) == (max(1, round(steps / each)), 0)
    assert fitting.epochs == 1 or abs(fitting.epochs * each - steps) <= each / 2
    assert fitting.for_images(images) == fitting


@pytest.mark.parametrize(("images", "batch"), [(100, 32), (97, 32), (96, 32), (1, 32), (33, 32), (5, 1)])
def test_an_epoch_has_as_many_steps_as_the_trainer_takes(images: int, batch: int) -> None:
    y = np.arange(images, dtype=np.int64) % 2
    train = Split(np.zeros((images, 1, 8, 8), np.uint8), y)
    data = Dataset(Task("digits"), train, train, ("a", "b"), (0.0,), (1.0,))
    assert Recipe(batch_size=batch).steps_per_epoch(images) == len(Batches(data.train, data, batch))
