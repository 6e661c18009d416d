from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.config.recipe import Augment
from nas.data import Batches, Dataset, Split, Task, load, load_test
from nas.data.task import Told, make_dataset
from nas.errors import DataError


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(Task("digits"))


def test_digits_are_16_pixels_wide_and_split_class_by_class(digits: Dataset) -> None:
    assert digits.input == (1, 16, 16)
    assert digits.classes == 10
    counts = np.bincount(digits.validation.y)
    assert counts.min() >= 14
    assert counts.max() <= 15
    assert len(digits.train) + len(digits.validation) + len(load_test(digits.task)) == 1797


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    from nas.data.sources import DATASETS

    x, y, names = DATASETS["digits"].read(Task("digits"), False, None)
    data = load_digits()
    training = np.ones(len(data.target), dtype=bool)
    for label in range(10):
        training[np.flatnonzero(data.target == label)[::5]] = False
    assert (x[:, 0] == np.round(data.images[training] * (255 / 16))).all()
    assert (y == data.target[training]).all()
    assert names == tuple("0123456789")


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    same, other = load(Task("digits")), load(Task("digits", seed=1))
    assert same.fingerprint == load(Task("digits")).fingerprint
    assert same.fingerprint != other.fingerprint


def test_labels_out_of_range_are_refused() -> None:
    x = np.zeros((6, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(DataError, match="label 3 is out of range; there are 2 classes"):
        make_dataset(Task("digits"), x, np.array([0, 0, 1, 1, 3, 3]), ("a", "b"))
    with pytest.raises(DataError, match="6 images, but 5 labels"):
        make_dataset(Task("digits"), x, np.array([0, 0, 1, 1, 1]), ("a", "b"))


def test_an_unknown_or_absent_data_set_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no data set 'digit'; known: .*did you mean 'digits'"):
        load(Task("digit"))
    with pytest.raises(DataError, match="no such folder; it must hold train/<class>"):
        load(Task(f"imagefolder:{tmp_path / 'absent'}"))
    import torchvision.datasets.utils

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", offline)
    for name in ("cifar10", "cifar100", "fashion_mnist"):
        with pytest.raises(DataError, match=rf"{name}: not found in .*--data-root, or use --data imagefolder:PATH"):
            load(Task(name, root=str(tmp_path)))


def test_a_broken_download_is_named(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_bytes(b"half a file")
    with pytest.raises(DataError, match=r"fashion_mnist: the files in .* cannot be read .*; remove them"):
        load(Task("fashion_mnist", root=str(tmp_path)))


def _plain(channels: int) -> Dataset:
    """A data set whose normalization only divides by 255."""
    split = Split(np.zeros((2, channels, 6, 6), dtype=np.uint8), np.zeros(2, dtype=np.int64))
    return Dataset(Task("digits"), split, split, ("a", "b"), (0.0,) * channels, (1.0,) * channels)


def test_batches_cover_every_image_once_in_a_new_order(digits: Dataset) -> None:
    marked = Split(np.arange(300, dtype=np.uint8)[:, None, None, None].repeat(2, 2).repeat(2, 3), np.arange(300))
    batches = Batches(marked, digits, 64, shuffle=True, seed=4)
    first = torch.cat([y for _, y in batches])
    second = torch.cat([y for _, y in batches])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(300))
    assert first.tolist() != second.tolist()
    again = Batches(marked, digits, 64, shuffle=True, seed=4)
    assert torch.cat([y for _, y in again]).tolist() == first.tolist()


def test_a_last_batch_of_one_image_joins_the_one_before(digits: Dataset) -> None:
    split = Split(digits.train.x[:129], digits.train.y[:129])
    assert [len(y) for _, y in Batches(split, digits, 64)] == [64, 65]
    split = Split(digits.train.x[:130], digits.train.y[:130])
    assert [len(y) for _, y in Batches(split, digits, 64)] == [64, 64, 2]


def test_images_are_normalized_by_the_training_part(digits: Dataset) -> None:
    x = torch.cat([x for x, _ in Batches(digits.train, digits, 256)])
    assert x.mean().item() == pytest.approx(0, abs=1e-3)
    assert x.std().item() == pytest.approx(1, abs=1e-2)


def test_augmentation_draws_for_every_image_alone(digits: Dataset) -> None:
    image = np.zeros((1, 1, 8, 8), dtype=np.uint8)
    image[0, 0, 2, 1] = 255
    split = Split(image.repeat(400, 0), np.zeros(400, dtype=np.int64))
    batches = Batches(split, digits, 400, augment=Augment(crop_padding=1, flip=True), seed=1)
    x, _ = next(iter(batches))
    places = {tuple(map(int, torch.nonzero(one[0] == one.max())[0])) for one in x if one.max() > one.min()}
    # one pixel up or down, and left or right, of column 1 and of its mirror image, column 6
    assert places == {(row, column) for row in (1, 2, 3) for column in (0, 1, 2, 5, 6, 7)}


def test_reflected_padding_shows_the_image_mirrored_at_its_border(digits: Dataset) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 3, 6, 6), dtype=np.uint8)
    split = Split(image.repeat(300, 0), np.zeros(300, dtype=np.int64))
    for padding in (2, 5, 9):  # the last is wider than the image
        augment = Augment(crop_padding=padding, flip=False, padding_mode="reflect")
        batches = Batches(split, _plain(3), 300, augment=augment)
        x = (next(iter(batches))[0] * 255).round().to(torch.uint8)
        wide = np.pad(image[0], ((0, 0), (padding, padding), (padding, padding)), mode="reflect")
        crops = {
            wide[:, r : r + 6, c : c + 6].tobytes() for r in range(2 * padding + 1) for c in range(2 * padding + 1)
        }
        assert {one.numpy().tobytes() for one in x} <= crops
        assert len({one.numpy().tobytes() for one in x}) > 20


