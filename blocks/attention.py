"""Attention from related work: a map of weights multiplies the features.

Squeeze-and-excitation (Hu et al. 2018, eqs. 2-4) weighs channels by what the whole map holds; ECA (Wang et al. 2020,
eqs. 9 and 12) does so with a handful of weights; CBAM (Woo et al. 2018, eqs. 2-3) weighs channels, then positions.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from blocks.base import OneOf, block
from blocks.common import KernelSize, Reduction, same_padding, squeezed


@block(
    "se",
    family="attention",
    source="Hu et al. 2018, Squeeze-and-Excitation Networks, eqs. 2-4",
    link="https://arxiv.org/abs/1709.01507",
)
class SqueezeExcitation(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Channels weighed by two linear layers over the mean of each: x · σ(W2 ReLU(W1 mean(x))).
    """

    def __init__(self, in_channels: int, *, reduction: Reduction = 16) -> None:
        super().__init__()
        hidden = squeezed(in_channels, reduction)
        # NOTE not in the paper: biases, as torchvision has them; the equations are without.
        self.reduce = nn.Conv2d(in_channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        z_BC11 = x.mean((2, 3), keepdim=True)
        weight_BC11: Tensor = self.expand(self.reduce(z_BC11).relu()).sigmoid()
        return x * weight_BC11


@block(
    "eca",
    family="attention",
    source="Wang et al. 2020, ECA-Net, eqs. 9 and 12",
    link="https://arxiv.org/abs/1910.03151",
)
class EfficientChannelAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Channels weighed by a 1D convolution over the means of neighbouring channels. `kernel_size` 0 means the paper's
    rule: (log2 C + 1) / 2, rounded down, and one more where that is even.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Annotated[
            int, OneOf(0, 1, 3, 5, 7), "channels that are read together; 0: by their number, eq. 12"
        ] = 0,
    ) -> None:
        super().__init__()
        size = kernel_size
        if size == 0:
            size = int((math.log2(in_channels) + 1) / 2)
            size += 1 - size % 2
        self.conv = nn.Conv1d(1, 1, size, padding=same_padding(size), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        z_B1C = x.mean((2, 3)).unsqueeze(1)
        weight_BC: Tensor = self.conv(z_B1C).sigmoid().squeeze(1)
        return x * weight_BC[:, :, None, None]


@block(
    "cbam", family="attention", source="Woo et al. 2018, CBAM, eqs. 2 and 3", link="https://arxiv.org/abs/1807.06521"
)
class ConvolutionalBlockAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Channel attention from mean and maximum through one shared network, then spatial attention from the mean and
    maximum over channels through one convolution of `spatial_kernel`.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Reduction = 16,
        spatial_kernel: Annotated[KernelSize, "side of the kernel that makes the map of weights"] = 7,
    ) -> None:
        super().__init__()
        hidden = squeezed(in_channels, reduction)
        self.reduce = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.expand = nn.Conv2d(hidden, in_channels, 1, bias=False)
        self.spatial = nn.Conv2d(2, 1, spatial_kernel, padding=same_padding(spatial_kernel), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean_BC11 = x.mean((2, 3), keepdim=True)
        max_BC11 = x.amax((2, 3), keepdim=True)
        hidden = self.expand(self.reduce(mean_BC11).relu()) + self.expand(self.reduce(max_BC11).relu())
        x = x * hidden.sigmoid()  # eq. 2
        summary_B2HW = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        weight_B1HW: Tensor = self.spatial(summary_B2HW).sigmoid()  # eq. 3
        return x * weight_B1HW
