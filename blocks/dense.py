"""Dense layer: its output is added to its input as further channels, so every layer reads all that came before.

Huang et al. 2017, Densely Connected Convolutional Networks, section 3: pre-activation (eq. 2 and "composite function"),
growth rate k, and the bottleneck of DenseNet-B.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from blocks.base import OneOf, Range, block
from blocks.common import Activation, KernelSize, Norm, Rate, make_activation, make_norm, same_padding


@block(
    "dense_layer",
    family="dense",
    source="Huang et al. 2017, Densely Connected Convolutional Networks, section 3, eq. 2",
    link="https://arxiv.org/abs/1608.06993",
)
class DenseLayer(nn.Module):
    """x (B, C, H, W) -> (B, C + growth, H, W)

    The input and `growth` new channels: norm, activation, 1×1 convolution to `bottleneck` · growth channels, norm,
    activation, k×k convolution. With `bottleneck` 0 there is no 1×1 convolution.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        growth: Annotated[int, Range(1, 256, (1, 12, 32)), "channels that the layer adds"] = 32,
        bottleneck: Annotated[
            int, OneOf(0, 2, 4), "channels of the 1×1 convolution before, as a multiple of growth; 0 for none"
        ] = 4,
        kernel_size: KernelSize = 3,
        dropout: Rate = 0.0,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        channels = in_channels
        layers: list[nn.Module] = []
        if bottleneck:
            hidden = bottleneck * growth
            layers += [make_norm(norm, channels), make_activation(activation)]
            layers.append(nn.Conv2d(channels, hidden, 1, bias=norm == "none"))
            channels = hidden
        layers += [make_norm(norm, channels), make_activation(activation)]
        layers.append(nn.Conv2d(channels, growth, kernel_size, padding=same_padding(kernel_size), bias=norm == "none"))
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], dim=1)