def test_colour_jitter_is_torchvisions(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.transforms import functional

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (4, 3, 6, 6), dtype=np.uint8), np.zeros(4, dtype=np.int64))
    factors = iter((1.3, 0.6, 1.4))  # brightness, contrast, saturation
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape[:4], next(factors) - 0.5))
    batches = Batches(split, _plain(3), 4, augment=Augment(crop_padding=0, flip=False, color_jitter=0.5))
    x, _ = next(iter(batches))
    expected = torch.from_numpy(split.x).float() / 255
    expected = functional.adjust_brightness(expected, 1.3)
    expected = functional.adjust_contrast(expected, 0.6)
    expected = functional.adjust_saturation(expected, 1.4)
    torch.testing.assert_close(x, expected, atol=1e-5, rtol=0)


def test_colour_jitter_draws_for_every_image_alone(digits: Dataset) -> None:
    image = np.random.default_rng(0).integers(60, 120, (1, 3, 6, 6), dtype=np.uint8)
    split = Split(image.repeat(50, 0), np.zeros(50, dtype=np.int64))
    batches = Batches(split, _plain(3), 50, augment=Augment(crop_padding=0, flip=False, color_jitter=0.3))
    x, _ = next(iter(batches))
    assert len(x.mean((1, 2, 3)).unique()) == 50
    assert x.min() >= 0
    assert x.max() <= 1


def test_read_only_images_are_used_without_a_copy(digits: Dataset, recwarn: pytest.WarningsRecorder) -> None:
    x, y = digits.train.x.copy(), digits.train.y.copy()
    x.flags.writeable = False
    y.flags.writeable = False
    # What an object store hands out: the owner itself cannot be made writable again.
    x, y = np.frombuffer(x.tobytes(), np.uint8).reshape(x.shape), np.frombuffer(y.tobytes(), np.int64)
    split = Split(x, y)
    first, _ = next(iter(Batches(split, digits, 64, augment=Augment(color_jitter=0.2, cutout=3))))
    assert not recwarn.list
    assert not x.flags.writeable
    assert len(first) == 64
    assert Batches(split, digits, 64)._x.data_ptr() == x.ctypes.data


def test_cutout_sets_a_square_to_the_mean_colour(digits: Dataset) -> None:
    split = Split(np.full((50, 1, 8, 8), 255, dtype=np.uint8), np.zeros(50, dtype=np.int64))
    x, _ = next(iter(Batches(split, digits, 50, augment=Augment(crop_padding=0, flip=False, cutout=4))))
    holes = (x == 0).sum((1, 2, 3))
    assert holes.max() == 16
    assert holes.min() >= 4  # a square at the border is cut off


def test_images_that_do_not_fit_are_sent_batch_by_batch(digits: Dataset) -> None:
    resident = Batches(digits.train, digits, 64, augment=Augment(), shuffle=True, seed=2, resident=True)
    streamed = Batches(digits.train, digits, 64, augment=Augment(), shuffle=True, seed=2, resident=False)
    for (a, y_a), (b, y_b) in zip(resident, streamed, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(y_a, y_b)


def test_making_large_images_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.sources.LARGE_BYTES", 1797 * 24 * 24 // 2)
    said: list[str] = []
    load(Task("digits", image_size=24), Told(said.append))
    assert len(said) == 1
    assert re.fullmatch(r"resizing 1,\d{3} images to 24×24 pixels: 0.0 GB in memory", said[0])
    said.clear()
    load(Task("digits", image_size=12), Told(said.append))
    assert said == []
