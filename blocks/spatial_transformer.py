"""Spatial transformer: a small network looks at the map and says how to shift, scale, rotate and shear it.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu 2015, Spatial Transformer Networks, section 3 (eqs. 1, 3 and 5).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import Shape, block
from blocks.common import KernelSize, Reduction, same_padding, squeezed

_GRID = 4  # the localisation network reads at most 4 × 4 means
_HIDDEN = 32


@block(
    "spatial_transformer",
    family="attention",
    source="Jaderberg et al. 2015, Spatial Transformer Networks, section 3, eqs. 1 and 5",
    link="https://arxiv.org/abs/1506.02025",
)
class SpatialTransformer(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    The map, sampled bilinearly on an affine grid that a localisation network computes from it; zeros lie outside. It
    starts as the identity.
    """

    def __init__(self, in_shape: Shape, *, kernel_size: KernelSize = 3, reduction: Reduction = 4) -> None:
        super().__init__()
        channels, height, width = in_shape
        hidden = squeezed(channels, reduction)
        # NOTE not in the paper: the localisation network, "any form". A convolution and ReLU, means over a coarse grid
        # (where something is matters here, so no global mean), and two linear layers.
        self.window = (-(-height // _GRID), -(-width // _GRID))
        self.look = nn.Conv2d(channels, hidden, kernel_size, padding=same_padding(kernel_size))
        places = -(-height // self.window[0]) * -(-width // self.window[1])
        self.locate = nn.Sequential(nn.Linear(hidden * places, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 6))
        for weights in self.locate[-1].parameters():
            nn.init.zeros_(weights)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        seen = F.avg_pool2d(self.look(x).relu(), self.window, ceil_mode=True, count_include_pad=False)
        # In float32 whatever the weights are: half precision places a sample only to a quarter of a position.
        change_B6 = self.locate(seen.flatten(1)).float()
        # Centres of the positions, between -1 and 1.
        row = torch.linspace(1 / height - 1, 1 - 1 / height, height, device=x.device).view(1, height, 1)
        column = torch.linspace(1 / width - 1, 1 - 1 / width, width, device=x.device).view(1, 1, width)
        # Eq. 1: [x, y] = [[1 + a, b, c], [d, 1 + e, f]] · [column, row, 1]. Written out: autocast would take a matrix
        # product to half precision.
        a, b, c, d, e, f = change_B6[:, :, None, None].unbind(1)
        grid_BHW2 = torch.stack([a * column + b * row + c + column, d * column + e * row + f + row], dim=3)
        y = F.grid_sample(x.float(), grid_BHW2, mode="bilinear", padding_mode="zeros", align_corners=False)  # eq. 5
        return y.to(x.dtype)
