"""How a search trains and measures its networks: derived from the data, and said in words before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.config.losses import loss_text
from nas.config.recipe import Recipe
from nas.config.recipe_presets import FINE_TUNING, described, fitted, sampling_for
from nas.data import Dataset, augmentation, source
from nas.errors import SearchError
from nas.objectives import ACCURACY
from nas.searches.options import RANDOM, SearchOptions
from nas.searches.progress import Progress
from nas.space.published import whole_of
from nas.space.space import Space
from nas.statistics.proportion import standard_error

if TYPE_CHECKING:
    from nas.network.pretrained import Start

FEW_IMAGES = 20
"""Images of a class up to which a measurement says little."""
LARGE_ERROR = 0.02
"""Standard error of an accuracy of 75 % from which cross-validation is offered."""
OFFERED_FOLDS = 4


def find_start_of(space: Space, pretrained: str | None) -> Start | None:
    """The trained weights that networks of the space start from; None: random ones. `pretrained` is the user's word.

    Raises SearchError where the space says nothing of whose weights these are, otherwise as `find_start` does.
    """
    if pretrained == RANDOM or (pretrained is None and space.pretrained is None):
        return None
    if space.pretrained is None:
        raise SearchError(
            f"pretrained: the space '{space.name}' names no published network whose weights its networks could take; "
            "pretrained_mobile and pretrained_resnet do, and any space with the key 'pretrained'"
        )
    from nas.network.pretrained import find_start

    whole_of(space)
    return find_start(space.pretrained, pretrained)


def start_line(start: Start) -> str:
    """What networks start from, in words."""
    scale = "as theirs were" if start.mean else "by their own mean, since these weights do not say"
    return (
        f"networks start from the weights of {start.network} ({start.weights}): {len(start.state)} tensors of "
        f"{start.parameters:,} numbers, of which each takes those of the layers that it has; images are normalized {scale}"
    )


def recipe_of(options: SearchOptions, dataset: Dataset, start: Start | None) -> Recipe:
    """The recipe of every trial, its steps as epochs of the training images."""
    images = dataset.trained_images
    known = source(dataset.task)
    default = known.recipe if start is None else FINE_TUNING
    recipe = fitted(options.recipe or default, images, augmentation(dataset))
    recipe = recipe.replace(seed=options.seed, pretrained="" if start is None else start.text)
    if options.recipe is None:
        trained = dataset.type.counts(dataset.train.y, dataset.classes)
        if trained is not None:
            recipe = recipe.replace(sampling=sampling_for(trained.tolist(), known.count_test(dataset.task)))
    if options.loss is not None:  # it takes no smoothing, nor weights of classes
        recipe = recipe.replace(loss=loss_text(str(options.loss)), label_smoothing=0.0)
    if options.epochs is not None:
        recipe = recipe.replace(epochs=options.epochs)
    if options.steps is not None:
        recipe = recipe.replace(steps=options.steps).for_images(images)
    return recipe


def tell_protocol(dataset: Dataset, recipe: Recipe, progress: Progress, *, named: bool) -> None:
    """How networks are trained and measured, in words; and how sure a measurement is."""
    labels, folds = dataset.measured_labels, dataset.task.folds
    images, every = len(labels), len(dataset.train) + len(dataset.validation)
    progress.note(f"each trial: {described(recipe, dataset.trained_images)}")
    if recipe.sampling == "balanced" and not named:
        progress.note(
            "classes are drawn alike because the test images have other shares of them than the training images, and nearer "
            "to even ones (--recipe modern draws images alike)"
        )
    how = "" if folds == 1 else f", each once in {folds} trainings of a network, which take {folds} times as long"
    what = (
        f"the {images:,} validation images" if dataset.task.chosen else f"{images:,} of {every:,} training images{how}"
    )
    line = f"measured on {what}"
    error = standard_error(0.75, images) if ACCURACY in dataset.type.metrics else 0.0
    if error:
        line += f"; an accuracy of 75 % has a standard error of {error:.1%}"
    counts = dataset.type.counts(labels, dataset.classes)
    fewest = FEW_IMAGES + 1 if counts is None else int(counts.min())
    if fewest <= FEW_IMAGES:
        line += f"; of one class {fewest} images alone are measured on: small differences between networks are chance"
    if folds == 1 and error > LARGE_ERROR:
        line += (
            f" (--folds {OFFERED_FOLDS} measures all {every:,}, to {standard_error(0.75, every):.1%}, and takes {OFFERED_FOLDS} "
            "times as long)"
        )
    progress.note(line)
