"""Residual attention: what the mask and the trunk are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blocks.residual_attention import ResidualAttention
from tests.blocks.chain import chain


def test_a_closed_mask_leaves_the_trunk() -> None:
    """Equation 3: the mask can only add to the trunk, so a mask of zeros is the plain residual network."""
    torch.manual_seed(0)
    block = ResidualAttention(8).eval()
    x = torch.randn(2, 8, 9, 8)
    last = block.weigh[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    nn.init.zeros_(last.weight)
    for bias, factor in ((-200, 1.0), (0, 1.5), (200, 2.0)):
        nn.init.constant_(last.bias, bias)
        torch.testing.assert_close(block(x), factor * block.trunk(x))


@pytest.mark.parametrize("downsamples", [1, 2, 3])
def test_the_mask_sees_that_many_sizes(downsamples: int) -> None:
    torch.manual_seed(0)
    block = ResidualAttention(8, downsamples=downsamples).eval()
    sizes: list[int] = []
    for part in (*block.down, *block.shortcuts, *block.up):
        part.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[2]))
    assert block(torch.randn(1, 8, 32, 32)).shape == (1, 8, 32, 32)
    down = [32 // 2**step for step in range(1, downsamples + 1)]
    # Up from the coarsest; each shortcut has the size that the map before it was brought to.
    up = [size for level in reversed(down) for size in ((level, 2 * level) if level != down[0] else (level,))]
    assert sizes == down + up


def test_a_far_change_reaches_the_mask() -> None:
    """The trunk of one bottleneck sees two positions around; the mask sees the map."""
    torch.manual_seed(0)
    block = ResidualAttention(8, trunk_units=1, downsamples=3).eval()
    x = torch.randn(1, 8, 16, 16)
    changed = x.clone()
    changed[:, :, 12:, 12:] += 3
    assert torch.equal(block.trunk(x)[:, :, 0, 0], block.trunk(changed)[:, :, 0, 0])
    assert not torch.allclose(block(x)[:, :, 0, 0], block(changed)[:, :, 0, 0])


def test_units_are_bottlenecks() -> None:
    unit = chain((16, 8, 8), [("bottleneck_residual", {})]).parameters
    ends = 16 * 16 + 2 * 16 + 16 * 16 + 16
    for trunk_units, downsamples in ((1, 1), (2, 3)):
        found = chain((16, 8, 8), [("residual_attention", {"trunk_units": trunk_units, "downsamples": downsamples})])
        assert found.parameters == (trunk_units + 3 * downsamples - 1) * unit + ends
