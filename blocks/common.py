"""What blocks share: hyperparameters that mean the same in all of them, and the layers these stand for.

A space may give one hyperparameter to a choice of several blocks, so one name has one type and one set of values
everywhere: a block takes these from here. A convolution has a bias exactly where no norm follows, unless the block's
paper says otherwise: a norm would take it away again.
"""

from __future__ import annotations

from typing import Annotated

from torch import nn

from blocks.base import OneOf, Range

KernelSize = Annotated[int, OneOf(1, 3, 5, 7), "side of the kernel in positions"]
Stride = Annotated[int, OneOf(1, 2, 4), "the map becomes so many times smaller on each side"]
Dilation = Annotated[int, OneOf(1, 2, 3, 4), "distance between the positions that a kernel reads"]
Expansion = Annotated[int, OneOf(1, 2, 3, 4, 6), "channels inside, as a multiple of the input's"]
Reduction = Annotated[int, OneOf(1, 2, 4, 8, 16, 32), "channels are divided by it inside the module"]
Activation = Annotated[
    str, OneOf("none", "relu", "relu6", "silu", "gelu", "hardswish"), "non-linearity behind the norm"
]
Norm = Annotated[str, OneOf("none", "batch", "group", "layer"), "normalization behind a convolution"]
Heads = Annotated[int, Range(1, 16, (1, 2, 4, 8, 16)), "attention heads; they must divide the channels"]
Switch = Annotated[bool, OneOf(True, False), "whether this part of the block is there"]
"""A part of a block that can be left out."""
Rate = Annotated[float, Range(0.0, 0.9, (0.0, 0.4, 0.9)), "share that is dropped in training"]
"""A share that dropout or stochastic depth leaves out in training."""

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
}


def make_activation(name: str) -> nn.Module:
    """The module that `name` of `Activation` means."""
    return _ACTIVATIONS[name]()


def make_norm(name: str, channels: int) -> nn.Module:
    """The module that `name` of `Norm` means.

    Group norm takes the most of 32, 16, 8, 4 and 2 groups that leaves at least two channels in each (a lone value would
    be normalized to zero), and one group where none does.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        fitting = (groups for groups in (32, 16, 8, 4, 2) if channels % groups == 0 and channels >= 2 * groups)
        return nn.GroupNorm(next(fitting, 1), channels)
    if name == "layer":
        return nn.GroupNorm(1, channels)
    return nn.Identity()


def same_padding(kernel_size: int, dilation: int = 1) -> int:
    """Padding that keeps H and W at stride 1 for an odd kernel."""
    return dilation * (kernel_size - 1) // 2


def squeezed(channels: int, reduction: int) -> int:
    """Channels of a bottleneck: `channels` / `reduction`, at least one."""
    return max(1, channels // reduction)
