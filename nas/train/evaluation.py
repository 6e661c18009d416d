"""What a model answers to images, and how good that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nas.data.task_type import CLASSIFICATION, TaskType

MEASUREMENTS = 6
"""Measurements of a network during its training: each costs a look at the validation images, and statistics of batch norm."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    context: AbstractContextManager[Any] | None = None,
    task_type: TaskType = CLASSIFICATION,
) -> dict[str, float]:
    """The mean loss and every metric of the task's type, by name."""
    was_training = model.training
    model.eval()
    sums: Tensor | None = None
    images = 0
    kept: list[tuple[Tensor, Tensor]] = []
    with context or nullcontext():
        for x, y in batches:
            outputs = model(x).float()
            batch = task_type.tally(outputs, y)
            sums = batch if sums is None else sums + batch
            images += len(y)
            if task_type.further:
                kept.append((outputs, y))
    model.train(was_training)
    if sums is None:
        raise ValueError("there are no images to evaluate on")
    found = task_type.summary(sums, images)
    if task_type.further:
        outputs, targets = (torch.cat(parts).cpu() for parts in zip(*kept, strict=True))
        found |= task_type.measure(outputs, targets)
    return found


@torch.no_grad()
def predict(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    context: AbstractContextManager[Any] | None = None,
) -> Tensor:
    """Outputs (N, …) in float32, on the CPU, for the images of `batches` in their order."""
    was_training = model.training
    model.eval()
    with context or nullcontext():
        logits = [model(x).float() for x, _ in batches]
    model.train(was_training)
    return torch.cat(logits).cpu()


def measured_epochs(epochs: int, rungs: Sequence[int] = ()) -> frozenset[int]:
    """The epochs after which a network is measured: those of `rungs`, and `MEASUREMENTS` evenly over the training."""
    even = {max(1, round(epochs * place / MEASUREMENTS)) for place in range(1, MEASUREMENTS + 1)}
    return frozenset(even | set(rungs) | {epochs})
