"""Multi-scale feature decoupler and gated self-attention against direct formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blocks import Facts, ShapeError, measure
from blocks.base import Scalar, Shape
from blocks.conv import Conv
from blocks.jiang import GatedSelfAttention, MultiScale


def facts(name: str, shape: Shape, **params: Scalar) -> Facts:
    return measure(name, tuple(sorted(params.items())), (shape,), 10)


@pytest.mark.parametrize("stride", [1, 2])
def test_one_scale_is_a_convolution(stride: int) -> None:
    torch.manual_seed(0)
    plain = Conv(4, channels=6, stride=stride, activation="silu")
    block = MultiScale(4, channels=6, stride=stride, scales=1, activation="silu")
    block.load_state_dict({name.replace("conv.", "convs.0."): tensor for name, tensor in plain.state_dict().items()})
    x = torch.randn(2, 4, 9, 8)
    assert torch.equal(block(x), plain(x))


@pytest.mark.parametrize(("scales", "sizes"), [(2, [5, 5]), (3, [4, 3, 3]), (4, [3, 3, 2, 2])])
def test_each_group_of_channels_has_its_own_kernel(scales: int, sizes: list[int]) -> None:
    torch.manual_seed(0)
    block = MultiScale(10, channels=7, scales=scales, norm="none", activation="none")
    x = torch.randn(2, 10, 12, 11)
    parts, start = [], 0
    for place, (size, conv) in enumerate(zip(sizes, block.convs, strict=True)):
        assert isinstance(conv, torch.nn.Conv2d)
        assert conv.weight.shape == (size, size, 3 + 2 * place, 3 + 2 * place)
        parts.append(F.conv2d(x[:, start : start + size], conv.weight, conv.bias, padding=1 + place))
        start += size
    fuse = block.fuse[0]
    assert isinstance(fuse, torch.nn.Conv2d)
    torch.testing.assert_close(block(x), F.conv2d(torch.cat(parts, 1), fuse.weight, fuse.bias))


def test_any_number_of_scales_costs_about_as_much() -> None:
    plain = facts("multi_scale", (48, 8, 8), scales=1, channels=48, norm="none").macs
    for scales in (2, 3, 4):
        fuse = 48 * 48 * 64
        macs = facts("multi_scale", (48, 8, 8), scales=scales, channels=48, norm="none").macs - fuse
        assert 0.9 < macs / plain < 1.2


def test_more_scales_than_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match="4 scales need as many channels or more, not 3"):
        facts("multi_scale", (3, 8, 8), scales=4)


def heads_of(y: Tensor, heads: int) -> Tensor:
    """(B, heads * d, H, W) -> (B, heads, H W, d), spelled out."""
    batch, channels = y.shape[:2]
    return torch.stack(
        [y[:, h * (channels // heads) : (h + 1) * (channels // heads)].flatten(2).mT for h in range(heads)], dim=1
    ).reshape(batch, heads, -1, channels // heads)


@pytest.mark.parametrize(("heads", "grid", "size", "window"), [(1, 4, 8, 2), (2, 8, 8, 1), (4, 4, 11, 3)])
def test_gated_self_attention_is_attention_over_a_pooled_map(heads: int, grid: int, size: int, window: int) -> None:
    torch.manual_seed(0)
    block = GatedSelfAttention(16, heads=heads, grid=grid, reduction=2).eval()
    x = torch.randn(2, 16, size, size)
    h = block.transform(x)
    assert h.shape[1] == 8
    pooled = F.avg_pool2d(h, window, ceil_mode=True, count_include_pad=False)
    assert max(pooled.shape[2:]) <= grid
    query, key, value = (heads_of(part, heads) for part in (block.query(h), block.key(pooled), block.value(pooled)))
    weights = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, heads, size * size))
    read = (weights @ value).mT.reshape(2, 8, size, size)
    gate = torch.sigmoid(block.gate(x))
    torch.testing.assert_close(block(x), gate * block.project(read) + (1 - gate) * x, atol=1e-5, rtol=1e-4)
    block.blend = False
    torch.testing.assert_close(block(x), gate * block.project(read), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("blend", [True, False])
def test_a_closed_gate_leaves_the_input_or_nothing(blend: bool) -> None:
    block = GatedSelfAttention(8, blend=blend).eval()
    torch.nn.init.constant_(block.gate.bias, -100)  # type: ignore[arg-type]
    x = torch.randn(1, 8, 6, 6)
    torch.testing.assert_close(block(x), x if blend else torch.zeros_like(x))


def test_gated_self_attention_knows_no_positions() -> None:
    """With as many keys as positions: shuffled positions give shuffled outputs."""
    torch.manual_seed(0)
    block = GatedSelfAttention(8, grid=8).eval()
    x = torch.randn(1, 8, 6, 6)
    order = torch.randperm(36)
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    torch.testing.assert_close(block(shuffled), block(x).flatten(2)[:, :, order].view_as(x), atol=1e-5, rtol=1e-4)


def test_memory_is_linear_in_the_number_of_positions() -> None:
    """The full matrix of positions by positions would grow by 16 where the number of positions grows by 4."""
    small, large = (facts("gated_self_attention", (64, size, size)) for size in (32, 64))
    assert large.peak_bytes < 4.01 * small.peak_bytes
    assert 3.8 < large.macs / small.macs < 4.01
    # A whole stage at ImageNet size: less than a dozen maps of the input's size, and fewer MACs than one convolution.
    imagenet = facts("gated_self_attention", (64, 56, 56))
    assert imagenet.peak_bytes < 12 * 64 * 56 * 56 * 4
    assert imagenet.macs < facts("conv", (64, 56, 56), channels=64).macs


def test_any_number_of_channels_has_its_heads() -> None:
    for channels, heads, reduction in ((7, 4, 2), (3, 16, 32), (24, 6, 1)):
        block = GatedSelfAttention(channels, heads=heads, reduction=reduction)
        assert block.query.out_channels % heads == 0
        assert block(torch.randn(2, channels, 5, 5)).shape == (2, channels, 5, 5)
