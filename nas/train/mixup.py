"""Pairs of images mixed with each other, and the loss of what a network says of them (Zhang et al. 2018, mixup)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """What the images of a batch show: `share` of each is of the class `y` (B,), the rest of the class `other` (B,)."""

    y: Tensor
    other: Tensor | None = None
    """The other class of each image; None where nothing is mixed."""
    share: float = 1.0

    def loss(self, logits: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
        """Mean cross-entropy of logits (B, classes); `weights` (classes,) of each class, None for all alike."""
        loss = F.cross_entropy(logits, self.y, weights, label_smoothing=smoothing)
        if self.other is None:
            return loss
        other = F.cross_entropy(logits, self.other, weights, label_smoothing=smoothing)
        return self.share * loss + (1 - self.share) * other


def mixup(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Targets]:
    """Images (B, C, H, W), each mixed with another of the batch, and their targets.

    The share is drawn from Beta(strength, strength) by PyTorch's generator of the CPU, once a batch, so that no GPU is waited for.
    """
    share = float(torch.distributions.Beta(strength, strength).sample())
    order = torch.randperm(len(x)).to(x.device, non_blocking=True)
    return torch.lerp(x[order], x, share), Targets(y, y[order], share)
