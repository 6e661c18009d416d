"""Residual blocks against torchvision's on copied weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import mobilenetv2, resnet

from blocks.attention import ConvolutionalBlockAttention, EfficientChannelAttention, SqueezeExcitation
from blocks.balashov import IntegratedConv
from blocks.base import ShapeError
from blocks.kong import CrossAttention
from blocks.residual import BasicResidual, BottleneckResidual
from blocks.separable import DepthwiseSeparable, InvertedResidual, Projection
from tests.blocks.chain import Step, chain


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Tensor by tensor, in the order in which both make them."""
    from_state, to_state = source.state_dict(), target.state_dict()
    assert [tensor.shape for tensor in from_state.values()] == [tensor.shape for tensor in to_state.values()]
    with torch.no_grad():
        for theirs, ours in zip(from_state.values(), to_state.values(), strict=True):
            if theirs.is_floating_point():
                theirs.uniform_(0.1, 1)  # running variances too
            ours.copy_(theirs)


def assert_same(theirs: nn.Module, ours: nn.Module, channels: int) -> None:
    copy_weights(theirs, ours)
    x = torch.randn(2, channels, 9, 8)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    torch.testing.assert_close(ours.train()(x), theirs.train()(x))


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


SHAPES = pytest.mark.parametrize(("inputs", "outputs", "stride"), [(8, 8, 1), (8, 16, 1), (8, 8, 2), (8, 16, 2)])


@SHAPES
def test_basic(inputs: int, outputs: int, stride: int) -> None:
    theirs = resnet.BasicBlock(inputs, outputs, stride, shortcut(inputs, outputs, stride))
    assert_same(theirs, BasicResidual(inputs, channels=outputs, stride=stride), inputs)


