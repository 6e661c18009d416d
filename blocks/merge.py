"""Merges: several feature maps become one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blocks.base import Shape, ShapeError, block


def _check_same(in_shapes: tuple[Shape, ...], what: str) -> None:
    if len(set(in_shapes)) > 1:
        sizes = " and ".join("×".join(map(str, shape)) for shape in in_shapes)
        raise ShapeError(f"{what} needs inputs of one shape, not {sizes}")


@block(
    "add",
    source="He et al. 2016, Deep Residual Learning, eq. 1",
    link="https://arxiv.org/abs/1512.03385",
    passthrough=True,
    commutative=True,
    is_sum=True,
)
class Add(nn.Module):
    """x_1, …, x_n (B, C, H, W) -> (B, C, H, W)

    Element-wise sum.
    """

    def __init__(self, in_shapes: tuple[Shape, ...]) -> None:
        super().__init__()
        _check_same(in_shapes, "add")

    def forward(self, *inputs: Tensor) -> Tensor:
        out = inputs[0]
        for x in inputs[1:]:
            out = out + x
        return out


@block(
    "multiply",
    source="Hu et al. 2018, Squeeze-and-Excitation Networks, eq. 4",
    link="https://arxiv.org/abs/1709.01507",
    passthrough=True,
    commutative=True,
)
class Multiply(nn.Module):
    """x_1, …, x_n (B, C, H, W) -> (B, C, H, W)

    Element-wise product.
    """

    def __init__(self, in_shapes: tuple[Shape, ...]) -> None:
        super().__init__()
        _check_same(in_shapes, "multiply")

    def forward(self, *inputs: Tensor) -> Tensor:
        out = inputs[0]
        for x in inputs[1:]:
            out = out * x
        return out


@block(
    "concat",
    source="Huang et al. 2017, Densely Connected Convolutional Networks, eq. 2",
    link="https://arxiv.org/abs/1608.06993",
    passthrough=True,
)
class Concat(nn.Module):
    """x_i (B, C_i, H, W) -> (B, C_1 + … + C_n, H, W)

    Concatenation of channels.
    """

    def __init__(self, in_shapes: tuple[Shape, ...]) -> None:
        super().__init__()
        _check_same(tuple(shape[1:] for shape in in_shapes), "concat")

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)


@block(
    "rezero",
    source="Bachlechner et al. 2020, ReZero is All You Need, eq. 1; Zhang et al. 2019, SAGAN, eq. 3",
    link="https://arxiv.org/abs/2003.04887",
)
class ReZero(nn.Module):
    """x, f (B, C, H, W) -> (B, C, H, W)

    x + γ f with one learned γ that begins at 0: what is inserted into a trained network changes nothing at first.
    """

    def __init__(self, in_shapes: tuple[Shape, ...]) -> None:
        super().__init__()
        if len(in_shapes) != 2:
            raise ShapeError(f"rezero takes two inputs, what passes and what is added, not {len(in_shapes)}")
        _check_same(in_shapes, "rezero")
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, added: Tensor) -> Tensor:
        return x + self.gain.view(1, 1, 1, 1) * added
