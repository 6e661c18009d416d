from __future__ import annotations

from pathlib import Path

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
        ("- lr", r"recipe.yaml:1: recipe must be a mapping"),
        ("", r"recipe.yaml: the file is empty"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load(_write(tmp_path, text))


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
