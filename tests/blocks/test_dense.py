"""Dense layers and pre-activation convolutions against torchvision's, on copied weights."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.densenet import _DenseLayer, _Transition

from blocks.conv import Conv
from blocks.dense import DenseLayer
from tests.blocks.test_residual import copy_weights


def test_a_dense_layer_equals_that_of_torchvision() -> None:
    theirs = _DenseLayer(num_input_features=6, growth_rate=4, bn_size=4, drop_rate=0.0)
    ours = DenseLayer(6, growth=4, bottleneck=4)
    copy_weights(theirs, ours)
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(ours(x), torch.cat([x, theirs(x)], dim=1))


def test_a_transition_is_a_pre_activation_convolution_and_a_pool() -> None:
    theirs = _Transition(num_input_features=6, num_output_features=3)
    ours = Conv(6, channels=3, kernel_size=1, order="norm_act_conv", bias="no")
    copy_weights(theirs, ours)
    x = torch.randn(2, 6, 4, 4)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(ours(x), 2), theirs(x))


@pytest.mark.parametrize("order", ["conv_norm_act", "act_conv_norm", "norm_act_conv"])
def test_a_convolution_runs_in_the_order_it_says(order: str) -> None:
    torch.manual_seed(0)
    conv = Conv(4, channels=6, order=order).eval()
    steps = {"conv": conv.conv, "norm": conv.norm, "act": conv.act}
    x = y = torch.randn(2, 4, 5, 5)
    for step in order.split("_"):
        y = steps[step](y)
    torch.testing.assert_close(conv(x), y)
    # a bias where no norm follows the convolution
    assert (conv.conv.bias is not None) == (order == "norm_act_conv")
