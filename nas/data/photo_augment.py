"""Augmentation that large photos gain by, on a batch where it lies: crops of any size, lists of changes, erased rectangles.

What is drawn for each image alone is done for the batch at once. Lists of changes are torchvision's, which draws one change for
all that it is given: a batch is handed over in parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

RATIO: Final = 3 / 4, 4 / 3
"""Width by height of a crop, before it becomes square again; torchvision's."""
ERASED: Final = (0.02, 0.33), (0.3, 3.3)
"""Share of an image that is erased, and height by width of the rectangle; torchvision's."""
PARTS: Final = 8
"""Parts of a batch with a change of its own each."""


def random_resized_crop(x: Tensor, least: float, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, W) in float, of each a rectangle of `least` to all of its area, at the size of the image.

    The area is drawn evenly, the logarithm of its shape too; a rectangle that is too long for the image becomes as long as it.
    """
    batch, device = len(x), x.device

    def drawn() -> Tensor:
        return torch.rand(batch, generator=generator, device=device)

    area = least + (1 - least) * drawn()
    low, high = map(math.log, RATIO)
    shape = torch.exp(
        low + (high - low) * drawn()
    )  # of the map's coordinates: an image that is not square keeps its own
    width, height = (area * shape).sqrt().clamp_(max=1), (area / shape).sqrt().clamp_(max=1)
    theta = torch.zeros(batch, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * (2 * drawn() - 1), (1 - height) * (2 * drawn() - 1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def erase(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Normalized images (B, C, H, W), some with a rectangle of 0, the mean colour."""
    batch, _, height, width = x.shape

    def drawn() -> Tensor:
        return torch.rand(batch, 1, generator=generator, device=x.device)

    (least, most), shapes = ERASED
    area = (least + (most - least) * drawn()) * height * width
    low, high = map(math.log, shapes)
    shape = torch.exp(low + (high - low) * drawn())
    tall, wide = (area * shape).sqrt().clamp_(max=height), (area / shape).sqrt().clamp_(max=width)
    top, left = drawn() * (height - tall), drawn() * (width - wide)
    rows, columns = (torch.arange(extent, device=x.device) + 0.5 for extent in (height, width))
    hole = ((rows >= top) & (rows < top + tall))[:, None, :, None] & ((columns >= left) & (columns < left + wide))[
        :, None, None
    ]
    return x.masked_fill_(hole & (drawn() < probability)[:, :, None, None], 0.0)


def apply_policy(
    x: Tensor, policy: Literal["rand_augment", "trivial_augment"], seed: int, fill: Sequence[float]
) -> Tensor:
    """Bytes (B, C, H, W), of each eighth of the batch the same change, drawn from `seed`; `fill` shows where nothing is.

    The images of a part lie in the batch in any order, so that which ones change alike is another in every pass.
    """
    change = _policy(policy, tuple(round(value) for value in fill))
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the generator of the CPU, whatever the device is
        torch.manual_seed(seed)
        return torch.cat([change(part) for part in x.chunk(PARTS)])


@cache
def _policy(policy: str, fill: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    from torchvision.transforms import v2  # it takes a second to import

    kind = {"rand_augment": v2.RandAugment, "trivial_augment": v2.TrivialAugmentWide}[policy]
    made: Callable[[Tensor], Tensor] = kind(interpolation=v2.InterpolationMode.BILINEAR, fill=list(fill))
    return made
