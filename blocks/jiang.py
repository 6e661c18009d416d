"""Multi-scale feature decoupler (MSFD) and lightweight gated self-attention (LGSA).

The decoupler gives every group of channels a convolution of another size; the self-attention lets every position read
the whole map, and a gate decides what of it is let through. One after the other, with the input added, they are a
hierarchical multimodal residual attention block (HMRAB): three nodes of a space, no block of its own.

Jiang and Yu, Adaptive Multi-Scale Residual Attention Network (AMSRA-Net), International Journal of Pattern Recognition
and Artificial Intelligence 2026, doi 10.1142/S0218001426540042. Only its abstract is public: structure beyond "channel
splitting", "parallel", "non-linear transformations" and "gated" is our reading.
"""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import OneOf, ShapeError, Width, block
from blocks.common import (
    Activation,
    Heads,
    Norm,
    Reduction,
    Stride,
    Switch,
    make_activation,
    make_norm,
    same_padding,
    squeezed,
)

_PAPER = "Jiang and Yu 2026, Adaptive Multi-Scale Residual Attention Network"


@block(
    "multi_scale",
    family="convolution",
    source=f"{_PAPER}, abstract (multi-scale feature decoupler)",
    link="https://doi.org/10.1142/S0218001426540042",
)
class MultiScale(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Channels split into `scales` groups, convolved by 3×3, 5×5, 7×7 and 9×9 in parallel, concatenated, fused by 1×1;
    norm and activation after both steps. One scale is a plain 3×3 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        scales: Annotated[int, OneOf(1, 2, 3, 4), "groups of channels, each with a kernel of another size"] = 4,
        stride: Stride = 1,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        if in_channels < scales:
            raise ShapeError(f"{scales} scales need as many channels or more, not {in_channels}")
        # NOTE not in the paper: kernels 3, 5, 7, 9. The ablation with a single scale is then an ordinary convolution,
        # and on channels that are split any number of scales costs about as much: 9, 8.5, 9.2 and 10.3 C² weights.
        self.sizes = [in_channels // scales + (place < in_channels % scales) for place in range(scales)]
        outputs = self.sizes if scales > 1 else [channels]
        bias = norm == "none"
        self.convs = nn.ModuleList()
        for place, (inputs, width) in enumerate(zip(self.sizes, outputs, strict=True)):
            kernel_size = 3 + 2 * place
            self.convs.append(nn.Conv2d(inputs, width, kernel_size, stride, same_padding(kernel_size), bias=bias))
        self.norm = make_norm(norm, sum(outputs))
        self.act = make_activation(activation)
        self.fuse = nn.Sequential()
        if scales > 1:
            self.fuse.append(nn.Conv2d(in_channels, channels, 1, bias=bias))
            self.fuse.append(make_norm(norm, channels))
            self.fuse.append(make_activation(activation))

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split_with_sizes(self.sizes, dim=1)
        y = torch.cat([conv(part) for conv, part in zip(self.convs, parts, strict=True)], dim=1)
        fused: Tensor = self.fuse(self.act(self.norm(y)))
        return fused


@block(
    "gated_self_attention",
    family="attention",
    source=f"{_PAPER}, abstract (lightweight gated self-attention engine)",
    link="https://doi.org/10.1142/S0218001426540042",
)
class GatedSelfAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Multi-head attention of every position over at most `grid` × `grid` means of a non-linear transform of the map, with a
    sigmoid gate. The gate weighs what was read, with `blend` against the input itself. Memory is linear in H · W; positions
    are not encoded.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        heads: Heads = 4,
        grid: Annotated[int, OneOf(4, 8, 16), "side of the grid of means that is attended to"] = 8,
        reduction: Reduction = 2,
        # NOTE not in the paper: what the gate weighs. It "suppresses background and enhances critical features" in the
        # map of the decoupler: that map must get through, and without `blend` only the gate lets it.
        blend: Annotated[Switch, "whether the gate weighs what was read against the input"] = True,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        # NOTE not in the paper: everything but that there is a gate, that transforms are non-linear, and that it is
        # light. Here light means C / reduction channels inside (a multiple of `heads`) and few keys and values.
        self.blend = blend
        self.heads = heads
        self.grid = grid
        hidden = heads * squeezed(in_channels, reduction * heads)
        self.transform = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=norm == "none"),
            make_norm(norm, hidden),
            make_activation(activation),
        )
        # No biases: a softmax does not notice that of the keys.
        self.query = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.key = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.value = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.project = nn.Conv2d(hidden, in_channels, 1)
        self.gate = nn.Conv2d(in_channels, in_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        h = self.transform(x)
        # Windows that grow with the map, so that the number of keys does not.
        window = (-(-height // self.grid), -(-width // self.grid))
        pooled = F.avg_pool2d(h, window, ceil_mode=True, count_include_pad=False)
        query, key, value = (
            # (B, heads, positions, channels of a head); PyTorch's kernel of linear memory wants the channels dense
            torch.unflatten(part.flatten(2), 1, (self.heads, -1)).transpose(2, 3).contiguous()
            for part in (self.query(h), self.key(pooled), self.value(pooled))
        )
        read = F.scaled_dot_product_attention(query, key, value)
        read_BCHW = torch.unflatten(read.transpose(2, 3).flatten(1, 2), 2, (height, width))
        y: Tensor = self.project(read_BCHW)
        gate: Tensor = self.gate(x).sigmoid()
        return x + gate * (y - x) if self.blend else gate * y
