"""What retrained weights are worth: validation and test beside each other, by metric and class, and what to make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.padding import Padding
from rich.table import Table

from nas.network.model_selection import Retrained
from nas.objectives import ACCURACY, BALANCED_ACCURACY, OBJECTIVES
from nas.statistics.scores import CHANCE, Gap, Score, other_shares
from nas.text.formatting import difference_text, metric_text, words

if TYPE_CHECKING:
    from rich.console import Console

    from nas.data import Dataset

MOST_CLASSES: Final = 20
"""Classes up to which each has its row."""
WORST_CLASSES: Final = 10
"""The worst ones of more classes than that."""
FURTHER: Final = ("loss", "top5")
"""What is measured, and no row of a table."""


def worth_record(retrained: Retrained, data: Dataset) -> dict[str, Any]:
    """The training that is kept, as plain data: values with their standard errors, class by class."""
    validation, test, metric = retrained.validation, retrained.test, retrained.metric
    both = None if validation is None or test is None else Gap.between(validation, test, metric).record()
    return {
        "seed": retrained.seed,
        "metric": metric,
        "chosen_by": None if validation is None else f"validation {words(metric)}",
        "weights": str(retrained.kept["weights"]),
        "validation": None if validation is None else validation.record(data.class_names),
        "validation_mean": retrained.mean,
        "test": None if test is None else test.record(data.class_names),
        "validation_minus_test": both,
        "other_shares": _shares(test, data),
    }


def print_worth(console: Console, retrained: Retrained, data: Dataset) -> None:
    """Which training is kept, what it is worth, and what the numbers do not say by themselves."""
    test = retrained.test
    if test is None or test.images is None:
        return  # measured by an older version
    console.print(f"  kept         {_choice(retrained)}", soft_wrap=True)
    console.print(Padding(_table(retrained, test, data.class_names), (0, 0, 0, 2)))
    for line in remarks(retrained, data):
        console.print(f"  {line}", soft_wrap=True)


def remarks(retrained: Retrained, data: Dataset) -> list[str]:
    """One line each: whether validation and test agree, and whether they are of the same mix of classes."""
    validation, test, metric = retrained.validation, retrained.test, retrained.metric
    lines = []
    if validation is not None and test is not None:
        lines.append(_agreement(Gap.between(validation, test, metric), metric))
    if others := _shares(test, data):
        first, more = others[0], len(others) - 1
        rest = f" ({more} more {'class' if more == 1 else 'classes'} likewise)" if more else ""
        lines.append(
            f"the test images have other shares of the classes than the training images: {first['class']} is "
            f"{first['training']:.0%} of the training images and {first['test']:.0%} of the test images{rest}; compare by "
            "the balanced accuracy"
        )
    return lines


def shown_metrics(score: Score, metric: str) -> list[str]:
    """What has a row or a column of its own: what is chosen by first."""
    others = [name for name in score.metrics if name not in (*FURTHER, metric)]
    return [metric, *others]


def metric_name(metric: str, chosen_by: str) -> str:
    """What such a row or column is called; accuracies by the images that they count."""
    if chosen_by != ACCURACY.name:
        return words(metric)
    return {ACCURACY.name: "all images", BALANCED_ACCURACY.name: "each class alike"}.get(metric, words(metric))


def estimate_text(score: Score | None, metric: str) -> str:
    """A metric of a score with its standard error; nothing where it was not measured."""
    return "" if score is None else metric_text(metric, score.value(metric), score.error(metric))


def class_text(score: Score, place: int) -> str:
    """What a score says of one class, with its standard error."""
    return metric_text(score.class_metric, *score.of(place))


def _choice(retrained: Retrained) -> str:
    trained = len(retrained.tested)
    if retrained.validation is None:
        why = "no image was held out, so that nothing is chosen by validation"
        return f"seed {retrained.seed}, the {'only' if trained == 1 else 'first'} one: {why}"
    of = "the only one" if trained == 1 else f"the best of {trained} on the validation images"
    return f"seed {retrained.seed}, {of}"


def _agreement(gap: Gap, metric: str) -> str:
    far = f"validation and test differ by {difference_text(metric, abs(gap.difference))}"
    if gap.error is None:
        return f"{far}; nobody knows how much of it is chance"
    most = difference_text(metric, CHANCE * gap.error).removesuffix(" points")
    if gap.by_chance:
        return f"{far}, which is chance (two standard errors: {most})"
    better = "validation" if gap.difference * OBJECTIVES[metric].sign > 0 else "test"
    return (
        f"{far}, more than by chance (two standard errors: {most}): the {better} images are easier, or of another kind; "
        "believe the test"
    )


def _table(retrained: Retrained, test: Score, names: Sequence[str]) -> Table:
    metric = retrained.metric
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class" if test.classes else "metric", overflow="fold")
    parts = {"validation": retrained.validation, "test": test}
    there = [(name, score) for name, score in parts.items() if score is not None]
    for name, _ in there:
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("images", justify="right", no_wrap=True)
    for name in shown_metrics(test, metric):
        cells = []
        for _, score in there:
            cells += [estimate_text(score, name), f"{score.images:,}" if name == metric else ""]
        table.add_row(metric_name(name, metric), *cells)
    for place in _shown(test):
        cells = []
        for _, score in there:
            cells += [class_text(score, place), f"{score.classes[place].images:,}"]
        table.add_row(names[place], *cells)
    if len(test.classes) > MOST_CLASSES:
        table.caption = f"the {WORST_CLASSES} worst of {len(names)} classes; --json has all"
        table.caption_justify = "left"
    return table


def _shown(test: Score) -> list[int]:
    places = range(len(test.classes))
    if len(places) <= MOST_CLASSES:
        return list(places)
    worst = sorted(places, key=lambda place: (test.of(place)[0] is None, test.of(place)[0] or 0.0))
    return sorted(worst[:WORST_CLASSES])


def _shares(test: Score | None, data: Dataset) -> list[dict[str, Any]]:
    """The classes of which the test images have another share than the training images: with both shares.

    Nothing where an image has several labels, or none.
    """
    if test is None or not test.classes or data.train.y.ndim > 1:
        return []
    ours = np.bincount(np.concatenate([data.train.y, data.validation.y]), minlength=data.classes).tolist()
    theirs = [one.images for one in test.classes]
    return [
        {
            "class": data.class_names[place],
            "training": ours[place] / sum(ours),
            "test": theirs[place] / sum(theirs),
        }
        for place in other_shares(ours, theirs)
    ]
