"""Convolutions with TensorFlow's padding and norm: what EfficientNet-Lite is made of, and what its weights were trained with.

TensorFlow pads so that ⌈n / stride⌉ windows fit, and an odd row or column comes at the end; PyTorch pads both sides alike, which
moves every window of a strided convolution by one pixel on maps of even size. Its batch norm has ε = 0.001.

Tan and Le 2019, EfficientNet, table 1: the stages; EfficientNet-Lite (Liu 2020) leaves out squeeze-and-excitation and
activates with ReLU6, because these are quantized easily.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import Width, block
from blocks.common import Activation, Expansion, KernelSize, Stride, make_activation, same_padding

_EPSILON = 1e-3
_MOMENTUM = 0.01  # PyTorch's word for TensorFlow's 0.99


class SameConv(nn.Conv2d):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉): padded as TensorFlow's "SAME" is, without bias."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> None:
        # With stride 1 an odd kernel has as much to its left as to its right.
        padding = same_padding(kernel_size) if stride == 1 else 0
        super().__init__(in_channels, channels, kernel_size, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride > 1:
            height, width = (max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in x.shape[2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(x)


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=_MOMENTUM)


@block(
    "tf_conv",
    family="convolution",
    source="Tan and Le 2019, EfficientNet, table 1 (stem and last convolution), as TensorFlow computes them",
    link="https://arxiv.org/abs/1905.11946",
)
class TfConv(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Convolution with TensorFlow's padding, batch norm with its ε, activation.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        stride: Stride = 1,
        activation: Activation = "relu6",
    ) -> None:
        super().__init__()
        self.conv = SameConv(in_channels, channels, kernel_size, stride)
        self.norm = _norm(channels)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(self.conv(x)))
        return y


@block(
    "tf_inverted_residual",
    family="residual",
    source="Tan and Le 2019, EfficientNet, table 1 (MBConv), as EfficientNet-Lite has it",
    link="https://arxiv.org/abs/1905.11946",
)
class TfInvertedResidual(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Expand by 1×1, filter each channel by k×k, project by 1×1; TensorFlow's padding and norm, activation after the first two,
    a shortcut where input and output have one shape. With expansion 1 there is nothing to expand.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        expansion: Expansion = 6,
        stride: Stride = 1,
        activation: Activation = "relu6",
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [SameConv(in_channels, hidden, 1), _norm(hidden), make_activation(activation)]
        layers += [SameConv(hidden, hidden, kernel_size, stride, hidden), _norm(hidden), make_activation(activation)]
        # NOTE not in the paper's code: no stochastic depth, which changes nothing outside of a training.
        layers += [SameConv(hidden, channels, 1), _norm(channels)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y
