"""Convolution with normalization and activation: the transform that everything else is compared with.

Simonyan and Zisserman 2015, Very Deep Convolutional Networks, section 2.1: stacks of small convolutions, each followed
by a non-linearity. Ioffe and Szegedy 2015, Batch Normalization, section 3.2: the norm stands between the two.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.base import OneOf, ShapeError, Width, block
from blocks.common import Activation, Dilation, KernelSize, Norm, Stride, make_activation, make_norm, same_padding


@block(
    "conv",
    family="convolution",
    source="Simonyan and Zisserman 2015, Very Deep Convolutional Networks, section 2.1",
    link="https://arxiv.org/abs/1409.1556",
    idle=(("dilation", "kernel_size", (1,)),),
)
class Conv(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/stride⌉, ⌈W/stride⌉)

    Convolution, normalization, activation, in this `order` or another: "act_conv_norm" is that of NAS-Bench-201 (Dong and
    Yang 2020, section 2.1), "norm_act_conv" the pre-activation of He et al. 2016 (Identity Mappings, figure 4e) and of
    DenseNet. `bias` "auto" means: a bias exactly where no norm follows.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        kernel_size: KernelSize = 3,
        stride: Stride = 1,
        dilation: Dilation = 1,
        groups: Annotated[int, OneOf(1, 2, 4, 8, 16, 32), "groups of channels that do not see each other"] = 1,
        bias: Annotated[str, OneOf("auto", "yes", "no"), "auto: where no norm follows"] = "auto",
        norm: Norm = "batch",
        activation: Activation = "relu",
        order: Annotated[
            str, OneOf("conv_norm_act", "act_conv_norm", "norm_act_conv"), "order of convolution, norm and activation"
        ] = "conv_norm_act",
    ) -> None:
        super().__init__()
        if in_channels % groups or channels % groups:
            raise ShapeError(f"groups {groups} do not divide the channels {in_channels} and {channels}")
        follows = norm != "none" and order != "norm_act_conv"
        with_bias = not follows if bias == "auto" else bias == "yes"
        padding = same_padding(kernel_size, dilation)
        conv = nn.Conv2d(in_channels, channels, kernel_size, stride, padding, dilation, groups, bias=with_bias)
        # In the order they run, as everywhere: published weights are matched by it.
        if order == "norm_act_conv":
            self.norm = make_norm(norm, in_channels)
            self.conv = conv
        else:
            self.conv = conv
            self.norm = make_norm(norm, channels)
        self.act = make_activation(activation)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor
        if self.order == "act_conv_norm":
            y = self.norm(self.conv(self.act(x)))
        elif self.order == "norm_act_conv":
            y = self.conv(self.act(self.norm(x)))
        else:
            y = self.act(self.norm(self.conv(x)))
        return y
