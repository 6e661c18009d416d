"""What retrained weights are worth: validation and test accuracy beside each other, class by class, and what to make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.padding import Padding
from rich.table import Table

from nas.network.model_selection import Retrained
from nas.statistics.scores import CHANCE, Gap, Score, other_shares

if TYPE_CHECKING:
    from rich.console import Console

    from nas.data import Dataset

MOST_CLASSES: Final = 20
"""Classes up to which each has its row."""
WORST_CLASSES: Final = 10
"""The least accurate ones of more classes than that."""


def worth_record(retrained: Retrained, data: Dataset) -> dict[str, Any]:
    """The training that is kept, as plain data: accuracies in [0, 1] with their standard errors, class by class."""
    validation, test = retrained.validation, retrained.test
    both = None if validation is None or test is None else Gap.between(validation, test).record()
    return {
        "seed": retrained.seed,
        "chosen_by": None if validation is None else "validation accuracy",
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
    if test is None:
        return  # measured by an older version
    console.print(f"  kept         {_choice(retrained)}", soft_wrap=True)
    console.print(Padding(_table(retrained.validation, test, data.class_names), (0, 0, 0, 2)))
    for line in remarks(retrained, data):
        console.print(f"  {line}", soft_wrap=True)


def remarks(retrained: Retrained, data: Dataset) -> list[str]:
    """One line each: whether validation and test agree, and whether they are of the same mix of classes."""
    validation, test = retrained.validation, retrained.test
    lines = []
    if validation is not None and test is not None:
        lines.append(_agreement(Gap.between(validation, test)))
    if others := _shares(test, data):
        first, more = others[0], len(others) - 1
        rest = f" ({more} more {'class' if more == 1 else 'classes'} likewise)" if more else ""
        lines.append(
            f"the test images have other shares of the classes than the training images: {first['class']} is "
            f"{first['training']:.0%} of the training images and {first['test']:.0%} of the test images{rest}; compare by "
            "the balanced accuracy"
        )
    return lines


def with_error(accuracy: float | None, error: float | None) -> str:
    """``97.3 ± 0.9 %``."""
    return "" if accuracy is None or error is None else f"{accuracy * 100:.1f} ± {error * 100:.1f} %"


def _choice(retrained: Retrained) -> str:
    trained = len(retrained.tested)
    if retrained.validation is None:
        why = "no image was held out, so that nothing is chosen by validation"
        return f"seed {retrained.seed}, the {'only' if trained == 1 else 'first'} one: {why}"
    of = "the only one" if trained == 1 else f"the best of {trained} on the validation images"
    return f"seed {retrained.seed}, {of}"


def _agreement(gap: Gap) -> str:
    points, most = abs(gap.difference) * 100, CHANCE * gap.error * 100
    if gap.by_chance:
        return f"validation and test differ by {points:.1f} points, which is chance (two standard errors: {most:.1f})"
    better = "validation" if gap.difference > 0 else "test"
    return (
        f"validation and test differ by {points:.1f} points, more than by chance (two standard errors: {most:.1f}): the "
        f"{better} images are easier, or of another kind; believe the test"
    )


def _table(validation: Score | None, test: Score, names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    parts = {"validation": validation, "test": test}
    there = [(name, score) for name, score in parts.items() if score is not None]
    for name, _ in there:
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("images", justify="right", no_wrap=True)
    table.add_row("all images", *_cells([(score.accuracy, score.error, score.total) for _, score in there]))
    table.add_row("each class alike", *_cells([(score.balanced, score.balanced_error, None) for _, score in there]))
    for place in _shown(test):
        table.add_row(names[place], *_cells([(*score.of(place), score.images[place]) for _, score in there]))
    if len(names) > MOST_CLASSES:
        table.caption = f"the {WORST_CLASSES} least accurate of {len(names)} classes; --json has all"
        table.caption_justify = "left"
    return table


def _cells(values: Sequence[tuple[float | None, float | None, int | None]]) -> list[str]:
    cells = []
    for accuracy, error, images in values:
        cells += [with_error(accuracy, error), "" if images is None else f"{images:,}"]
    return cells


def _shown(test: Score) -> list[int]:
    places = range(len(test.images))
    if len(places) <= MOST_CLASSES:
        return list(places)
    worst = sorted(places, key=lambda place: (test.of(place)[0] is None, test.of(place)[0] or 0.0))
    return sorted(worst[:WORST_CLASSES])


def _shares(test: Score | None, data: Dataset) -> list[dict[str, Any]]:
    """The classes of which the test images have another share than the training images: with both shares."""
    if test is None:
        return []
    ours = np.bincount(np.concatenate([data.train.y, data.validation.y]), minlength=data.classes).tolist()
    return [
        {
            "class": data.class_names[place],
            "training": ours[place] / sum(ours),
            "test": test.images[place] / test.total,
        }
        for place in other_shares(ours, test.images)
    ]
