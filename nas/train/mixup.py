"""Pairs of images mixed with each other, and the loss of what a network says of them (Zhang et al. 2018, mixup)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nas.data import TaskType


@dataclass(frozen=True)
class Targets:
    """What the images of a batch show: `share` of each has the labels `y` (B, …), the rest the labels `other` (B, …)."""

    y: Tensor
    other: Tensor | None = None
    """The other class of each image; None where nothing is mixed."""
    share: float = 1.0

    def loss(self, task_type: TaskType, outputs: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
        """Mean loss of the outputs of a batch; `weights` (classes,) of each class, None for all alike."""
        loss = task_type.loss(outputs, self.y, weights, smoothing)
        if self.other is None:
            return loss
        return self.share * loss + (1 - self.share) * task_type.loss(outputs, self.other, weights, smoothing)


def mixup(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Targets]:
    """Images (B, C, H, W), each mixed with another of the batch, and their targets.

    The share is drawn from Beta(strength, strength) by PyTorch's generator of the CPU, once a batch, so that no GPU is waited for.
    """
    share = float(torch.distributions.Beta(strength, strength).sample())
    order = torch.randperm(len(x)).to(x.device, non_blocking=True)
    return torch.lerp(x[order], x, share), Targets(y, y[order], share)
