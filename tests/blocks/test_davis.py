"""Spatial softmax attention."""

from __future__ import annotations

import pytest
import torch

from blocks.davis import SoftmaxAttention


@pytest.mark.parametrize("maps", ["per_channel", "single"])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_weights_sum_to_one(maps: str, kernel_size: int) -> None:
    """A map of ones comes back as its weights."""
    torch.manual_seed(0)
    block = SoftmaxAttention(4, rescale=False, maps=maps, kernel_size=kernel_size)
    x = torch.ones(2, 4, 5, 7)
    weights = block(x)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(2, 4))
    mean_one = SoftmaxAttention(4, rescale=True, maps=maps, kernel_size=kernel_size)
    torch.testing.assert_close(mean_one(x).mean((2, 3)), torch.ones(2, 4))


def test_it_is_its_formula() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5, 7)
    for maps, outputs in (("per_channel", 4), ("single", 1)):
        block = SoftmaxAttention(4, rescale=False, maps=maps, kernel_size=1)
        assert block.conv.out_channels == outputs
        scores = torch.einsum("oc,bchw->bohw", block.conv.weight[:, :, 0, 0], x).exp()
        expected = x * scores / scores.sum((2, 3), keepdim=True)
        torch.testing.assert_close(block(x), expected)
        rescaled = SoftmaxAttention(4, rescale=True, maps=maps, kernel_size=1)
        rescaled.load_state_dict(block.state_dict())
        torch.testing.assert_close(rescaled(x), 35 * expected)


def test_one_position_has_all_the_weight() -> None:
    x = torch.randn(2, 4, 1, 1)
    torch.testing.assert_close(SoftmaxAttention(4, rescale=False)(x), x)
