"""Down-sampling: fewer positions, the same channels."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.base import OneOf, Shape, ShapeError, block
from blocks.conv import Norm, make_norm

Factor = Annotated[int, OneOf(2, 4)]


def _check(in_shape: Shape, factor: int, what: str) -> None:
    if min(in_shape[1:]) < factor:
        raise ShapeError(f"{what} by {factor} needs a map of at least {factor}×{factor}, not {in_shape[1]}×{in_shape[2]}")


@block("max_pool", source="Simonyan and Zisserman 2015, Very Deep Convolutional Networks, section 2.1")
class MaxPool(nn.Module):
    """x (B, C, H, W) -> (B, C, ⌊H/factor⌋, ⌊W/factor⌋)

    Largest value of each factor × factor window.
    """

    def __init__(self, in_shape: Shape, *, factor: Factor = 2) -> None:
        super().__init__()
        _check(in_shape, factor, "max-pooling")
        self.pool = nn.MaxPool2d(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


@block("avg_pool", source="Huang et al. 2017, Densely Connected Convolutional Networks, section 3")
class AvgPool(nn.Module):
    """x (B, C, H, W) -> (B, C, ⌊H/factor⌋, ⌊W/factor⌋)

    Mean of each factor × factor window.
    """

    def __init__(self, in_shape: Shape, *, factor: Factor = 2) -> None:
        super().__init__()
        _check(in_shape, factor, "average-pooling")
        self.pool = nn.AvgPool2d(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x)


@block("strided_conv", source="Springenberg et al. 2015, Striving for Simplicity: The All Convolutional Net, section 2")
class StridedConv(nn.Module):
    """x (B, C, H, W) -> (B, C, ⌈H/factor⌉, ⌈W/factor⌉)

    3×3 convolution with stride `factor` in place of pooling, then norm and ReLU.
    """

    def __init__(self, in_shape: Shape, *, factor: Factor = 2, norm: Norm = "batch") -> None:
        super().__init__()
        _check(in_shape, factor, "a strided convolution")
        channels = in_shape[0]
        self.conv = nn.Conv2d(channels, channels, 3, factor, 1, bias=norm == "none")
        self.norm = make_norm(norm, channels)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))
