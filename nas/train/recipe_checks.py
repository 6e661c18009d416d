"""Whether a recipe can be followed on a data set."""

from __future__ import annotations

from nas.config.recipe import Augment, Recipe
from nas.data import Dataset
from nas.errors import RecipeError


def check_fits(recipe: Recipe, dataset: Dataset) -> None:
    """Raises RecipeError where the recipe asks for what the type of the task does not have."""
    balanced = [name for name in ("class_weights", "sampling") if getattr(recipe, name) == "balanced"]
    if balanced and dataset.type.counts(dataset.train.y, dataset.classes) is None:
        raise RecipeError(f"{balanced[0]} balanced: a task of {dataset.type.name} has no classes to balance")
    if recipe.sampling == "balanced" and dataset.train.y.ndim > 1:
        raise RecipeError(f"sampling balanced: an image in a task of {dataset.type.name} is not of one class")
    plain = Augment(crop_padding=0, flip=False)
    moved_by = ("crop_padding", "flip", "cutout", "crop_scale", "policy", "erase")
    moving = [name for name in moved_by if getattr(recipe.augment, name) != getattr(plain, name)]
    if recipe.cutmix and dataset.type.is_dense:
        raise RecipeError(f"cutmix: the labels of a task of {dataset.type.name} do not move with the image")
    if moving and dataset.type.is_dense:
        raise RecipeError(
            f"augment {moving[0]}: the labels of a task of {dataset.type.name} do not move with the image"
        )
