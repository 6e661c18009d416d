"""Convolution with normalization and activation: the transform that everything else is compared with."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.base import OneOf, ShapeError, Width, block

Activation = Annotated[str, OneOf("none", "relu", "relu6", "silu", "gelu", "hardswish")]
Norm = Annotated[str, OneOf("none", "batch", "group", "layer")]


def make_activation(name: str) -> nn.Module:
    """The module that `name` of `Activation` means."""
    return {
        "none": nn.Identity,
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
        "hardswish": nn.Hardswish,
    }[name]()


def make_norm(name: str, channels: int) -> nn.Module:
    """The module that `name` of `Norm` means; group norm takes the most of 32, 16, 8 … groups that divide `channels`."""
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(next(groups for groups in (32, 16, 8, 4, 2, 1) if channels % groups == 0), channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


def same_padding(kernel_size: int, dilation: int = 1) -> int:
    """Padding that keeps H and W at stride 1 for an odd kernel."""
    return dilation * (kernel_size - 1) // 2


@block("conv", source="Simonyan and Zisserman 2015, Very Deep Convolutional Networks, section 2.1")
class Conv(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Convolution, normalization, activation; `bias` "auto" means: a bias exactly where no norm follows.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: Annotated[int, OneOf(1, 3, 5, 7)] = 3,
        stride: Annotated[int, OneOf(1, 2, 4)] = 1,
        dilation: Annotated[int, OneOf(1, 2, 3, 4)] = 1,
        groups: Annotated[int, OneOf(1, 2, 4, 8, 16, 32)] = 1,
        bias: Annotated[str, OneOf("auto", "yes", "no")] = "auto",
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if in_channels % groups or channels % groups:
            raise ShapeError(f"groups {groups} do not divide the channels {in_channels} and {channels}")
        with_bias = norm == "none" if bias == "auto" else bias == "yes"
        padding = same_padding(kernel_size, dilation)
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, stride, padding, dilation, groups, bias=with_bias)
        self.norm = make_norm(norm, channels)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))
