"""Convolutions factored into depthwise and pointwise parts, and the projection that such a layer leaves behind.

A depthwise convolution filters each channel alone, a 1×1 convolution mixes channels: far fewer weights than doing both
at once. Howard et al. 2017, MobileNets, section 3.1; Sandler et al. 2018, MobileNetV2, section 3.3 (expand before,
project after, add the narrow ends); Howard et al. 2019, MobileNetV3, figure 4 (with squeeze-and-excitation).
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.attention import SqueezeExcitation
from blocks.base import OneOf, Width, block
from blocks.common import (
    Activation,
    Dilation,
    Expansion,
    KernelSize,
    Norm,
    Stride,
    make_activation,
    make_norm,
    same_padding,
)


@block(
    "depthwise_separable",
    family="convolution",
    source="Howard et al. 2017, MobileNets, section 3.1",
    link="https://arxiv.org/abs/1704.04861",
    idle=(("dilation", "kernel_size", (1,)),),
)
class DepthwiseSeparable(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    A k×k convolution of each channel alone, then a 1×1 convolution across channels; norm and activation after each.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        stride: Stride = 1,
        dilation: Dilation = 1,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        bias = norm == "none"
        padding = same_padding(kernel_size, dilation)
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel_size, stride, padding, dilation, in_channels, bias=bias),
            make_norm(norm, in_channels),
            make_activation(activation),
            nn.Conv2d(in_channels, channels, 1, bias=bias),
            make_norm(norm, channels),
            make_activation(activation),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


@block(
    "inverted_residual",
    family="residual",
    source="Sandler et al. 2018, MobileNetV2, section 3.3; MobileNetV3, figure 4",
    link="https://arxiv.org/abs/1801.04381",
)
class InvertedResidual(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Expand by 1×1, filter each channel by k×k, project by 1×1; norm after each, activation after the first two, a
    shortcut where input and output have one shape. `se_reduction` 0 means no squeeze-and-excitation.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        expansion: Expansion = 6,
        stride: Stride = 1,
        se_reduction: Annotated[int, OneOf(0, 4, 8, 16), "reduction of squeeze-and-excitation; 0 for none"] = 0,
        norm: Norm = "batch",
        activation: Activation = "relu",  # NOTE not in the paper: MobileNetV2 has ReLU6; NAS-Bench-Macro has ReLU
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        bias = norm == "none"
        layers: list[nn.Module] = []
        # NOTE not in the paper: with expansion 1 there is nothing to expand, as in the authors' code.
        if expansion != 1:
            layers.append(nn.Conv2d(in_channels, hidden, 1, bias=bias))
            layers += [make_norm(norm, hidden), make_activation(activation)]
        padding = same_padding(kernel_size)
        layers.append(nn.Conv2d(hidden, hidden, kernel_size, stride, padding, groups=hidden, bias=bias))
        layers += [make_norm(norm, hidden), make_activation(activation)]
        if se_reduction:
            # NOTE not in the paper: σ, where MobileNetV3 has its piecewise linear likeness.
            layers.append(SqueezeExcitation(hidden, reduction=se_reduction))
        layers += [nn.Conv2d(hidden, channels, 1, bias=bias), make_norm(norm, channels)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


@block(
    "projection",
    family="convolution",
    source="He et al. 2016, Deep Residual Learning, section 3.3, option B",
    link="https://arxiv.org/abs/1512.03385",
)
class Projection(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    The cheapest layer that changes a shape: 1×1 convolution without bias, then norm. Where the shape does not change it
    is the identity.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        stride: Stride = 1,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.layers.append(nn.Conv2d(in_channels, channels, 1, stride, bias=False))
            self.layers.append(make_norm(norm, channels))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y
