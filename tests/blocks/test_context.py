"""Coordinate attention and gather-excite against timm's on copied weights, strip pooling against its equations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers import GatherExcite as TheirGatherExcite
from timm.layers.coord_attn import CoordAttn
from torch import nn

from blocks.context import CoordinateAttention, GatherExcite, StripPooling


def test_coordinate_attention_is_timms() -> None:
    torch.manual_seed(0)
    theirs = CoordAttn(16, rd_channels=8, bias=True)
    ours = CoordinateAttention(16, reduction=2)
    nn.init.zeros_(theirs.conv1.bias)  # the norm after it takes it away
    names = {"conv1": "shared.0", "bn1": "shared.1", "conv_h": "rows", "conv_w": "columns"}
    state = {}
    for name, tensor in theirs.state_dict().items():
        module, _, kind = name.partition(".")
        if name != "conv1.bias":
            state[f"{names[module]}.{kind}"] = tensor
    ours.load_state_dict(state)
    x = torch.randn(2, 16, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(16, 32, 8), (512, 32, 16), (64, 2, 32)])
def test_coordinate_attention_keeps_eight_channels(channels: int, reduction: int, hidden: int) -> None:
    assert CoordinateAttention(channels, reduction=reduction).rows.in_channels == hidden


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_strip_pooling_is_its_equations(kernel_size: int) -> None:
    torch.manual_seed(0)
    block = StripPooling(4, kernel_size=kernel_size, norm="none")
    x = torch.randn(2, 4, 5, 7)
    row_conv, column_conv = block.rows[0], block.columns[0]
    assert isinstance(row_conv, nn.Conv2d)
    assert isinstance(column_conv, nn.Conv2d)
    pad = kernel_size // 2
    rows = F.conv1d(x.sum(3) / 7, row_conv.weight[..., 0], row_conv.bias, padding=pad)  # eq. 1
    columns = F.conv1d(x.sum(2) / 5, column_conv.weight[:, :, 0], column_conv.bias, padding=pad)  # eq. 2
    y = torch.relu(rows[:, :, :, None] + columns[:, :, None, :])  # eq. 3
    torch.testing.assert_close(block(x), x * torch.sigmoid(block.expand(y)))


@pytest.mark.parametrize("extent", [0, 2, 4, 8])
def test_gather_excite_without_parameters_is_timms(extent: int) -> None:
    ours = GatherExcite((6, 9, 11), extent=extent, gather="mean", mlp=False)
    assert not list(ours.parameters())
    x = torch.randn(2, 6, 9, 11)
    torch.testing.assert_close(ours(x), TheirGatherExcite(6, extent=extent, use_mlp=False)(x))


def test_gather_excite_by_convolutions() -> None:
    """GE-θ: each halving is a depthwise convolution with norm, ReLU between them; every window weighs its positions."""
    torch.manual_seed(0)
    block = GatherExcite((6, 8, 8), extent=4, mlp=False).eval()
    assert block.gather is not None
    assert [type(layer).__name__ for layer in block.gather] == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "Conv2d",
        "BatchNorm2d",
    ]
    assert all(layer.groups == 6 for layer in block.gather if isinstance(layer, nn.Conv2d))
    x = torch.randn(2, 6, 8, 8)
    weights = block(x) / x
    gathered = torch.sigmoid(block.gather(x))
    assert gathered.shape == (2, 6, 2, 2)
    torch.testing.assert_close(weights, gathered.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_gather_excite_over_the_whole_map() -> None:
    torch.manual_seed(0)
    block = GatherExcite((6, 5, 7), reduction=2, norm="none")
    assert block.gather is not None
    conv = block.gather[0]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    x = torch.randn(2, 6, 5, 7)
    gathered = (x * conv.weight[:, 0]).sum((2, 3), keepdim=True) + conv.bias[:, None, None]
    torch.testing.assert_close(block(x), x * torch.sigmoid(block.mlp(gathered)))
    assert [layer.out_channels for layer in block.mlp if isinstance(layer, nn.Conv2d)] == [3, 6]
