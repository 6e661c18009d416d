"""Down-sampling: fewer positions, the same channels.

Pooling keeps the largest value or the mean of each window; a strided convolution learns what to keep. Windows lie side
by side (Simonyan and Zisserman 2015, section 2.1) or overlap (He et al. 2016, table 1: 3×3 windows with stride 2);
with stride 1 and a window of 3×3 a pool smooths and keeps the size, as cell spaces use it (DARTS, NAS-Bench-201).
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import OneOf, Range, Shape, ShapeError, block
from blocks.common import Activation, KernelSize, Norm, Stride, make_activation, make_norm, same_padding

Window = Annotated[int, OneOf(0, 1, 3, 5, 7), "side of the window; 0: the stride"]
"""Kernel size of a pool; 0 means the stride: windows side by side."""


def _check(in_shape: Shape, stride: int, what: str) -> None:
    height, width = in_shape[1:]
    if min(height, width) < stride:
        raise ShapeError(f"{what} with stride {stride} needs a map of {stride}×{stride} or more, not {height}×{width}")


@block(
    "max_pool",
    family="downsampling",
    source="Simonyan and Zisserman 2015, Very Deep Convolutional Networks, section 2.1",
    link="https://arxiv.org/abs/1409.1556",
)
class MaxPool(nn.Module):
    """x (B, C, H, W) -> (B, C, ⌊H/stride⌋, ⌊W/stride⌋), or ⌈⌉ with a `kernel_size` of its own

    Largest value of each window.
    """

    def __init__(self, in_shape: Shape, *, kernel_size: Window = 0, stride: Stride = 2) -> None:
        super().__init__()
        _check(in_shape, stride, "max-pooling")
        self.pool = nn.MaxPool2d(kernel_size or stride, stride, same_padding(kernel_size) if kernel_size else 0)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(x)
        return y


@block(
    "avg_pool",
    family="downsampling",
    source="Huang et al. 2017, Densely Connected Convolutional Networks, section 3",
    link="https://arxiv.org/abs/1608.06993",
)
class AvgPool(nn.Module):
    """x (B, C, H, W) -> (B, C, ⌊H/stride⌋, ⌊W/stride⌋), or ⌈⌉ with a `kernel_size` of its own

    Mean of each window; at the border, of the part of it that lies on the map.
    """

    def __init__(self, in_shape: Shape, *, kernel_size: Window = 0, stride: Stride = 2) -> None:
        super().__init__()
        _check(in_shape, stride, "average-pooling")
        padding = same_padding(kernel_size) if kernel_size else 0
        self.pool = nn.AvgPool2d(kernel_size or stride, stride, padding, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(x)
        return y


@block(
    "strided_conv",
    family="downsampling",
    source="Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net, section 2",
    link="https://arxiv.org/abs/1412.6806",
)
class StridedConv(nn.Module):
    """x (B, C, H, W) -> (B, C, ⌈H/stride⌉, ⌈W/stride⌉)

    Convolution with a stride in place of pooling, then norm and activation.
    """

    def __init__(
        self,
        in_shape: Shape,
        *,
        kernel_size: KernelSize = 3,
        stride: Stride = 2,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        _check(in_shape, stride, "a convolution that down-samples")
        channels = in_shape[0]
        self.conv = nn.Conv2d(channels, channels, kernel_size, stride, same_padding(kernel_size), bias=norm == "none")
        self.norm = make_norm(norm, channels)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(self.conv(x)))
        return y


@block(
    "resize",
    family="downsampling",
    source="Tan and Le 2019, EfficientNet, section 3.1 (resolution)",
    link="https://arxiv.org/abs/1905.11946",
)
class Resize(nn.Module):
    """x (B, C, H, W) -> (B, C, scale · H, scale · W), rounded

    A smaller picture by bilinear interpolation: what follows costs less, with the same weights.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        scale: Annotated[float, Range(0.25, 1.0, (0.25, 0.5, 0.75, 1.0)), "sides of the output, as a share"] = 0.5,
    ) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        size = [max(1, int(side * self.scale + 0.5)) for side in x.shape[2:]]
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
