"""Attention between pairs: every position (or channel) becomes a weighted mean of all of them, added to itself.

Non-local blocks compare embedded positions (Wang et al. 2018, Non-local Neural Networks, eqs. 1, 3 and 6); dual
attention does so for positions and for channels (Fu et al. 2019, Dual Attention Network, eqs. 1-4). Both start as the
identity: what is added is multiplied by a weight that is zero at first.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import OneOf, block
from blocks.common import Norm, Reduction, Switch, make_norm, squeezed


def as_tokens(x: Tensor) -> Tensor:
    """A map as a sequence of its positions for one head: (B, C, H, W) -> (B, 1, H · W, C), channels dense in memory."""
    return x.flatten(2).transpose(1, 2).unsqueeze(1).contiguous()


def as_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `as_tokens`: (B, 1, H · W, C) -> (B, C, H, W)."""
    return torch.unflatten(tokens.squeeze(1).transpose(1, 2), 2, (height, width))


@block(
    "non_local",
    family="attention",
    source="Wang et al. 2018, Non-local Neural Networks, eqs. 1, 3 and 6",
    link="https://arxiv.org/abs/1711.07971",
)
class NonLocal(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    The embedded Gaussian: x + W_z softmax(θ(x)ᵀ φ(x)) g(x), in C / reduction channels; with `subsample`, keys and values
    are the largest of each 2×2 window.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        reduction: Reduction = 2,
        subsample: Annotated[Switch, "whether what is attended to is max-pooled to a quarter"] = True,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        hidden = squeezed(in_channels, reduction)
        self.subsample = subsample
        # NOTE not in the paper: no biases; a softmax does not notice that of φ, nor the norm that of g.
        self.theta = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.phi = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.g = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.expand = nn.Conv2d(hidden, in_channels, 1, bias=norm == "none")  # W_z
        self.norm = make_norm(norm, in_channels)
        for weights in (self.expand if norm == "none" else self.norm).parameters():
            nn.init.zeros_(weights)  # section 4.1: the block starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        phi, g = self.phi(x), self.g(x)
        if self.subsample:
            # NOTE not in the paper: a map that 2 does not divide keeps its border.
            phi, g = (F.max_pool2d(part, 2, ceil_mode=True) for part in (phi, g))
        read = F.scaled_dot_product_attention(as_tokens(self.theta(x)), as_tokens(phi), as_tokens(g), scale=1.0)
        y: Tensor = x + self.norm(self.expand(as_map(read, height, width)))  # eq. 6
        return y


class PositionMeans(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W): α · (mean of all positions, weighed by how alike they are): eqs. 1 and 2."""

    def __init__(self, in_channels: int, reduction: int) -> None:
        super().__init__()
        hidden = squeezed(in_channels, reduction)
        self.query = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.key = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.value = nn.Conv2d(in_channels, in_channels, 1)
        self.alpha = nn.Parameter(torch.zeros(1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        query, key, value = as_tokens(self.query(x)), as_tokens(self.key(x)), as_tokens(self.value(x))
        return self.alpha * as_map(F.scaled_dot_product_attention(query, key, value, scale=1.0), height, width)


class ChannelMeans(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W): β · (mean of all channels, weighed by how alike they are): eqs. 3 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x_BCN = x.flatten(2)
        weights_BCC = (x_BCN @ x_BCN.transpose(1, 2)).softmax(2)
        return self.beta * torch.unflatten(weights_BCC @ x_BCN, 2, (height, width))


@block(
    "dual_attention",
    family="attention",
    source="Fu et al. 2019, Dual Attention Network for Scene Segmentation, eqs. 1-4",
    link="https://arxiv.org/abs/1809.02983",
    idle=(("reduction", "parts", ("channel",)),),
)
class DualAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    x + α · (means of positions, weighed by how alike these are) + β · (means of channels, weighed likewise); α and β
    are learned and start at zero. `parts`: both, or one of them.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        parts: Annotated[
            str, OneOf("both", "position", "channel"), "attention between positions, channels, or the sum of both"
        ] = "both",
        reduction: Reduction = 8,  # NOTE not in the paper: it does not reduce the channels of B and C; its code does, by 8
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        if parts != "channel":
            self.parts.append(PositionMeans(in_channels, reduction))
        if parts != "position":
            self.parts.append(ChannelMeans())

    def forward(self, x: Tensor) -> Tensor:
        # NOTE not in the paper: the input is added once. There each part adds it and has convolutions before and after.
        y = x
        for part in self.parts:
            y = y + part(x)
        return y
