"""Augmentation for photos: drawn for each image alone, within its bounds, the same again from the same state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.config.recipe import Augment, Recipe
from nas.config.task import Task
from nas.data import Batches, Dataset, Split
from nas.data.photo_augment import apply_policy, erase, random_resized_crop
from nas.errors import RecipeError
from nas.train.mixup import cutmix, mixed


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_a_crop_shows_a_rectangle_of_the_image_at_its_own_size() -> None:
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    x = torch.stack([rows, columns]).expand(200, 2, 32, 32)
    out = random_resized_crop(x, 0.25, _generator())
    assert out.shape == x.shape
    tall = (out[:, 0, -1, 0] - out[:, 0, 0, 0] + 1) / 32
    wide = (out[:, 1, 0, -1] - out[:, 1, 0, 0] + 1) / 32
    assert len({round(float(area), 4) for area in tall * wide}) > 150
    assert (tall * wide).min() > 0.2
    assert (tall * wide).min() < 0.4
    assert (tall * wide).max() > 0.9
    assert (wide / tall).min() > 0.7
    assert (wide / tall).max() < 1.43
    assert out.min() >= 0
    assert out.max() <= 31
    # neither stretched unevenly nor turned: along a row the columns rise by the same step
    steps = out[:, 1].diff(dim=2)
    inner = steps[:, :, 1:-1]
    assert torch.allclose(inner, inner[:, :1, :1].expand_as(inner), atol=1e-3)
    assert torch.allclose(random_resized_crop(x, 1.0, _generator()).mean(), x.mean(), atol=1.0)


def test_a_part_of_the_images_loses_a_rectangle() -> None:
    x = torch.ones(400, 3, 32, 32)
    out = erase(x.clone(), 0.5, _generator())
    share = (out == 0).float().mean((1, 2, 3))
    assert 0.4 < (share > 0).float().mean() < 0.6
    assert share.max() < 0.36
    assert share[share > 0].min() > 0.005
    for image, lost in zip(out, share, strict=True):
        if lost:
            hole = image[0] == 0
            assert hole.any(1).sum() * hole.any(0).sum() == hole.sum()  # a rectangle


@pytest.mark.parametrize("policy", ["rand_augment", "trivial_augment"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_list_of_changes_is_drawn_from_its_seed_alone(policy: str, channels: int) -> None:
    x = torch.randint(0, 256, (64, channels, 16, 16), dtype=torch.uint8, generator=_generator())
    torch.manual_seed(1)
    before = torch.get_rng_state()
    out = apply_policy(x, policy, 7, [120.0] * channels)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)
    assert (out.shape, out.dtype) == (x.shape, torch.uint8)
    assert torch.equal(out, apply_policy(x, policy, 7, [120.0] * channels))  # type: ignore[arg-type]
    assert not torch.equal(out, x)
    assert not torch.equal(out, apply_policy(x, policy, 8, [120.0] * channels))  # type: ignore[arg-type]


def test_batches_go_on_with_the_same_changes() -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (40, 3, 12, 12), dtype=np.uint8), np.arange(40))
    data = Dataset(Task("digits"), split, split, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    augment = Augment(crop_scale=0.4, policy="trivial_augment", erase=0.5)
    batches = Batches(split, data, 16, augment=augment, shuffle=True, seed=3)

    def seen() -> Tensor:
        return torch.cat([x for x, _ in batches])

    state = batches.state_dict()
    first, second = seen(), seen()
    assert first.isfinite().all()
    assert not torch.equal(first, second)
    batches.load_state_dict(state)
    assert torch.equal(seen(), first)


def test_images_are_mixed_in_rectangles_and_so_are_their_labels() -> None:
    torch.manual_seed(0)
    y = torch.arange(6)
    x = y[:, None, None, None].float().expand(6, 3, 20, 20)
    sides = set()
    for _ in range(30):
        out, targets = cutmix(x, y, 1.0)
        assert targets.other is not None
        own = (out == x).all(1)
        assert ((out == x) | (out == targets.other[:, None, None, None].float())).all()
        moved = targets.other != y
        assert own[moved].float().mean().item() == pytest.approx(
            targets.share if moved.any() else float("nan"), nan_ok=True
        )
        sides.add(round(targets.share, 3))
    assert len(sides) > 15


def test_two_ways_of_mixing_take_turns() -> None:
    torch.manual_seed(0)
    y = torch.arange(8)
    x = y[:, None, None, None].float().expand(8, 1, 16, 16)
    recipe = Recipe(mixup=1.0, cutmix=1.0)
    batches = [mixed(x, y, recipe)[0] for _ in range(40)]
    assert 8 < sum(bool((batch == batch.round()).all()) for batch in batches) < 32  # rectangles keep whole numbers
    assert recipe.mixes
    assert Recipe(cutmix=1.0).mixes
    assert not Recipe(cutmix=1.0, mixup_epochs=9, epochs=8).mixes


def test_recipes_of_older_studies_stay_what_they_are() -> None:
    """What a recipe is written as is in the keys of results: a field that is off is not there."""
    plain = Recipe().to_dict()
    assert "cutmix" not in plain
    assert set(plain["augment"]) == {"crop_padding", "padding_mode", "flip", "cutout", "color_jitter"}
    full = Recipe(cutmix=0.5, augment=Augment(crop_scale=0.3, policy="rand_augment", erase=0.1))
    assert Recipe.from_dict(full.to_dict()) == full
    assert Recipe.from_dict(plain) == Recipe()


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ({"crop_scale": 0.0}, "crop_scale: must be above 0 and at most 1, not 0"),
        ({"policy": "randaugment"}, "did you mean 'rand_augment'"),
        ({"erase": 2.0}, "erase: must be from 0 to 1, not 2"),
    ],
)
def test_a_wrong_value_is_one_line(augment: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.from_dict({"augment": augment})