@SHAPES
def test_bottleneck(inputs: int, outputs: int, stride: int) -> None:
    theirs = resnet.Bottleneck(inputs, outputs // 4, stride, shortcut(inputs, outputs, stride))
    assert_same(theirs, BottleneckResidual(inputs, channels=outputs, stride=stride), inputs)


@SHAPES
@pytest.mark.parametrize("expansion", [1, 2, 6])
def test_inverted(inputs: int, outputs: int, stride: int, expansion: int) -> None:
    theirs = mobilenetv2.InvertedResidual(inputs, outputs, stride, expansion)
    ours = InvertedResidual(inputs, channels=outputs, stride=stride, expansion=expansion, activation="relu6")
    assert_same(theirs, ours, inputs)


def test_inverted_with_squeeze_and_excitation() -> None:
    parts = [type(part).__name__ for part in InvertedResidual(8, channels=8, expansion=2, se_reduction=4).layers]
    assert parts == [
        *("Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU"),
        *("SqueezeExcitation", "Conv2d", "BatchNorm2d"),
    ]
    plain = chain((8, 6, 6), [("inverted_residual", {"expansion": 2})]).parameters
    found = chain((8, 6, 6), [("inverted_residual", {"expansion": 2, "se_reduction": 4})]).parameters
    assert found == plain + (16 * 4 + 4) + (4 * 16 + 16)


def test_depthwise_separable_is_one_convolution_of_rank_one() -> None:
    """Without norm and activation, depthwise then pointwise is the convolution whose kernel is their outer product."""
    torch.manual_seed(0)
    block = DepthwiseSeparable(4, channels=6, kernel_size=5, stride=2, dilation=2, norm="none", activation="none")
    depthwise, pointwise = (layer for layer in block.layers if isinstance(layer, nn.Conv2d))
    kernel = pointwise.weight * depthwise.weight[:, 0]  # (6, 4, 1, 1) · (4, 5, 5)
    assert depthwise.bias is not None
    assert pointwise.bias is not None
    bias = pointwise.weight[:, :, 0, 0] @ depthwise.bias + pointwise.bias
    x = torch.randn(2, 4, 11, 10)
    expected = nn.functional.conv2d(x, kernel, bias, stride=2, padding=4, dilation=2)
    torch.testing.assert_close(block(x), expected)


def test_attention_is_put_where_it_is_asked_for() -> None:
    def attentive(block: nn.Module) -> list[bool]:
        return [part.reduce is not None for part in block.modules() if isinstance(part, IntegratedConv)]

    def bottleneck(place: str) -> list[bool]:
        return attentive(BottleneckResidual(8, channels=8, attention="channel", attention_place=place))

    assert attentive(BottleneckResidual(8, channels=8)) == [False, False, False]
    assert attentive(BottleneckResidual(8, channels=8, attention="both")) == [False, True, False]
    assert bottleneck("first") == [True, False, False]
    assert bottleneck("last") == [False, False, True]
    assert bottleneck("all") == [True, True, True]
    assert attentive(BasicResidual(8, channels=8, attention="both")) == [True, True]
    assert attentive(BasicResidual(8, channels=8, attention="both", attention_in="second")) == [False, True]


@pytest.mark.parametrize(
    ("gate", "module"),
    [
        ("se", SqueezeExcitation),
        ("cbam", ConvolutionalBlockAttention),
        ("eca", EfficientChannelAttention),
        ("cam", CrossAttention),
    ],
)
@pytest.mark.parametrize("kind", [BasicResidual, BottleneckResidual])
def test_a_gate_weighs_what_is_added_and_not_the_shortcut(
    kind: type[BasicResidual] | type[BottleneckResidual], gate: str, module: type[nn.Module]
) -> None:
    torch.manual_seed(0)
    block = kind(32, channels=32, gate=gate, gate_reduction=8).eval()
    assert isinstance(block.gate, module)
    x = torch.randn(2, 32, 5, 5)
    with torch.no_grad():
        torch.testing.assert_close(block(x), (block.gate(block.layers(x)) + x).relu())
        assert not torch.allclose(block(x), (block.layers(x) + x).relu())


def test_a_padded_shortcut_has_no_weights_and_keeps_what_it_samples() -> None:
    block = BasicResidual(4, channels=8, stride=2, shortcut="padded")
    assert not list(block.shortcut.parameters())
    x = torch.randn(2, 4, 6, 6)
    shortcut = block.shortcut(x)
    assert shortcut.shape == (2, 8, 3, 3)
    torch.testing.assert_close(shortcut[:, 2:6], x[:, :, ::2, ::2])
    assert shortcut[:, :2].abs().sum() == shortcut[:, 6:].abs().sum() == 0
    with pytest.raises(ShapeError, match="cannot narrow 8 channels to 4"):
        BasicResidual(8, channels=4, shortcut="padded")


def test_projection_is_the_identity_where_the_shape_stays() -> None:
    x = torch.randn(1, 4, 6, 6)
    same = Projection(4, channels=4)
    assert same(x) is x
    assert not list(same.parameters())
    for channels, stride in ((4, 2), (6, 1)):
        found = chain((4, 6, 6), [("projection", {"channels": channels, "stride": stride})])
        assert found.parameters == 4 * channels + 2 * channels  # no bias
        assert found.macs == 4 * channels * (6 // stride) ** 2


def bench_macro(digits: str) -> tuple[int, int]:
    """Parameters and MACs of a network of NAS-Bench-Macro."""
    layers = {
        "1": ("inverted_residual", {"kernel_size": 3, "expansion": 3}),
        "2": ("inverted_residual", {"kernel_size": 5, "expansion": 6}),
    }
    steps: list[Step] = [("conv", {"channels": 32})]
    for place, digit in enumerate(digits):
        first = place in (0, 2, 5)
        block, params = layers.get(digit, ("projection", {}))
        steps.append((block, {**params, **({"channels": "x2", "stride": 2} if first else {})}))
    steps += [("conv", {"channels": 1280, "kernel_size": 1}), ("classifier", {"pool": "average"})]
    found = chain((3, 32, 32), steps)
    return found.parameters, found.macs


def test_mbconv_as_in_nas_bench_macro() -> None:
    """By hand, from the description of the benchmark: no biases, batch norm after each convolution."""

    def mbconv(c: int, out: int, k: int, e: int, area: int, stride: int) -> tuple[int, int]:
        after = area // stride**2
        hidden = c * e
        weights = c * hidden + k * k * hidden + hidden * out
        return weights + 2 * (2 * hidden + out), c * hidden * area + (k * k * hidden + hidden * out) * after

    parts = [
        (3 * 9 * 32 + 64, 3 * 9 * 32 * 1024),
        mbconv(32, 64, 3, 3, 1024, 2),
        mbconv(64, 64, 5, 6, 256, 1),
        (64 * 128 + 256, 64 * 128 * 64),
        (0, 0),
        mbconv(128, 128, 3, 3, 64, 1),
        mbconv(128, 256, 5, 6, 64, 2),
        (0, 0),
        (0, 0),
        (256 * 1280 + 2560, 256 * 1280 * 16),
        (12810, 12800),
    ]
    assert bench_macro("12001200") == (sum(part[0] for part in parts), sum(part[1] for part in parts))
