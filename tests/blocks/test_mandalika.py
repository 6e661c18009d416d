"""Hierarchical spatial attention against equations 12 and 13 and against direct sums."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blocks import BLOCKS, ShapeError
from blocks.mandalika import HierarchicalAttention, local_deviation


def make(shape: tuple[int, int, int] = (6, 5, 7), *parts: str, **params: int) -> HierarchicalAttention:
    """With exactly these parts, in evaluation."""
    torch.manual_seed(0)
    switches = {part: part in parts for part in ("hierarchy", "relevance", "neighbourhood", "memory")}
    return HierarchicalAttention(shape, **switches, **params).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_relevance_is_equation_12(kernel_size: int) -> None:
    """Written out as the sum that the paper prints; what lies outside the map is zero."""
    block = make((3, 4, 5), "relevance", kernel_size=kernel_size)
    assert block.relevance is not None
    weight, bias = block.relevance.weight[0], block.relevance.bias
    assert bias is not None
    x = torch.randn(3, 4, 5)
    k = kernel_size // 2
    relevance = torch.zeros(4, 5)
    for i, j in itertools.product(range(4), range(5)):
        total = bias[0]
        for c, m, n in itertools.product(range(3), range(-k, k + 1), range(-k, k + 1)):
            if 0 <= i + m < 4 and 0 <= j + n < 5:
                total = total + weight[c, m + k, n + k] * x[c, i + m, j + n]
        relevance[i, j] = total
    normed = 1 / (1 + torch.exp(-relevance))  # eq. 13
    weights = torch.sigmoid(F.conv2d(normed[None, None], block.combine.weight, block.combine.bias, padding=k))
    torch.testing.assert_close(block(x[None]), x * weights)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_local_deviation(size: int) -> None:
    """Against the deviation of each neighbourhood, cut at the border, also far from zero."""
    torch.manual_seed(0)
    y = torch.randn(2, 2, 6, 8, dtype=torch.float64) + 100
    expected = torch.empty_like(y)
    k = size // 2
    for i, j in itertools.product(range(6), range(8)):
        window = y[:, :, max(0, i - k) : i + k + 1, max(0, j - k) : j + k + 1]
        expected[:, :, i, j] = window.flatten(2).std(2, correction=0)
    torch.testing.assert_close(local_deviation(y, size), expected.float(), atol=1e-4, rtol=1e-4)


def test_neighbourhood_sees_variation_and_not_level() -> None:
    """The weights are highest around the only edge of the map, and the same for a brighter map (in its inside)."""
    block = make((1, 9, 16), "neighbourhood")
    assert block.neighbourhood is not None
    torch.nn.init.constant_(block.neighbourhood.weight, 0)
    block.neighbourhood.weight.data[0, 0, 1, 1] = 1  # looks at the features themselves
    torch.nn.init.constant_(block.combine.weight, 0)
    block.combine.weight.data[0, 0, 1, 1] = 1
    torch.nn.init.zeros_(block.combine.bias)  # type: ignore[arg-type]
    x = torch.ones(1, 1, 9, 16)
    x[..., 8:] = 3
    weights = (block(x) / x)[0, 0]
    columns = weights.amax(0)
    assert columns.argmax() in (7, 8)
    assert columns[7] > columns[5] == columns[12]
    torch.testing.assert_close(block(x + 10) / (x + 10), weights[None, None], atol=1e-4, rtol=1e-4)


def test_hierarchy_has_two_sizes() -> None:
    block = make((32, 12, 8), "hierarchy", reduction=8)
    assert block.fine is not None
    assert block.coarse is not None
    x = torch.randn(2, 32, 12, 8)
    fine = torch.sigmoid(block.fine(x))
    coarse = torch.sigmoid(block.coarse(fine))
    assert (fine.shape, coarse.shape) == ((2, 4, 6, 4), (2, 4, 3, 2))
    resized = [F.interpolate(part, size=(12, 8), mode="bilinear") for part in (fine, coarse)]
    torch.testing.assert_close(block(x), x * torch.sigmoid(block.combine(torch.cat(resized, 1))))


def test_every_combination_of_parts() -> None:
    x = torch.randn(2, 6, 5, 7)
    outputs: list[Tensor] = []
    for switches in itertools.product((True, False), repeat=4):
        parts = [
            name for name, on in zip(("hierarchy", "relevance", "neighbourhood", "memory"), switches, strict=True) if on
        ]
        if not any(switches[:3]):
            with pytest.raises(ShapeError, match="needs at least one of hierarchy, relevance, neighbourhood"):
                BLOCKS["hierarchical_attention"].make(
                    dict(zip(("hierarchy", "relevance", "neighbourhood", "memory"), switches, strict=True)),
                    ((6, 5, 7),),
                    10,
                )
            continue
        block = make((6, 5, 7), *parts)
        maps = 2 * ("hierarchy" in parts) + len(set(parts) - {"hierarchy"})
        assert block.combine.in_channels == maps
        outputs.append(block(x))
        weights = outputs[-1] / x
        torch.testing.assert_close(weights, weights[:, :1].expand_as(weights))  # one weight for a position
        assert ((weights > 0) & (weights < 1)).all()
    assert len(outputs) == 14


def test_memory_is_a_running_average_of_the_map() -> None:
    block = make((6, 5, 7), "relevance", "memory")
    assert block.memory_map.shape == (1, 1, 5, 7)
    expected = torch.full((1, 1, 5, 7), 0.5)
    for step in range(3):
        x = torch.randn(4 + step, 6, 5, 7)
        weights = (block.eval()(x) / x)[:, :1]
        assert torch.equal(block.memory_map, expected), "evaluation leaves the memory as it is"
        torch.testing.assert_close(block.train()(x), x * weights, atol=1e-5, rtol=1e-4)
        expected = 0.9 * expected + 0.1 * weights.mean(0, keepdim=True)
        torch.testing.assert_close(block.memory_map, expected)
        expected = block.memory_map.clone()
    assert not block.memory_map.requires_grad
    assert "memory_map" in block.state_dict()
    assert not BLOCKS["hierarchical_attention"].hyperparameters["memory"].default


def test_memory_changes_the_map() -> None:
    block = make((6, 5, 7), "relevance", "memory")
    x = torch.randn(1, 6, 5, 7)
    before = block(x)
    block.memory_map.fill_(5)
    assert not torch.allclose(block(x), before)
