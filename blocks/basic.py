"""Identity, zero, and a norm with its activation."""

from __future__ import annotations

from torch import Tensor, nn

from blocks.base import block
from blocks.common import Activation, Norm, make_activation, make_norm


@block(
    "identity",
    source="He et al. 2016, Identity Mappings in Deep Residual Networks",
    link="https://arxiv.org/abs/1603.05027",
    passthrough=True,
)
class Identity(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Returns its input: the choice of having no block here.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


@block(
    "zero",
    source="Liu et al. 2019, DARTS, section 2.1 (the operation none)",
    link="https://arxiv.org/abs/1806.09055",
    zero=True,
)
class Zero(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Zeros of the input's shape: the choice of cutting this path.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        # Not zeros_like: NaN · 0 is NaN, so a diverging path stays visible, and the gradient reaches the input (as 0).
        return x * 0.0


@block(
    "norm_act",
    source="He et al. 2016, Identity Mappings in Deep Residual Networks, figure 4e",
    link="https://arxiv.org/abs/1603.05027",
)
class NormAct(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Norm and activation alone: what ends a stack of pre-activation blocks.
    """

    def __init__(self, in_channels: int, *, norm: Norm = "batch", activation: Activation = "relu") -> None:
        super().__init__()
        self.norm = make_norm(norm, in_channels)
        self.act = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(x))
        return y
