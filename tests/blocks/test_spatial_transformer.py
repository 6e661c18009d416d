"""Spatial transformer against PyTorch's affine grid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.spatial_transformer import SpatialTransformer


def transformer(theta: Tensor | None = None, shape: tuple[int, int, int] = (3, 8, 10)) -> SpatialTransformer:
    """One that always applies `theta` (2, 3); without it, a new one."""
    torch.manual_seed(0)
    block = SpatialTransformer(shape)
    last = block.locate[-1]
    assert isinstance(last, nn.Linear)
    if theta is not None:
        last.bias.data.copy_((theta - torch.eye(2, 3)).flatten())
    return block


def test_it_starts_as_the_identity() -> None:
    x = torch.randn(2, 3, 8, 10)
    torch.testing.assert_close(transformer()(x), x, atol=1e-5, rtol=1e-5)


def test_it_samples_an_affine_grid() -> None:
    x = torch.randn(2, 3, 8, 10)
    theta = torch.tensor([[0.8, -0.3, 0.1], [0.2, 0.9, -0.25]])
    grid = F.affine_grid(theta.expand(2, 2, 3), [2, 3, 8, 10], align_corners=False)
    torch.testing.assert_close(transformer(theta)(x), F.grid_sample(x, grid, align_corners=False), atol=1e-5, rtol=1e-4)


def test_a_shift_and_a_mirror_by_hand() -> None:
    x = torch.randn(1, 3, 8, 10)
    shifted = transformer(torch.tensor([[1.0, 0, 2 * 3 / 10], [0, 1, 0]]))(x)  # three columns; the map is 2 wide
    expected = F.pad(x[..., 3:], (0, 3))
    torch.testing.assert_close(shifted, expected, atol=1e-5, rtol=1e-4)
    mirrored = transformer(torch.tensor([[-1.0, 0, 0], [0, 1, 0]]))(x)
    torch.testing.assert_close(mirrored, x.flip(3), atol=1e-5, rtol=1e-4)


def test_each_image_has_its_own_transform_and_it_can_be_learned() -> None:
    """A blob at any of several places is brought to the middle: the loss falls to a tenth."""
    torch.manual_seed(0)
    block = SpatialTransformer((1, 16, 16), reduction=1)
    x = torch.zeros(8, 1, 16, 16)
    for image, (row, column) in enumerate(torch.randint(2, 12, (8, 2)).tolist()):
        x[image, :, row : row + 3, column : column + 3] = 1
    target = torch.zeros(1, 1, 16, 16)
    target[..., 6:9, 6:9] = 1
    smooth = nn.AvgPool2d(7, 1, 3)  # a blob that is a little off has a gradient towards the target
    optimizer = torch.optim.Adam(block.parameters(), 3e-3)
    losses = []
    for _ in range(300):
        loss = (smooth(block(x)) - smooth(target)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


def test_samples_are_placed_exactly_in_half_precision() -> None:
    """In bfloat16 a grid would be off by a quarter of a position at the far end of 56."""
    theta = torch.tensor([[1.0, 0, 2 * 3 / 64], [0, 1, 0]])
    x = torch.randn(1, 3, 8, 64)
    expected = F.pad(x[..., 3:], (0, 3))
    block = transformer(theta, (3, 8, 64))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(block(x), expected, atol=0.02, rtol=0.02)
