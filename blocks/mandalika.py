"""Hierarchical spatial attention: three views of a feature map, and optionally a memory, make one map of weights.

Coarser and coarser convolutions say what matters at several scales (hierarchy), a convolution scores every position
(contextual relevance), and the local standard deviation finds where the features vary (dynamic neighbourhood).

Mandalika, A Novel Attention-Based Approach for Image Classification Using Pre-trained CNN model, section III.C (eqs. 12
and 13).
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import Shape, block
from blocks.common import KernelSize, Reduction, Switch, same_padding, squeezed

_MOMENTUM = 0.1  # what one training step changes of the memory; as in the running statistics of batch norm
_EPSILON = 1e-5  # keeps the gradient of a square root finite where nothing varies


def local_deviation(y: Tensor, size: int) -> Tensor:
    """Standard deviation of each value's size × size neighbourhood, of the part of it that lies on the map, in float32.

    y (B, C, H, W) -> (B, C, H, W)
    """
    y = y.float()
    y = y - y.mean((2, 3), keepdim=True)  # changes no deviation, and E[y²] - E[y]² loses fewer digits
    mean = F.avg_pool2d(y, size, 1, size // 2, count_include_pad=False)
    square = F.avg_pool2d(y * y, size, 1, size // 2, count_include_pad=False)
    return ((square - mean * mean).relu() + _EPSILON).sqrt()


@block(
    "hierarchical_attention",
    family="attention",
    source="Mandalika, A Novel Attention-Based Approach, section III.C, eqs. 12-13",
    some_on=("hierarchy", "relevance", "neighbourhood"),
    idle=(("reduction", "hierarchy", (False,)),),
)
class HierarchicalAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Positions weighed by one map that a convolution makes of what is switched on: `hierarchy`, `relevance`,
    `neighbourhood`, `memory`. These are two down-sampling convolutions, one convolution to one channel (equations 12 and
    13), the local standard deviation of another, and a running average of the map itself.
    """

    memory_map: Tensor

    def __init__(
        self,
        in_shape: Shape,
        *,
        hierarchy: Annotated[Switch, "whether coarser and coarser maps take part"] = True,
        relevance: Annotated[Switch, "whether a score of every position takes part (eqs. 12 and 13)"] = True,
        neighbourhood: Annotated[Switch, "whether the local standard deviation takes part"] = True,
        memory: Annotated[Switch, "whether a running average of the map takes part"] = False,
        kernel_size: KernelSize = 3,  # NOTE not in the paper: kernel sizes; 3 is its example
        reduction: Reduction = 16,
    ) -> None:
        super().__init__()
        channels, height, width = in_shape
        padding = same_padding(kernel_size)
        self.window = max(3, kernel_size)  # a neighbourhood of 1×1 would never vary
        maps = 0
        self.fine = self.coarse = self.relevance = self.neighbourhood = None
        if hierarchy:
            # NOTE not in the paper: stride 2, C / reduction channels, and the second convolution reads the weights of
            # the first.
            hidden = squeezed(channels, reduction)
            self.fine = nn.Conv2d(channels, hidden, kernel_size, 2, padding)
            self.coarse = nn.Conv2d(hidden, hidden, kernel_size, 2, padding)
            maps += 2 * hidden
        if relevance:
            self.relevance = nn.Conv2d(channels, 1, kernel_size, padding=padding)
            maps += 1
        if neighbourhood:
            # NOTE not in the paper: one output channel, as for relevance; no bias, which no deviation would notice.
            self.neighbourhood = nn.Conv2d(channels, 1, kernel_size, padding=padding, bias=False)
            maps += 1
        self.memory = memory
        if memory:
            # NOTE not in the paper: it names a "temporal memory" and never defines it. Here: the average of the
            # attention maps of past training steps, over the batch; evaluation reads it and leaves it as it is.
            self.register_buffer("memory_map", torch.full((1, 1, height, width), 0.5))  # σ(0): no opinion yet
            maps += 1
        self.combine = nn.Conv2d(maps, 1, kernel_size, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        maps: list[Tensor] = []
        if self.fine is not None and self.coarse is not None:
            fine = self.fine(x).sigmoid()
            coarse = self.coarse(fine).sigmoid()
            # NOTE not in the paper: maps of several sizes are resized to that of the input before they are concatenated.
            maps += [
                F.interpolate(weights, size=size, mode="bilinear", align_corners=False) for weights in (fine, coarse)
            ]
        if self.relevance is not None:
            maps.append(self.relevance(x).sigmoid())  # eqs. 12 and 13
        if self.neighbourhood is not None:
            y_B1HW = self.neighbourhood(x)
            maps.append(local_deviation(y_B1HW, self.window).sigmoid().to(y_B1HW.dtype))
        if self.memory:
            maps.append(self.memory_map.to(maps[0].dtype).expand(x.shape[0], -1, -1, -1))
        weights_B1HW: Tensor = self.combine(torch.cat(maps, dim=1)).sigmoid()
        if self.memory and self.training:
            seen = weights_B1HW.detach().mean(0, keepdim=True)
            self.memory_map.lerp_(seen.to(self.memory_map.dtype), _MOMENTUM)
        return x * weights_B1HW
