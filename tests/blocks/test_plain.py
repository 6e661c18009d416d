"""Convolution, down-sampling, classifier, merges: what they compute."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blocks import BLOCKS, ShapeError
from blocks.base import Scalar, Shape
from blocks.classifier import Classifier
from blocks.common import make_activation, make_norm, same_padding
from blocks.conv import Conv


def make(name: str, shape: Shape, **params: Scalar) -> nn.Module:
    torch.manual_seed(0)
    return BLOCKS[name].make(params, (shape,), 10).eval()


@pytest.mark.parametrize(
    ("norm", "bias", "there"),
    [("none", "auto", True), ("batch", "auto", False), ("batch", "yes", True), ("none", "no", False)],
)
def test_conv_has_a_bias_where_no_norm_follows(norm: str, bias: str, there: bool) -> None:
    assert (Conv(4, channels=4, norm=norm, bias=bias).conv.bias is not None) == there


def test_conv_is_convolution_norm_activation() -> None:
    conv = make("conv", (8, 9, 7), channels=4, kernel_size=5, stride=2, dilation=2, groups=4, norm="layer")
    assert isinstance(conv, Conv)
    x = torch.randn(2, 8, 9, 7)
    y = F.conv2d(x, conv.conv.weight, None, 2, 4, 2, 4)
    assert y.shape == (2, 4, 5, 4)
    flat = y.flatten(1)
    normed = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(conv(x), normed.view_as(y).clamp(min=0))


def test_padding_keeps_the_size() -> None:
    for kernel_size in (1, 3, 5, 7):
        for dilation in (1, 2, 3, 4):
            padding = same_padding(kernel_size, dilation)
            assert F.conv2d(
                torch.ones(1, 1, 5, 6), torch.ones(1, 1, kernel_size, kernel_size), None, 1, padding, dilation
            ).shape == (1, 1, 5, 6)


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 32), (32, 16), (48, 16), (24, 8), (12, 4), (6, 2), (2, 1), (1, 1), (7, 1)]
)
def test_group_norm_has_two_channels_a_group(channels: int, groups: int) -> None:
    norm = make_norm("group", channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups


def test_activations() -> None:
    x = torch.tensor([-4.0, -1.0, 0.0, 1.0, 8.0])
    assert make_activation("none")(x) is x
    assert make_activation("relu")(x).tolist() == [0, 0, 0, 1, 8]
    assert make_activation("relu6")(x).tolist() == [0, 0, 0, 1, 6]
    torch.testing.assert_close(make_activation("silu")(x), x * torch.sigmoid(x))
    torch.testing.assert_close(make_activation("gelu")(x), x * (1 + torch.erf(x / 2**0.5)) / 2)
    torch.testing.assert_close(make_activation("hardswish")(x), x * (x + 3).clamp(0, 6) / 6)


def test_pools() -> None:
    x = torch.arange(35.0).reshape(1, 1, 5, 7)
    assert make("max_pool", (1, 5, 7))(x).tolist() == [[[[8, 10, 12], [22, 24, 26]]]]
    assert make("avg_pool", (1, 5, 7))(x).tolist() == [[[[4, 6, 8], [18, 20, 22]]]]
    assert make("max_pool", (1, 5, 7), kernel_size=3, stride=4)(x).tolist() == [[[[8, 12], [29, 33]]]]
    smooth = make("avg_pool", (1, 5, 7), kernel_size=3, stride=1)(x)
    assert smooth.shape == x.shape
    assert smooth[0, 0, 0, 0] == (0 + 1 + 7 + 8) / 4  # what lies outside the map does not count


@pytest.mark.parametrize("name", ["max_pool", "avg_pool", "strided_conv"])
def test_what_is_too_small_to_shrink_is_refused(name: str) -> None:
    for stride, size in ((2, 1), (4, 3)):
        with pytest.raises(ShapeError, match=f"with stride {stride} needs a map of {stride}×{stride} or more, not 9×"):
            make(name, (4, 9, size), stride=stride)
    assert make(name, (4, 4, 5), stride=4)(torch.randn(1, 4, 4, 5)).shape[:3] == (1, 4, 1)


def test_classifier() -> None:
    x = torch.randn(2, 3, 4, 5)
    flat = make("classifier", (3, 4, 5), pool="flatten", dropout=0.4)
    assert isinstance(flat, Classifier)
    linear = flat.layers[-1]
    assert isinstance(linear, nn.Linear)
    torch.testing.assert_close(flat(x), x.reshape(2, 60) @ linear.weight.T + linear.bias)
    average = make("classifier", (3, 4, 5))
    assert isinstance(average, Classifier)
    linear = average.layers[-1]
    assert isinstance(linear, nn.Linear)
    torch.testing.assert_close(average(x), x.sum((2, 3)) / 20 @ linear.weight.T + linear.bias)


def test_classifier_with_a_hidden_layer() -> None:
    head = make("classifier", (3, 4, 5), hidden=7, dropout=0.25)
    assert isinstance(head, Classifier)
    assert [type(layer).__name__ for layer in head.layers] == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert {layer.p for layer in head.layers if isinstance(layer, nn.Dropout)} == {0.25}
    assert sum(weight.numel() for weight in head.parameters()) == 3 * 7 + 7 + 7 * 10 + 10


def test_dropout_drops_in_training_only() -> None:
    head = make("classifier", (64, 1, 1), dropout=0.9)
    x = torch.ones(1, 64, 1, 1)
    assert torch.equal(head(x), head(x))
    head.train()
    assert not torch.equal(head(x), head(x))


def test_merges() -> None:
    x, y, z = torch.randn(3, 2, 4, 5, 5)
    shapes = ((4, 5, 5),) * 3
    assert torch.equal(BLOCKS["add"].make({}, shapes, 10)(x, y, z), x + y + z)
    assert torch.equal(BLOCKS["multiply"].make({}, shapes, 10)(x, y, z), x * y * z)
    assert torch.equal(BLOCKS["concat"].make({}, shapes, 10)(x, y, z), torch.cat([x, y, z], 1))
    for name in ("add", "multiply", "concat"):
        assert BLOCKS[name].make({}, shapes[:1], 10)(x) is x


def test_zero_and_identity() -> None:
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    assert make("identity", (4, 5, 5))(x) is x
    zero = make("zero", (4, 5, 5))(x)
    assert not zero.any()
    zero.sum().backward()
    assert x.grad is not None
    assert make("zero", (1, 1, 1))(torch.tensor([[[[float("nan")]]]])).isnan().all(), "a path that diverges is seen"
