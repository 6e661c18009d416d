"""Spatial softmax attention: weights that sum to one over the positions of a map multiply its features.

Davis, Dean and Devin, Attention-Based Convolutional Neural Networks for Image Classification, section 3.1. (Its section
7.2 calls the mechanism global average pooling instead; the text contradicts itself, and this is section 3.1.)
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from blocks.base import OneOf, block
from blocks.common import KernelSize, Switch, same_padding


@block(
    "softmax_attention",
    family="attention",
    source="Davis et al., Attention-Based Convolutional Neural Networks, section 3.1",
)
class SoftmaxAttention(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Features weighed by the softmax over positions of a convolution's maps: x ⊗ softmax_HW(Conv(x)), times H · W with
    `rescale`. `maps`: one map for each channel, or a single one for all.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        # NOTE not in the paper: softmax makes the features H · W times smaller on average; times H · W their mean
        # weight is one. The text's letter is without.
        rescale: Annotated[Switch, "whether the weights are multiplied by H · W, so that their mean is 1"] = True,
        # NOTE not in the paper: how many maps. "A set of attention maps" multiplies "element-wise": one a channel.
        maps: Annotated[
            str, OneOf("per_channel", "single"), "a map of weights for each channel, or one for all"
        ] = "per_channel",
        kernel_size: KernelSize = 1,  # NOTE not in the paper: the size of its filters; it calls the module lightweight
    ) -> None:
        super().__init__()
        self.rescale = rescale
        outputs = in_channels if maps == "per_channel" else 1
        # No bias: a softmax does not notice it.
        self.conv = nn.Conv2d(in_channels, outputs, kernel_size, padding=same_padding(kernel_size), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        weights = torch.unflatten(self.conv(x).flatten(2).softmax(2), 2, (height, width))
        if self.rescale:
            weights = weights * (height * width)
        y: Tensor = x * weights
        return y
