"""Residual blocks: the layers learn what to add to their input.

He et al. 2016, Deep Residual Learning. The stride of a bottleneck is on its 3×3 convolution (ResNet v1.5, as torchvision).
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.balashov import Attention, IntegratedConv, Reduction, SpatialKernel
from blocks.base import OneOf, Width, block
from blocks.conv import Norm, make_norm
from blocks.separable import Projection

Stride = Annotated[int, OneOf(1, 2)]


def _shortcut(in_channels: int, channels: int, stride: int, norm: str) -> nn.Module:
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    return Projection(in_channels, channels=channels, stride=stride, norm=norm)


@block("basic_residual", source="He et al. 2016, Deep Residual Learning, figure 5 left")
class BasicResidual(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Two k×k convolutions and a shortcut, which is a projection where the shape changes. `attention` weighs the input of
    both convolutions (Balashov, eq. 6).
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: Annotated[int, OneOf(3, 5)] = 3,
        stride: Stride = 1,
        dilation: Annotated[int, OneOf(1, 2, 3, 4)] = 1,
        attention: Attention = "none",
        reduction: Reduction = 8,
        spatial_kernel: SpatialKernel = 7,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()

        def conv(inputs: int, stride: int) -> nn.Module:
            return IntegratedConv(
                inputs,
                channels,
                kernel_size,
                attention=attention,
                reduction=reduction,
                spatial_kernel=spatial_kernel,
                stride=stride,
                dilation=dilation,
                bias=norm == "none",
            )

        self.layers = nn.Sequential(
            conv(in_channels, stride), make_norm(norm, channels), nn.ReLU(), conv(channels, 1), make_norm(norm, channels)
        )
        self.shortcut = _shortcut(in_channels, channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layers(x) + self.shortcut(x)).relu()


@block("bottleneck_residual", source="He et al. 2016, Deep Residual Learning, figure 5 right; Balashov, eq. 6")
class BottleneckResidual(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    1×1 down to channels / `squeeze`, k×k, 1×1 up again, and a shortcut. `attention` weighs the input of the k×k
    convolution (Balashov, eq. 6).
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: Annotated[int, OneOf(3, 5)] = 3,
        squeeze: Annotated[int, OneOf(1, 2, 4)] = 4,
        stride: Stride = 1,
        dilation: Annotated[int, OneOf(1, 2, 3, 4)] = 1,
        attention: Attention = "none",
        reduction: Reduction = 8,
        spatial_kernel: SpatialKernel = 7,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        hidden = max(1, channels // squeeze)
        bias = norm == "none"
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=bias),
            make_norm(norm, hidden),
            nn.ReLU(),
            IntegratedConv(
                hidden,
                hidden,
                kernel_size,
                attention=attention,
                reduction=reduction,
                spatial_kernel=spatial_kernel,
                stride=stride,
                dilation=dilation,
                bias=bias,
            ),
            make_norm(norm, hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=bias),
            make_norm(norm, channels),
        )
        self.shortcut = _shortcut(in_channels, channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        return (self.layers(x) + self.shortcut(x)).relu()
