"""What the answers of a network are worth: every metric of the task's type by name, with its standard error, and class by class.

A standard error is that of a formula where the type has one, else of the bootstrap over images. What sums over images give
(`TaskType.summary`) is made of resampled sums, so that only what needs all answers at once is computed again from resampled
answers.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nas.data.task_type import TaskType
from nas.statistics.bootstrap import resampled, spread
from nas.statistics.scores import ClassScore, Estimate, Score

Values = npt.NDArray[np.float64]


def score(task_type: TaskType, outputs: Tensor, targets: Tensor, *, seed: int = 0) -> Score:
    """What outputs (N, …) for labels (N, …) are worth, both on the CPU. `seed` draws the resamples."""
    images = len(targets)
    sums = _sums(task_type, task_type.tally(outputs, targets).double(), images)
    rest, classes = task_type.measured(outputs, targets)
    errors, class_errors = task_type.standard_errors(outputs, targets)
    by_sums = [name for name in sums if name not in errors]
    by_answers = [name for name in rest if name not in errors]
    open_classes = classes if classes is not None and class_errors is None else None
    if by_sums:
        errors |= _of_sums(task_type, outputs, targets, by_sums, seed)
    if by_answers or open_classes is not None:
        more, found = _of_answers(task_type, outputs, targets, by_answers, open_classes, seed)
        errors |= more
        class_errors = found if open_classes is not None else class_errors
    metrics = {name: Estimate(value, _known(errors.get(name))) for name, value in (sums | rest).items()}
    return Score(metrics, images, *_by_class(task_type, targets, classes, class_errors))


def _sums(task_type: TaskType, sums: Tensor, images: int) -> dict[str, float]:
    return {name: float(value) for name, value in task_type.summary(sums, images).items()}


def _of_sums(task_type: TaskType, outputs: Tensor, targets: Tensor, names: list[str], seed: int) -> dict[str, float]:
    """Standard errors of what sums over images give."""
    images = len(targets)
    each = [task_type.tally(outputs[place : place + 1], targets[place : place + 1]).double() for place in range(images)]
    tallies = torch.stack(each)
    rows = []
    for places in resampled(images, seed):
        weights = torch.from_numpy(np.bincount(places, minlength=images)).double()
        found = _sums(task_type, weights @ tallies, images)
        rows.append([found[name] for name in names])
    return dict(zip(names, spread(np.array(rows)).tolist(), strict=True))


def _of_answers(
    task_type: TaskType, outputs: Tensor, targets: Tensor, names: list[str], classes: Values | None, seed: int
) -> tuple[dict[str, float], Values]:
    """Standard errors of what needs all answers at once, and of the classes."""
    count = 0 if classes is None else len(classes)
    rows = []
    for places in resampled(len(targets), seed):
        index = torch.from_numpy(places)
        rows.append(_again(task_type, outputs[index], targets[index], names, count))
    found = spread(np.array(rows))
    return dict(zip(names, found[: len(names)].tolist(), strict=True)), found[len(names) :]


def _again(task_type: TaskType, outputs: Tensor, targets: Tensor, names: list[str], count: int) -> list[float]:
    """The metrics and the classes of a resample; NaN where a function of others can make nothing of one, such as one class."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a resample lacks a class
            found, classes = task_type.measured(outputs, targets)
    except Exception:  # whatever a function of others can do; of the answers themselves it has raised before
        return [math.nan] * (len(names) + count)
    return [*(found[name] for name in names), *(classes[:count] if classes is not None else ())]


def _by_class(
    task_type: TaskType, targets: Tensor, classes: Values | None, errors: Values | None
) -> tuple[tuple[ClassScore, ...], str]:
    if classes is None:
        return (), ""
    images = task_type.counts(targets.numpy(), len(classes))
    assert images is not None, "what is measured by class counts classes"
    spreads = np.full(len(classes), np.nan) if errors is None else errors
    rows = zip(classes.tolist(), spreads.tolist(), images.tolist(), strict=True)
    return tuple(ClassScore(_known(value), _known(error), int(n)) for value, error, n in rows), task_type.class_metric


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
