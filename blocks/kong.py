"""Adaptive interaction (AIM) and cross attention (CAM).

AIM replaces a convolution: a dilated convolution of the pooled map says where to look, a second one transforms the
features, a third reads the product. CAM weighs every position by the mean of its row and of its column.

Kong, Mei, Jia and Du, Enhancing Image Recognition with Adaptive Interaction and Cross Attention in Convolutional Neural
Network, sections 2.2 (eqs. 1-3) and 2.3 (eqs. 4-10).
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import OneOf, Width, block
from blocks.common import (
    Activation,
    Dilation,
    KernelSize,
    Norm,
    Reduction,
    make_activation,
    make_norm,
    same_padding,
    squeezed,
)

_PAPER = "Kong et al., Adaptive Interaction and Cross Attention"

PoolSize = Annotated[int, OneOf(2, 4, 8), "side of the windows whose means are the context"]


def _dilated(in_channels: int, channels: int, dilation: int, norm: str) -> nn.Sequential:
    # NOTE not in the paper: batch norm after each dilated convolution, and then no bias. With both, the network of
    # Table 2 B has 10,977,546 parameters: the printed 41.88 MiB.
    conv = nn.Conv2d(in_channels, channels, 3, padding=dilation, dilation=dilation, bias=norm == "none")
    return nn.Sequential(conv, make_norm(norm, channels))


class Interaction(nn.Module):
    """x (B, C, H, W) -> (B, channels, H, W): eqs. 1 to 3, the last convolution with `channels` outputs."""

    def __init__(self, in_channels: int, channels: int, *, pool_size: int, dilation: int, norm: str) -> None:
        super().__init__()
        self.pool_size = pool_size
        self.context = _dilated(in_channels, in_channels, dilation, norm)
        self.transform = _dilated(in_channels, in_channels, dilation, norm)
        self.output = _dilated(in_channels, channels, dilation, norm)

    def forward(self, x: Tensor) -> Tensor:
        # NOTE not in the paper: a map that r does not divide keeps its border (ceil mode, mean over what is there).
        pooled = F.avg_pool2d(x, self.pool_size, ceil_mode=True, count_include_pad=False)
        context = self.context(pooled)
        # NOTE not in the paper: which positions bilinear interpolation aligns; the areas of the values, not the centres
        # of the corners.
        weights = F.interpolate(context, size=x.shape[2:], mode="bilinear", align_corners=False)  # eq. 1
        y: Tensor = self.output(self.transform(x) * (weights + x).sigmoid())  # eqs. 2 and 3
        return y


@block("aim", family="convolution", source=f"{_PAPER}, section 2.2, eqs. 1-3")
class AdaptiveInteraction(Interaction):
    """x (B, C, H, W) -> (B, C, H, W)

    A convolution whose features are gated by what surrounds them: Conv_d(Conv_d(x) ⊗ σ(up(Conv_d(AvgPool_r(x))) ⊕ x)),
    with r = `pool_size` and d = `dilation`.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        pool_size: PoolSize = 4,
        dilation: Dilation = 2,
        norm: Norm = "batch",
    ) -> None:
        super().__init__(in_channels, in_channels, pool_size=pool_size, dilation=dilation, norm=norm)


@block("aim_conv", family="convolution", source=f"{_PAPER}, section 2.2, figure 2")
class InteractionConv(nn.Module):
    """x (B, C, H, W) -> (B, channels, H, W)

    Adaptive interaction in the place of any convolution, one that widens too, then the activation.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        pool_size: PoolSize = 4,
        dilation: Dilation = 2,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        # NOTE not in the paper: how the module widens, as VGG-16 needs it; its last convolution does, since eq. 3 adds and
        # multiplies maps of the input's channels before. Nor whether VGG's ReLU stays behind it; it does.
        self.interaction = Interaction(in_channels, channels, pool_size=pool_size, dilation=dilation, norm=norm)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.interaction(x))
        return y


@block("cam", family="attention", source=f"{_PAPER}, section 2.3, eqs. 4-10")
class CrossAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Positions weighed by their row and their column: x ⊗ σ(Conv_1×1(ReLU(v ⊕ h))), where v reads the means of the
    columns and h those of the rows of the compressed map.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Reduction = 4,
        compression: Annotated[
            str, OneOf("per_path", "shared"), "whether rows and columns are compressed apart or together"
        ] = "per_path",
        kernel_size: KernelSize = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        hidden = squeezed(in_channels, reduction)

        # NOTE not in the paper: eq. 4 compresses once. One compression for each path, and bias and batch norm in every
        # convolution, give the printed 43.39 MiB (11,374,986 parameters); "shared" and "none" are the text's letter.
        def conv(inputs: int, outputs: int, height: int = 1, width: int = 1) -> nn.Sequential:
            padding = (same_padding(height), same_padding(width))
            return nn.Sequential(nn.Conv2d(inputs, outputs, (height, width), padding=padding), make_norm(norm, outputs))

        self.compress_v = conv(in_channels, hidden)
        self.compress_h = conv(in_channels, hidden) if compression == "per_path" else None
        self.encode_v = conv(hidden, hidden, width=kernel_size)
        self.encode_h = conv(hidden, hidden, height=kernel_size)
        self.expand = conv(hidden, in_channels)

    def forward(self, x: Tensor) -> Tensor:
        compressed_v = self.compress_v(x).relu()  # eq. 4
        compressed_h = compressed_v if self.compress_h is None else self.compress_h(x).relu()
        v_BC1W = self.encode_v(compressed_v.mean(2, keepdim=True))  # eqs. 5 and 7
        h_BCH1 = self.encode_h(compressed_h.mean(3, keepdim=True))  # eqs. 6 and 8
        # Interpolating a map of one row or column repeats it, which is what broadcasting does (eq. 9).
        weights: Tensor = self.expand((v_BC1W + h_BCH1).relu()).sigmoid()
        return x * weights  # eqs. 9 and 10
