"""Recipes by name, fitted to the data: batch size, steps, learning rate and augmentation follow from the images.

A network learns by steps. An epoch of 750 photos is 6 steps of 128 images, and 5 such epochs teach nothing; so a recipe says
how many steps a training takes, and small sets are trained in small batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from nas.config.losses import loss_text
from nas.config.recipe import Augment, Recipe
from nas.errors import RecipeError, nearest
from nas.plugins.registry import Registry, adder
from nas.statistics.scores import other_shares
from nas.text.formatting import shorten
from nas.text.sanitize import expanded, one_line

BATCHES: Final = ((400, 16), (4_000, 32), (16_000, 64), (64_000, 128), (256_000, 256))
"""Batch size by the number of training images below which it is taken; 512 above."""
FEWEST_EPOCHS: Final = 5
"""Fewest epochs of a large set, where 1,000 steps would not show every image."""

MIXED_FROM: Final = 60
"""Epochs from which on images are mixed. ResNet-8 of 98,086 parameters, test images, without and with: on 1,000 photos of four
classes 77.1 and 76.6 % in 64 epochs (three seeds), 79.0 and 79.7 % in 128 (one seed); on 2,000 of ten classes 61.6 and 62.9 % in 64
(one seed); on 240 of four 79.2 and 79.2 % in 67 (two seeds)."""

MakeRecipe = Callable[[int, Augment], Recipe]

RECIPES: Registry[MakeRecipe] = Registry("recipe", "nas.recipes", RecipeError)
"""Recipes by name, each made from the number of training images and the augmentation that leaves their classes as they are."""


def register_recipe(name: str) -> Callable[[MakeRecipe], MakeRecipe]:
    """Adds a function from the number of training images and a `nas.Augment` to a `nas.Recipe` as the recipe `name`.

    ::

        @nas.register_recipe("patient")
        def patient(images, augment):
            return nas.Recipe(optimizer="adamw", lr=1e-3, steps=5_000, batch_size=64, augment=augment)

    ``--recipe patient`` then trains by it. `augment` is what leaves the classes of the data set as they are. A study remembers
    the recipe itself, not the name. Workers do not need the function.
    """
    return adder(RECIPES, name, lambda make: make)


@register_recipe("fast")
def fast(images: int, augment: Augment) -> Recipe:
    """The recipe for a first look: 300 steps."""
    return replace(modern(images, augment), steps=300)


@register_recipe("modern")
def modern(images: int, augment: Augment) -> Recipe:
    """What trains nearly every network of the shipped spaces, with and without norms: AdamW, averaged weights, a third of decay.

    Gradients are clipped so that networks without norms start too. Ten random networks of attn_cnn on 800 photos of four
    classes, 500 steps of 32: 63.5 % of the test images on average; AdamW with one cycle and no average 62.8 %; SGD with one
    cycle 56.2 %, because one of them never started.
    """
    batch = batch_size(images)
    return Recipe(
        optimizer="adamw",
        lr=3e-3 * math.sqrt(batch / 32),  # Malladi et al. 2022: the square root of the batch size for Adam
        weight_decay=0.2,
        decay_norm_bias=False,
        schedule="wsd",
        warmup=0.1,
        decay=1 / 3,
        ema=0.99,
        clip_norm=1.0,
        label_smoothing=0.1,
        mixup=0.2,
        mixup_epochs=MIXED_FROM,
        batch_size=batch,
        steps=max(1_000, FEWEST_EPOCHS * math.ceil(images / batch)),
        augment=augment,
    )


@register_recipe("paper-like")
def paper_like(images: int, augment: Augment) -> Recipe:
    """The recipe of papers on small images: SGD, 160 epochs, a tenth of the learning rate after a half and three quarters.

    He et al. 2016, Deep Residual Learning, section 4.2, in epochs; float32.
    """
    return Recipe(
        lr=0.1 * min(1.0, batch_size(images) / 128),
        weight_decay=1e-4,
        schedule="step",
        milestones=(0.5, 0.75),
        batch_size=batch_size(images),
        epochs=160,
        precision="fp32",
        augment=augment,
    )


FINE_TUNING: Final = "finetune"
"""The recipe of networks that start from trained weights, unless a user names another."""


@register_recipe(FINE_TUNING)
def finetune(images: int, augment: Augment) -> Recipe:
    """What networks with trained weights learn new classes by: few steps of AdamW at a third of the learning rate of `modern`."""
    batch = batch_size(images)
    return Recipe(
        optimizer="adamw",
        lr=1e-3 * math.sqrt(batch / 32),
        weight_decay=0.05,
        decay_norm_bias=False,
        schedule="wsd",
        warmup=0.1,
        decay=0.5,
        ema=0.99,
        clip_norm=1.0,
        label_smoothing=0.1,
        batch_size=batch,
        steps=max(100, 2 * math.ceil(images / batch)),
        augment=augment,
    )


def batch_size(images: int) -> int:
    """The batch size for so many training images."""
    return next((batch for bound, batch in BATCHES if images < bound), 512)


def fitted(recipe: str | Path | Recipe, images: int, augment: Augment) -> Recipe:
    """A recipe itself, one by its name, or one of a file, with its steps as epochs of so many training images.

    Raises RecipeError when it is none of these.
    """
    if isinstance(recipe, Recipe):
        return _with_fingerprint(recipe).for_images(images)
    if str(recipe) in RECIPES:
        return _made(str(recipe), images, augment).for_images(images)
    if not expanded(recipe).exists():
        raise RecipeError(
            f"{recipe}: no such recipe file, and none of {', '.join(RECIPES)}{nearest(str(recipe), RECIPES)}{RECIPES.broken}"
        )
    return _with_fingerprint(Recipe.load(recipe)).for_images(images)


def _made(name: str, images: int, augment: Augment) -> Recipe:
    """The recipe of that name. Raises RecipeError for what a function of others does wrong."""
    try:
        made: object = RECIPES[name](images, augment)
    except Exception as problem:  # whatever a function of others can do
        reason = shorten(one_line(problem), 120)
        raise RecipeError(f"recipe '{name}': {type(problem).__name__} for {images:,} images: {reason}") from problem
    if not isinstance(made, Recipe):
        raise RecipeError(f"recipe '{name}': must return a nas.Recipe, not {shorten(made)}")
    return _with_fingerprint(made)


def _with_fingerprint(recipe: Recipe) -> Recipe:
    """The recipe with the fingerprint of the loss that it names. Raises RecipeError where there is none of that name."""
    if recipe.teacher:
        raise RecipeError(
            "recipe: teacher: name it with --teacher, to `nas retrain` or `nas fit`; a recipe says how it teaches"
        )
    return recipe.replace(loss=loss_text(recipe.loss)) if recipe.loss and " " not in recipe.loss else recipe


def sampling_for(trained: Sequence[int], tested: Sequence[int] | None) -> Literal["shuffle", "balanced"]:
    """How classes are drawn, by the number of training and of test images of each; None where test images say nothing.

    `balanced` where the test images show the classes in other shares, which drawing all alike is nearer to. ResNet-8 in 2,000
    steps on 830 photos (300, 300, 150 and 80 of a class; seed 0): 70.1 % of as many test images of each class, shuffled 65.6 %.
    """
    if tested is None or not other_shares(trained, tested):
        return "shuffle"
    wanted = [images / sum(tested) for images in tested]
    alike = sum(abs(share - 1 / len(wanted)) for share in wanted)
    as_they_are = sum(abs(share - images / sum(trained)) for share, images in zip(wanted, trained, strict=True))
    return "balanced" if alike < as_they_are else "shuffle"


def check_recipe(recipe: str | Path | Recipe | None) -> None:
    """Raises RecipeError for what `fitted` would refuse."""
    if recipe is not None:
        fitted(recipe, 1, Augment())


def described(recipe: Recipe, images: int) -> str:
    """One line of a recipe, for so many training images."""
    recipe = recipe.for_images(images)
    steps = recipe.epochs * recipe.steps_per_epoch(images)
    augment = recipe.augment
    kinds = {
        f"crops of {augment.crop_padding} pixels": augment.crop_padding,
        "crops of any size": augment.crop_scale < 1,
        "flips": augment.flip,
        {"rand_augment": "RandAugment", "trivial_augment": "TrivialAugment"}.get(augment.policy, ""): augment.policy
        != "none",
        "cutout": augment.cutout,
        "erased rectangles": augment.erase,
        "colour": augment.color_jitter,
        "mixup": recipe.mixes and recipe.mixup,
        "cutmix": recipe.mixes and recipe.cutmix,
        "focal loss": recipe.focal,
        f"the loss {recipe.loss.partition(' ')[0]}": recipe.loss,
    }
    drawn = ", every class as often as any other" if recipe.sampling == "balanced" else ""
    shown = " and ".join(name for name, there in kinds.items() if there) or "no augmentation"
    return (
        f"{steps:,} steps of {recipe.batch_size} images ({recipe.epochs} epochs), {recipe.optimizer} with learning rate "
        f"{recipe.lr:.2g}, {recipe.schedule}, weight decay {recipe.weight_decay:g}, {shown}{drawn}"
    )
