"""Attention by summaries: rows, columns or windows of a map are averaged, and what they say weighs its positions.

Coordinate attention (Hou et al. 2021, eqs. 4-9) and strip pooling (Hou et al. 2020, eqs. 1-4) look along whole rows and
columns; gather-excite (Hu et al. 2018) looks at windows of a chosen extent.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import OneOf, Shape, block
from blocks.common import (
    Activation,
    KernelSize,
    Norm,
    Reduction,
    Switch,
    make_activation,
    make_norm,
    same_padding,
    squeezed,
)


@block(
    "coordinate_attention",
    family="attention",
    source="Hou et al. 2021, Coordinate Attention for Efficient Mobile Networks, eqs. 4-9",
    link="https://arxiv.org/abs/2103.02907",
)
class CoordinateAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Each channel weighed by row and by column: means of rows and of columns go through one bottleneck together, then
    each through its own 1×1 convolution and a sigmoid.
    """

    def __init__(
        self, in_channels: int, *, reduction: Reduction = 32, norm: Norm = "batch", activation: Activation = "hardswish"
    ) -> None:
        super().__init__()
        hidden = max(8, squeezed(in_channels, reduction))  # NOTE not in the paper: eight at least, as in its code
        self.shared = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=norm == "none"),
            make_norm(norm, hidden),
            make_activation(activation),
        )
        self.rows = nn.Conv2d(hidden, in_channels, 1)
        self.columns = nn.Conv2d(hidden, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        rows_BCH1 = x.mean(3, keepdim=True)  # eq. 4
        columns_BCW1 = x.mean(2, keepdim=True).transpose(2, 3)  # eq. 5
        shared = self.shared(torch.cat([rows_BCH1, columns_BCW1], dim=2))  # eq. 6
        rows, columns = shared.split_with_sizes([height, width], dim=2)
        weights = self.rows(rows).sigmoid() * self.columns(columns.transpose(2, 3)).sigmoid()  # eqs. 7 and 8
        y: Tensor = x * weights  # eq. 9
        return y


@block(
    "strip_pooling",
    family="attention",
    source="Hou et al. 2020, Strip Pooling: Rethinking Spatial Pooling, section 3.1, eqs. 1-4",
    link="https://arxiv.org/abs/2003.13328",
)
class StripPooling(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Positions weighed by their row and column: x ⊗ σ(Conv_1×1(ReLU(Conv_k×1(means of rows) + Conv_1×k(means of columns)))).
    """

    def __init__(self, in_channels: int, *, kernel_size: KernelSize = 3, norm: Norm = "batch") -> None:
        super().__init__()
        padding = same_padding(kernel_size)
        # NOTE not in the paper: norm after both convolutions and ReLU after the sum, as in its code.
        bias = norm == "none"
        self.rows = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, (kernel_size, 1), padding=(padding, 0), bias=bias),
            make_norm(norm, in_channels),
        )
        self.columns = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, (1, kernel_size), padding=(0, padding), bias=bias),
            make_norm(norm, in_channels),
        )
        self.expand = nn.Conv2d(in_channels, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.rows(x.mean(3, keepdim=True))  # eq. 1
        columns = self.columns(x.mean(2, keepdim=True))  # eq. 2
        weights: Tensor = self.expand((rows + columns).relu()).sigmoid()  # eq. 3
        return x * weights  # eq. 4


@block(
    "gather_excite",
    family="attention",
    source="Hu et al. 2018, Gather-Excite: Exploiting Feature Context in CNNs, sections 2 and 3",
    link="https://arxiv.org/abs/1810.12348",
    idle=(("reduction", "mlp", (False,)), ("norm", "gather", ("mean",))),
)
class GatherExcite(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Positions weighed by what is gathered around them: by a mean or by depthwise convolutions, then through a bottleneck
    with `mlp`. `extent` is how wide around, 0 the whole map. Mean without mlp is GE-θ⁻, conv GE-θ, conv with mlp GE-θ⁺.
    """

    def __init__(
        self,
        in_shape: Shape,
        *,
        extent: Annotated[int, OneOf(0, 2, 4, 8), "side of the window that is gathered; 0 for the whole map"] = 0,
        gather: Annotated[str, OneOf("mean", "conv"), "gathered by a mean or by depthwise convolutions"] = "conv",
        mlp: Annotated[Switch, "whether a bottleneck of two 1×1 convolutions follows"] = True,
        reduction: Reduction = 16,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        channels, height, width = in_shape
        bias = norm == "none"
        self.extent = extent
        self.gather = None
        if norm == "group" and (extent == 0 or max(height, width) <= extent):
            norm = "layer"  # a single position: of the two channels of a group only their order would be left
        if gather == "conv":
            self.gather = nn.Sequential()
            if extent == 0:
                self.gather.append(nn.Conv2d(channels, channels, (height, width), groups=channels, bias=bias))
                self.gather.append(make_norm(norm, channels))
            for step in range(extent.bit_length() - 1):  # each halves the map
                if step:
                    self.gather.append(nn.ReLU())
                self.gather.append(nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=bias))
                self.gather.append(make_norm(norm, channels))
        self.mlp = nn.Sequential()
        if mlp:
            hidden = squeezed(channels, reduction)
            self.mlp.extend([nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)])

    def forward(self, x: Tensor) -> Tensor:
        if self.gather is not None:
            gathered = self.gather(x)
        elif self.extent == 0:
            gathered = x.mean((2, 3), keepdim=True)
        else:
            # Windows of 2e - 1 with stride e; at the border, of the part that lies on the map.
            size = 2 * self.extent - 1
            gathered = F.avg_pool2d(x, size, self.extent, self.extent - 1, count_include_pad=False)
        weights: Tensor = self.mlp(gathered)
        if self.extent:
            weights = F.interpolate(weights, size=x.shape[2:], mode="nearest")
        return x * weights.sigmoid()
