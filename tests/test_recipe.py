from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nas.errors import RecipeError
from nas.recipe import Augment, Recipe
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
        ("optimizer: sdg", r"recipe.yaml:1: optimizer: must be 'sgd' or 'adamw', not 'sdg'; did you mean 'sgd'"),
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
