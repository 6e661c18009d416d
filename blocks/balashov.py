"""Attention-integrated convolution: the input is weighed by channel and by position before it is convolved.

Balashov, Attention-Integrated Convolutional Neural Networks for Enhanced Image Classification, section 3.2 (eqs. 2-5)
and 3.3 (eq. 6): Y = W ∗ (A ⊙ X) + b with A = A_channel ⊗ A_spatial.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.base import OneOf, Width, block
from blocks.common import (
    Activation,
    Dilation,
    KernelSize,
    Norm,
    Reduction,
    Stride,
    make_activation,
    make_norm,
    same_padding,
    squeezed,
)

_PAPER = "Balashov, Attention-Integrated Convolutional Neural Networks"

Attention = Annotated[str, OneOf("none", "channel", "spatial", "both"), "what is weighed before the convolution"]
SpatialKernel = Annotated[KernelSize, "side of the kernel that makes the spatial map of weights"]


class IntegratedConv(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉): eq. 6, without norm and activation."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        *,
        attention: str,
        reduction: int,
        spatial_kernel: int,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.spatial = self.reduce = self.expand = None
        if attention in ("spatial", "both"):
            self.spatial = nn.Conv2d(in_channels, 1, spatial_kernel, padding=same_padding(spatial_kernel))
        if attention in ("channel", "both"):
            hidden = squeezed(in_channels, reduction)
            # NOTE not in the paper: it prints W2 as C/r × C, like W1; only C × C/r gives one weight per channel.
            self.reduce = nn.Linear(in_channels, hidden, bias=False)
            self.expand = nn.Linear(hidden, in_channels, bias=False)
        padding = same_padding(kernel_size, dilation)
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, stride, padding, dilation, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        weighed = x
        if self.reduce is not None and self.expand is not None:
            z_BC = x.mean((2, 3))  # eq. 3
            channel_BC = self.expand(self.reduce(z_BC).relu()).sigmoid()  # eq. 4
            weighed = weighed * channel_BC[:, :, None, None]
        if self.spatial is not None:
            weighed = weighed * self.spatial(x).sigmoid()  # eqs. 2 and 5; from x, not from the channel-weighed map
        y: Tensor = self.conv(weighed)
        return y


@block(
    "attention_conv",
    family="convolution",
    source=f"{_PAPER}, eqs. 2-6",
    idle=(
        ("reduction", "attention", ("none", "spatial")),
        ("spatial_kernel", "attention", ("none", "channel")),
        ("dilation", "kernel_size", (1,)),
    ),
)
class AttentionConv(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Attention-integrated convolution, norm, activation (the order of section 3.6).
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        stride: Stride = 1,
        dilation: Dilation = 1,
        attention: Attention = "both",
        reduction: Reduction = 8,
        spatial_kernel: SpatialKernel = 7,  # NOTE not in the paper: k_s is not said; 7 as in CBAM
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.conv = IntegratedConv(
            in_channels,
            channels,
            kernel_size,
            attention=attention,
            reduction=reduction,
            spatial_kernel=spatial_kernel,
            stride=stride,
            dilation=dilation,
            bias=norm == "none",
        )
        self.norm = make_norm(norm, channels)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(self.conv(x)))
        return y
