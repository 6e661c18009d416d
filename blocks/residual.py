"""Residual blocks: the layers learn what to add to their input.

He et al. 2016, Deep Residual Learning, figure 5, with a shortcut that is projected where the shape changes (section
3.3, option B) or padded with zeros (option A). A `gate` weighs what the layers found before it is added: SE-ResNet (Hu
et al. 2018, figure 3) and CBAM-ResNet (Woo et al. 2018, figure 3); other attention fits there as well. The convolutions can
be attention-integrated (Balashov, eq. 6): ResNet-50 with these comes near Table 5 of that paper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from blocks.attention import ConvolutionalBlockAttention, EfficientChannelAttention, SqueezeExcitation
from blocks.balashov import Attention, IntegratedConv, SpatialKernel
from blocks.base import OneOf, ShapeError, Width, block
from blocks.common import Activation, Dilation, KernelSize, Norm, Reduction, Stride, make_activation, make_norm
from blocks.kong import CrossAttention
from blocks.separable import Projection

GATES: dict[str, Callable[[int, int], nn.Module]] = {
    "none": lambda channels, reduction: nn.Identity(),
    "se": lambda channels, reduction: SqueezeExcitation(channels, reduction=reduction),
    "cbam": lambda channels, reduction: ConvolutionalBlockAttention(channels, reduction=reduction),
    "eca": lambda channels, reduction: EfficientChannelAttention(channels),
    "cam": lambda channels, reduction: CrossAttention(channels, reduction=reduction),
}
"""Gates by name, each made from the channels and the reduction inside."""
Gate = Annotated[str, OneOf("none", "se", "cbam", "eca", "cam"), "what weighs the layers' output before it is added"]
GateReduction = Annotated[int, OneOf(4, 8, 16), "channels are divided by it inside the gate"]
Shortcut = Annotated[
    str, OneOf("projection", "padded"), "how the shortcut takes another shape: 1×1 convolution, or zeros"
]


class PaddedShortcut(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉): every stride-th position, then channels of zeros."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        if channels < in_channels:
            raise ShapeError(f"a padded shortcut cannot narrow {in_channels} channels to {channels}")
        self.stride = stride
        self.extra = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        # NOTE not in the paper: zeros on both sides of the channels, as the authors' code and its followers differ in.
        before = self.extra // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))


def _make_shortcut(name: str, in_channels: int, channels: int, stride: int, norm: str) -> nn.Module:
    if name == "projection":
        return Projection(in_channels, channels=channels, stride=stride, norm=norm)
    if stride == 1 and channels == in_channels:
        return nn.Identity()
    return PaddedShortcut(in_channels, channels, stride)


@block(
    "basic_residual",
    family="residual",
    source="He et al. 2016, Deep Residual Learning, figure 5 left; Balashov, eq. 6",
    link="https://arxiv.org/abs/1512.03385",
    idle=(
        ("attention_in", "attention", ("none",)),
        ("reduction", "attention", ("none", "spatial")),
        ("spatial_kernel", "attention", ("none", "channel")),
        ("gate_reduction", "gate", ("none", "eca")),
        ("dilation", "kernel_size", (1,)),
    ),
)
class BasicResidual(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Two k×k convolutions with norm, weighed by `gate`, added to a shortcut; activation after the first and after the
    sum. `attention` weighs the input of the convolutions named by `attention_in`.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        stride: Stride = 1,
        dilation: Dilation = 1,
        attention: Attention = "none",
        attention_in: Annotated[
            str, OneOf("both", "first", "second"), "convolutions whose input attention weighs"
        ] = "both",
        reduction: Reduction = 8,
        spatial_kernel: SpatialKernel = 7,
        gate: Gate = "none",
        gate_reduction: GateReduction = 16,
        shortcut: Shortcut = "projection",
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()

        def conv(place: str, inputs: int, stride: int) -> nn.Module:
            return IntegratedConv(
                inputs,
                channels,
                kernel_size,
                attention=attention if attention_in in (place, "both") else "none",
                reduction=reduction,
                spatial_kernel=spatial_kernel,
                stride=stride,
                dilation=dilation,
                bias=norm == "none",
            )

        self.layers = nn.Sequential(
            conv("first", in_channels, stride),
            make_norm(norm, channels),
            make_activation(activation),
            conv("second", channels, 1),
            make_norm(norm, channels),
        )
        self.gate = GATES[gate](channels, gate_reduction)
        self.shortcut = _make_shortcut(shortcut, in_channels, channels, stride, norm)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.gate(self.layers(x)) + self.shortcut(x))
        return y


@block(
    "bottleneck_residual",
    family="residual",
    source="He et al. 2016, Deep Residual Learning, figure 5 right; Balashov, eq. 6",
    link="https://arxiv.org/abs/1512.03385",
    idle=(
        ("attention_place", "attention", ("none",)),
        ("reduction", "attention", ("none", "spatial")),
        ("spatial_kernel", "attention", ("none", "channel")),
        ("gate_reduction", "gate", ("none", "eca")),
        ("dilation", "kernel_size", (1,)),
    ),
)
class BottleneckResidual(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    1×1 convolution down to channels / `squeeze`, k×k, 1×1 up again, each with norm, weighed by `gate`, added to a
    shortcut; activation after the first two and after the sum. `attention` weighs the input of the k×k
    convolution (`attention_place` "middle"), of the 1×1 one before it ("first") or behind it ("last"), or of all three.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        squeeze: Annotated[int, OneOf(1, 2, 4), "channels of the middle are channels divided by it"] = 4,
        stride: Stride = 1,
        dilation: Dilation = 1,
        attention: Attention = "none",
        # NOTE not in the paper: Balashov does not say which convolutions are attention-integrated.
        attention_place: Annotated[
            str, OneOf("middle", "first", "last", "all"), "convolutions whose input attention weighs"
        ] = "middle",
        reduction: Reduction = 8,
        spatial_kernel: SpatialKernel = 7,
        gate: Gate = "none",
        gate_reduction: GateReduction = 16,
        shortcut: Shortcut = "projection",
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        hidden = max(1, channels // squeeze)
        bias = norm == "none"

        def conv(
            place: str, inputs: int, outputs: int, kernel_size: int, stride: int = 1, dilation: int = 1
        ) -> nn.Module:
            return IntegratedConv(
                inputs,
                outputs,
                kernel_size,
                attention=attention if attention_place in (place, "all") else "none",
                reduction=reduction,
                spatial_kernel=spatial_kernel,
                stride=stride,
                dilation=dilation,
                bias=bias,
            )

        self.layers = nn.Sequential(
            conv("first", in_channels, hidden, 1),
            make_norm(norm, hidden),
            make_activation(activation),
            # NOTE not in the paper: He et al. have the stride on the first convolution; here as in torchvision (v1.5).
            conv("middle", hidden, hidden, kernel_size, stride, dilation),
            make_norm(norm, hidden),
            make_activation(activation),
            conv("last", hidden, channels, 1),
            make_norm(norm, channels),
        )
        self.gate = GATES[gate](channels, gate_reduction)
        self.shortcut = _make_shortcut(shortcut, in_channels, channels, stride, norm)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.gate(self.layers(x)) + self.shortcut(x))
        return y
