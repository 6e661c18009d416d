"""Images that have no room in memory: every one once a pass, in an order that the seed gives, from a window of bounded size."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.config.recipe import Augment, Recipe
from nas.data import Batches, Dataset, Split, Task, load, reading
from nas.data.stored import StoredImages
from nas.data.stream import half_window
from nas.errors import DataError
from nas.train import Trainer, seed_everything

SIZE = 40
BLOCK = 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 training images of three classes, all different."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, number in (("train", 160), ("test", 2)):
        for label in range(3):
            folder = root / part / f"class{label}"
            folder.mkdir(parents=True)
            for place in range(number):
                pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((SIZE, SIZE)).save(folder / f"{place}.png")
    return root


@pytest.fixture(scope="module")
def sets(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Dataset]]:
    """The same images in memory, read in blocks, and decoded when they are wanted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(reading, "FEW", 10)
        patch.setattr("nas.data.image_cache.READ_BYTES", BLOCK * 3 * SIZE * SIZE)
        patch.setattr("nas.data.image_cache.cores", lambda: 1)
        task = Task(f"imagefolder:{root}")
        yield {
            "memory": load(replace(task, cached=False)),
            "blocks": load(replace(task, memory=1 << 20)),
            "decoded": load(replace(task, memory=1 << 20, cached=False)),
        }


def _stored(data: Dataset) -> StoredImages:
    assert isinstance(data.train.x, StoredImages)
    return data.train.x


def _contents(data: Dataset) -> list[tuple[bytes, int]]:
    batches = Batches(data.train, data, 32, shuffle=True, seed=1)
    return sorted((image.numpy().tobytes(), int(label)) for x, y in batches for image, label in zip(x, y, strict=True))


def test_every_image_is_given_once_with_its_label(sets: dict[str, Dataset]) -> None:
    assert all(_stored(sets[name]).streamed for name in ("blocks", "decoded"))
    found = {name: _contents(data) for name, data in sets.items()}
    assert len(set(found["memory"])) == 432
    assert found["memory"] == found["blocks"] == found["decoded"]


def test_statistics_fingerprint_and_evaluation_are_those_of_images_in_memory(sets: dict[str, Dataset]) -> None:
    plain = sets["memory"]
    for name in ("blocks", "decoded"):
        data = sets[name]
        assert (data.mean, data.std, data.fingerprint) == (plain.mean, plain.std, plain.fingerprint)
        ours, theirs = (torch.cat([x for x, _ in Batches(one.train, one, 50)]) for one in (data, plain))
        assert torch.equal(ours, theirs)


def test_the_same_seed_gives_the_same_order_and_a_pass_goes_on_where_it_was(sets: dict[str, Dataset]) -> None:
    for name in ("blocks", "decoded"):
        data = sets[name]

        def batches(seed: int, data: Dataset = data) -> Batches:
            return Batches(data.train, data, 32, augment=Augment(crop_padding=2), shuffle=True, seed=seed)

        first, again, other = batches(3), batches(3), batches(4)
        passes = [torch.cat([x for x, _ in one]) for one in (first, again, other, first)]
        assert torch.equal(passes[0], passes[1])
        assert not torch.equal(passes[0], passes[2])
        assert not torch.equal(passes[0], passes[3])
        interrupted = iter(again)
        for _ in range(5):
            next(interrupted)
        state = again.state_dict()
        rest = torch.cat([x for x, _ in interrupted])
        resumed = batches(0)
        resumed.load_state_dict(state)
        assert torch.equal(torch.cat([x for x, _ in resumed]), rest)


def test_images_are_shuffled_over_all_classes_though_files_lie_class_by_class(sets: dict[str, Dataset]) -> None:
    data = sets["blocks"]
    for seed in range(3):
        for _, y in itertools.islice(Batches(data.train, data, 48, shuffle=True, seed=seed), 8):
            assert len(y.unique()) == 3


def test_no_more_than_the_window_is_held(sets: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    held: set[int] = set()
    most = 0
    images = _stored(sets["blocks"])
    source = images.sources[0]
    read = type(source).read

    def noted(self: object, rows: np.ndarray, out: np.ndarray) -> None:  # type: ignore[type-arg]
        nonlocal most
        base = out
        while isinstance(base.base, np.ndarray):
            base = base.base
        held.add(len(base))
        most = max(most, base.nbytes)
        read(self, rows, out)

    monkeypatch.setattr(type(source), "read", noted)
    assert len(_contents(sets["blocks"])) == 432
    assert 0 < most <= (1 << 20) // 2
    assert half_window(images) % BLOCK == 0
    assert held >= {half_window(images)}


def test_classes_are_drawn_alike_from_blocks_too(sets: dict[str, Dataset]) -> None:
    data = sets["blocks"]
    few = np.concatenate([np.arange(0, 20), np.arange(144, len(data.train))])
    split = Split(_stored(data).select(few), data.train.y[few])
    batches = Batches(split, data, 32, shuffle=True, balanced=True, seed=0)
    drawn = torch.cat([y for _ in range(4) for _, y in batches])
    assert torch.bincount(drawn).min() > 0.27 * len(drawn)


def test_a_pass_that_is_given_up_leaves_no_thread(sets: dict[str, Dataset]) -> None:
    before = threading.active_count()
    coming = iter(Batches(sets["blocks"].train, sets["blocks"], 32, shuffle=True))
    next(coming)
    assert threading.active_count() > before
    del coming
    gc.collect()
    assert threading.active_count() == before


def test_a_file_that_goes_during_a_training_is_told(sets: dict[str, Dataset], root: Path) -> None:
    path = root / "train" / "class1" / "5.png"
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(DataError, match=r"class1/5.png: no such file"):
            list(Batches(sets["decoded"].train, sets["decoded"], 32, shuffle=True))
    finally:
        path.write_bytes(content)


def test_a_training_from_blocks_learns_and_is_the_same_twice(sets: dict[str, Dataset]) -> None:
    losses = []
    for _ in range(2):
        seed_everything(0)
        model = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(800, 3)
        )
        recipe = Recipe(epochs=2, batch_size=32, lr=0.003, norm_images=64, augment=Augment(crop_padding=0, flip=False))
        trainer = Trainer(model, sets["blocks"], recipe)
        losses.append([trainer.step().train_loss for _ in range(2)] + [trainer.epochs[-1].loss])
    assert losses[0] == losses[1]
    assert losses[0][1] < losses[0][0]


def test_images_without_room_are_not_refused_any_more(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    monkeypatch.setattr(reading, "free_bytes", lambda: 2_000_000)  # twice 480 images take more
    monkeypatch.setattr("nas.data.image_cache.cores", lambda: 1)
    for cached in (True, False):
        assert isinstance(load(Task(f"imagefolder:{root}", cached=cached)).train.x, StoredImages)
