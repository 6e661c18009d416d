"""The cache of decoded images: the same bytes as without it, whatever happens to it, and nothing that others notice."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.config.recipe import Augment, Recipe
from nas.data import Batches, Dataset, Task, fraction_of, load, load_test, reading
from nas.data.image_cache import BLOCK, entries
from nas.data.stored import StoredImages
from nas.data.task import Told, regrouped
from nas.errors import DataError
from tests.conftest import REPOSITORY, Run

SIZE = 8
IMAGES = 200


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 photos of two classes, with names as people give them."""
    root = tmp_path_factory.mktemp("photos") / "meine Bilder ü"
    rng = np.random.default_rng(0)
    for part, number in (("train", IMAGES), ("test", 20)):
        for label in ("grün", "gelb und rot"):
            folder = root / part / label
            folder.mkdir(parents=True)
            for place in range(number):
                pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{place} ä.jpg", quality=95)
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in which even few images are kept."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reading, "FEW", 10)
    monkeypatch.setattr("nas.data.facts._known", {})
    monkeypatch.setattr("nas.data.image_cache.cores", lambda: 1)
    return tmp_path / "cache" / "images"


class Said(list[str]):
    """What a user has been told."""

    @property
    def told(self) -> Told:
        return Told(self.append)

    def decoded(self) -> bool:
        """Whether images were decoded."""
        return any("are decoded by" in line for line in self)


def task_of(root: Path, **options: object) -> Task:
    return replace(Task(f"imagefolder:{root}", image_size=SIZE), **options)  # type: ignore[arg-type]


