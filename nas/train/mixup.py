"""Pairs of images mixed with each other, and the loss of what a network says of them (Zhang et al. 2018, mixup; CutMix)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.config.losses import Loss
from nas.config.recipe import Recipe


@dataclass(frozen=True)
class Targets:
    """What the images of a batch show: `share` of each has the labels `y` (B, …), the `rest` the labels `other` (B, …)."""

    y: Tensor
    other: Tensor | None = None
    """The other class of each image; None where nothing is mixed."""
    share: float | Tensor = 1.0
    rest: float | Tensor = 0.0
    """1 - `share`."""

    def loss(self, loss: Loss, outputs: Tensor) -> Tensor:
        """Mean loss of the outputs of a batch, by what `loss` says of them and of labels."""
        first = loss(outputs, self.y)
        return first if self.other is None else self.share * first + self.rest * loss(outputs, self.other)


def mixed(x: Tensor, y: Tensor, recipe: Recipe) -> tuple[Tensor, Targets]:
    """Images (B, C, H, W) and their targets, mixed in the way of the recipe; of two ways one is drawn for the batch."""
    if recipe.mixup and recipe.cutmix:
        return cutmix(x, y, recipe.cutmix) if float(torch.rand(())) < 0.5 else mixup(x, y, recipe.mixup)
    return cutmix(x, y, recipe.cutmix) if recipe.cutmix else mixup(x, y, recipe.mixup)


def mixup(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Targets]:
    """Images (B, C, H, W), each mixed with another of the batch, and their targets.

    The share is drawn from Beta(strength, strength) by PyTorch's generator of the CPU, once a batch, so that no GPU is waited for.
    """
    share = float(torch.distributions.Beta(strength, strength).sample())
    order = torch.randperm(len(x)).to(x.device, non_blocking=True)
    return torch.lerp(x[order], x, share), Targets(y, y[order], share, 1 - share)


def cutmix(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Targets]:
    """Images (B, C, H, W), each with a rectangle of another of the batch in the same place, and their targets.

    Share and place are drawn once a batch, as in Yun et al. 2019, CutMix, appendix A; the share is that of the pixels that stay.
    """
    share = float(torch.distributions.Beta(strength, strength).sample())
    order = torch.randperm(len(x)).to(x.device, non_blocking=True)
    height, width = x.shape[2:]
    side = math.sqrt(1 - share)
    row, column = int(torch.randint(height, ())), int(torch.randint(width, ()))
    top, bottom = _ends(row, side * height, height)
    left, right = _ends(column, side * width, width)
    x = x.clone()
    x[:, :, top:bottom, left:right] = x[order, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return x, Targets(y, y[order], share, 1 - share)


def _ends(centre: int, length: float, extent: int) -> tuple[int, int]:
    """First place and place behind the last of so much around the centre, as far as it lies in the image."""
    return max(0, centre - int(length) // 2), min(extent, centre + int(length) // 2)
