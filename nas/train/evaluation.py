"""What a model answers to images, and how often it is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEASUREMENTS = 6
"""Measurements of a network during its training: each costs a look at the validation images, and statistics of batch norm."""


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    context: AbstractContextManager[Any] | None = None,
) -> tuple[float, float, float]:
    """Top-1 and top-5 accuracy in [0, 1], and mean cross-entropy. With fewer than five classes top-5 is top-all."""
    was_training = model.training
    model.eval()
    sums: Tensor | None = None
    images = 0
    with context or nullcontext():
        for x, y in batches:
            logits = model(x).float()
            best = logits.topk(min(5, logits.shape[1])).indices
            hits = best == y[:, None]
            loss = F.cross_entropy(logits, y, reduction="sum")
            batch = torch.stack([hits[:, 0].sum().float(), hits.any(1).sum().float(), loss])
            sums = batch if sums is None else sums + batch
            images += len(y)
    model.train(was_training)
    if sums is None:
        raise ValueError("there are no images to evaluate on")
    top1, top5, loss_sum = (sums / images).tolist()
    return top1, top5, loss_sum


@torch.no_grad()
def predict(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    context: AbstractContextManager[Any] | None = None,
) -> Tensor:
    """Logits (N, classes) in float32, on the CPU, for the images of `batches` in their order."""
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
