"""Residual attention: beside a trunk of residual units, an hourglass looks at coarser maps and weighs the trunk's output.

Wang et al. 2017, Residual Attention Network for Image Classification, section 3 (eqs. 1 and 3) and figure 2.
"""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import OneOf, block
from blocks.common import Activation, Norm, make_activation, make_norm
from blocks.residual import BottleneckResidual


@block(
    "residual_attention",
    family="attention",
    source="Wang et al. 2017, Residual Attention Network, section 3, eqs. 1 and 3",
    link="https://arxiv.org/abs/1704.06904",
)
class ResidualAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    (1 + M(x)) · T(x): the trunk T is `trunk_units` bottlenecks, the mask M an hourglass of bottlenecks with `downsamples`
    pools. Shortcuts join its maps of one size; two 1×1 convolutions and a sigmoid end it.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        trunk_units: Annotated[int, OneOf(1, 2, 3), "residual units of the trunk"] = 2,
        downsamples: Annotated[int, OneOf(1, 2, 3), "times that the hourglass halves the map"] = 1,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()

        # NOTE not in the paper: units have their norms and activations after the convolutions (as everywhere here), its
        # units before them. Its units before and after the module (p = 1) are nodes of their own in a space.
        def unit() -> nn.Module:
            return BottleneckResidual(in_channels, channels=in_channels, norm=norm, activation=activation)

        self.trunk = nn.Sequential(*[unit() for _ in range(trunk_units)])
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.down = nn.ModuleList([unit() for _ in range(downsamples)])  # r = 1
        self.shortcuts = nn.ModuleList([unit() for _ in range(downsamples - 1)])
        self.up = nn.ModuleList([unit() for _ in range(downsamples)])
        bias = norm == "none"
        self.weigh = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 1, bias=bias),
            make_norm(norm, in_channels),
            make_activation(activation),
            nn.Conv2d(in_channels, in_channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for down in self.down:
            maps.append(down(self.pool(maps[-1])))
        y = maps.pop()
        for place, up in enumerate(self.up):
            above = maps.pop()
            y = F.interpolate(up(y), size=above.shape[2:], mode="bilinear", align_corners=False)
            if place < len(self.shortcuts):
                y = y + self.shortcuts[place](above)
        mask: Tensor = self.weigh(y).sigmoid()  # eq. 4: mixed attention
        trunk: Tensor = self.trunk(x)
        return trunk + trunk * mask  # eq. 3