def passes(data: Dataset, number: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    augment = Augment(crop_padding=1, flip=True)
    batches = Batches(data.train, data, 32, augment=augment, shuffle=True, seed=3)
    return [batch for _ in range(number) for batch in batches]


def same(ours: list[tuple[torch.Tensor, torch.Tensor]], theirs: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    return len(ours) == len(theirs) and all(
        bool((x == other_x).all() and (y == other_y).all())
        for (x, y), (other_x, other_y) in zip(ours, theirs, strict=True)
    )


def test_a_study_cannot_tell_that_there_is_a_cache(photos: Path, cache: Path) -> None:
    plain = load(task_of(photos, cached=False))
    assert isinstance(plain.train.x, np.ndarray)
    said = Said()
    for _ in range(2):
        stored = load(task_of(photos), said.told)
        assert isinstance(stored.train.x, StoredImages)
        stored = pickle.loads(pickle.dumps(stored))  # as a worker gets it
        assert (stored.fingerprint, stored.mean, stored.std) == (plain.fingerprint, plain.mean, plain.std)
        assert stored.loaded_task.to_dict() == plain.loaded_task.to_dict()
        assert (stored.validation.x[:] == plain.validation.x).all()
        assert same(passes(stored), passes(plain))
    assert [("are decoded by" in line, str(cache) in line) for line in said] == [
        (True, True), (False, False), (False, True)
    ]  # fmt: skip
    assert "(0 MiB)" in said[0]
    again = [fraction_of(regrouped(data, 0.05), 0.5) for data in (plain, stored)]
    assert again[0].fingerprint == again[1].fingerprint
    folds = [load(task_of(photos, validation=0.0, folds=3, cached=cached)).folded()[1] for cached in (False, True)]
    assert folds[0].fingerprint == folds[1].fingerprint
    assert (load_test(task_of(photos)).x[:] == load_test(task_of(photos, cached=False)).x).all()


def test_few_images_are_read_as_ever(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FEW", 5_000)
    assert isinstance(load(task_of(photos)).train.x, np.ndarray)
    assert not cache.exists()


def test_a_training_from_the_cache_ends_as_one_from_memory(photos: Path, cache: Path) -> None:
    from torch import nn

    from nas.train import Trainer, seed_everything

    found = []
    for options in ({"cached": False}, {}):
        seed_everything(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.LazyLinear(2))
        data = load(task_of(photos, **options))
        model(torch.zeros(2, 3, SIZE, SIZE))
        trainer = Trainer(model, data, Recipe(epochs=2, batch_size=32, norm_images=64))
        found.append([replace(trainer.step(), seconds=0.0, images_per_second=0.0) for _ in range(2)])
    assert found[0] == found[1]


@pytest.fixture
def copy(photos: Path, tmp_path: Path) -> Path:
    """Photos that a test may change."""
    return Path(shutil.copytree(photos, tmp_path / "copy", copy_function=shutil.copy2))


def _change(root: Path) -> None:
    Image.new("RGB", (10, 12), "red").save(root / "train" / "grün" / "7 ä.jpg")


def _add(root: Path) -> None:
    Image.new("RGB", (10, 12), "red").save(root / "train" / "grün" / "neu.jpg")


def _delete(root: Path) -> None:
    (root / "train" / "grün" / "7 ä.jpg").unlink()


@pytest.mark.parametrize("change", [_change, _add, _delete])
def test_a_changed_folder_is_noticed_and_the_outdated_cache_goes(
    change: Callable[[Path], None], copy: Path, cache: Path
) -> None:
    load(task_of(copy))
    (before,) = cache.iterdir()
    change(copy)
    said = Said()
    now, plain = load(task_of(copy), said.told), load(task_of(copy, cached=False))
    assert said.decoded()
    assert " of which are there already" in said[0]  # what is as it was is not decoded again
    assert now.fingerprint == plain.fingerprint
    (after,) = cache.iterdir()
    assert after != before


def _shorten(folder: Path) -> None:
    os.truncate(folder / "images.bin", 1000)


def _flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "images.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "images.bin").write_bytes(content)


def _no_header(folder: Path) -> None:
    (folder / "header.json").write_text("{")


def _other_header(folder: Path) -> None:
    header = json.loads((folder / "header.json").read_text())
    (folder / "header.json").write_text(json.dumps({**header, "shape": [3, 1, 1]}))


@pytest.mark.parametrize("damage", [_shorten, _flip_a_byte, _no_header, _other_header])
def test_a_damaged_cache_is_made_again_with_one_line(damage: Callable[[Path], None], photos: Path, cache: Path) -> None:
    plain = load(task_of(photos, cached=False)).fingerprint
    load(task_of(photos))
    damage(next(cache.iterdir()))
    said = Said()
    assert load(task_of(photos), said.told).train.x[:].any()
    assert "is damaged (" in said[0]
    assert said[0].endswith("made again")
    assert said.decoded()
    assert load(task_of(photos, cached=True)).fingerprint == plain


def test_images_that_cannot_be_read_are_told_as_without_a_cache(copy: Path, cache: Path) -> None:
    for name in ("3 ä.jpg", "90 ä.jpg"):
        (copy / "train" / "grün" / name).write_bytes(b"no image")
    messages = []
    for options in ({"cached": False}, {}, {}):  # the second of the cache reads its header
        with pytest.raises(DataError, match="2 of 400 image files cannot be used") as refused:
            load(task_of(copy, **options))
        messages.append(str(refused.value))
    assert len(set(messages)) == 1
    plain, stored = (load(task_of(copy, skip_bad=True, cached=cached)) for cached in (False, True))
    assert plain.left_out == stored.left_out
    assert plain.fingerprint == stored.fingerprint
    Image.new("RGB", (5, 9)).save(copy / "train" / "gelb und rot" / "odd.png")
    for cached in (False, True):
        with pytest.raises(DataError, match=r"odd.png: 5×9 pixels, but .* has 10×12; give one size with --image-size"):
            load(task_of(copy, image_size=None, skip_bad=True, cached=cached))


def test_without_room_images_are_decoded_at_each_start_with_one_line(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    said = Said()
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        data = load(task_of(photos), said.told)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(data.train.x, np.ndarray)
    assert len(said) == 1
    assert "images are not kept decoded" in said[0]
    assert not list(cache.iterdir())

    monkeypatch.setattr("nas.data.image_cache.SPARE_SHARE", 1.0)
    said = Said()
    load(task_of(photos), said.told)
    assert "has no room for 0 MiB" in said[0]

    (cache.parent / "file").write_text("")
    monkeypatch.setenv("NAS_CACHE", str(cache.parent / "file"))
    said = Said()
    assert load(task_of(photos), said.told).fingerprint == data.fingerprint
    assert "cannot be written (Not a directory" in said[0] or "cannot be written (File exists" in said[0]


MAKE = """
import sys
from nas.data import Task, load, reading
from nas.data.task import Told
reading.FEW = 10
data = load(Task(sys.argv[1], image_size=200), Told(lambda text: print(text, flush=True)))
print(data.fingerprint)
"""


def _start(root: Path, cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "NAS_CACHE": str(cache.parent), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", MAKE, f"imagefolder:{root}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.long
def test_what_a_killed_process_has_decoded_is_not_decoded_again_and_two_at_once_agree(
    photos: Path, cache: Path
) -> None:
    first = _start(photos, cache)
    while not (logs := list(cache.glob("*/log"))) or not logs[0].read_text().count("\n"):
        assert first.poll() is None or list(cache.glob("*/header.json"))
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    finished = bool(list(cache.glob("*/header.json")))
    both = [_start(photos, cache) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len({output.splitlines()[-1] for output in outputs}) == 1
    said = "".join(outputs)
    assert said.count("are decoded by") == (0 if finished else 1)
    assert finished or f"{BLOCK} of which are there already" in said or " of which are there already" in said
    (entry,) = entries()
    assert entry.complete
    plain = load(task_of(photos, image_size=200, cached=False)).fingerprint
    assert outputs[0].splitlines()[-1] == plain


def test_a_worker_on_another_machine_makes_its_own(
    copy: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [pickle.dumps(load(task_of(copy))) for _ in range(3)]
    assert all(len(one) < 40_000 for one in sent), "no pixels are sent"
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "there"))
    assert same(passes(pickle.loads(sent[0])), passes(load(task_of(copy, cached=False))))
    assert len(list((tmp_path / "there" / "images").iterdir())) == 1

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be kept decoded on .*; name a folder there with NAS_CACHE"):
        passes(pickle.loads(sent[1]))

    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "later"))
    _delete(copy)
    with pytest.raises(DataError, match=r"image files have changed since they were listed, or are not on"):
        passes(pickle.loads(sent[2]))


def test_nas_cache_lists_and_clears_what_nobody_uses(photos: Path, cache: Path, run: Run) -> None:
    data = load(task_of(photos))
    code, out, _ = run("cache")
    assert code == 0
    assert "400 images of 8×8" in out
    assert "in use" in out
    assert "0 MiB, 0 parts of data sets; in use" in run("cache", "--clear")[1]
    del data
    assert "1 part of data sets" in run("cache", "--clear")[1]
    listed = json.loads(run("cache", "--json")[1])
    assert listed["entries"] == []
    assert not list(cache.iterdir())
