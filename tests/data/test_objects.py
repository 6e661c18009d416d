"""Images handed over from Python, as libraries have them: the same images are the same data set, however they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset

from nas.data import Task, load, load_test, source
from nas.data.objects import hand_over
from nas.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
Y = np.arange(40) % 2


class Pairs(Dataset[Any]):
    """(image, label, index), with the names of its classes as torchvision has them."""

    classes = ["cat", "dog"]

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, place: int) -> tuple[Any, Any, int]:
        return self.x[place], self.y[place], place


class ClassLabel:
    names = ["cat", "dog"]


class Rows(list):  # type: ignore[type-arg]
    """What Hugging Face's `datasets` gives: rows by name, and what the columns are."""

    features = {"image": object(), "label": ClassLabel()}


def _pictures(x: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(image.transpose(1, 2, 0)) for image in x]


def test_the_same_images_are_the_same_data_however_they_come(tmp_path: Path) -> None:
    pictures = _pictures(X)
    frame = pd.DataFrame(
        {"path": [str(tmp_path / f"{place}.png") for place in range(40)], "label": ["cat", "dog"] * 20}
    )
    for path, picture in zip(frame["path"], pictures, strict=True):
        picture.save(path)
    ways: list[object] = [
        (X, Y),
        (X.transpose(0, 2, 3, 1), list(Y)),
        (torch.from_numpy(X).float() / 255, torch.from_numpy(Y)),
        (pictures, Y),
        TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
        Pairs(pictures, [int(label) for label in Y]),
        Subset(Pairs(X, Y), range(40)),
        Rows({"image": picture, "label": int(label)} for picture, label in zip(pictures, Y, strict=True)),
        (X, np.array(["cat", "dog"])[Y]),
        frame,
        {"train": (X, Y)},
    ]
    fingerprints = set()
    for way in ways:
        task = Task(hand_over(way), validation=0.25)
        data = load(task)
        assert source(task).type.name == "classification"
        assert (len(data.train), len(data.validation), len(load_test(task))) == (24, 8, 8)
        assert data.class_names in {("cat", "dog"), ("0", "1")}
        fingerprints.add(data.fingerprint)
    assert len(fingerprints) == 1
    assert hand_over(ways[0]) == hand_over((X.copy(), Y.copy()))
    assert hand_over(ways[0]) != hand_over((X, 1 - Y))


def test_parts_are_the_users() -> None:
    parts = {"train": (X[:20], Y[:20]), "val": (X[20:30], Y[20:30]), "test": (X[30:], Y[30:])}
    task = Task(hand_over(parts), validation=None)
    data = load(task)
    assert (data.train.x == X[:20]).all()
    assert (data.validation.x == X[20:30]).all()
    assert (load_test(data.task).x == X[30:]).all()
    assert source(task).count_test(task) == (5, 5)
    with pytest.raises(DataError, match="data: parts are called train, val and test, not 'tset'; did you mean 'test'"):
        hand_over({"train": (X, Y), "tset": (X, Y)})


def test_images_of_several_sizes_become_squares_that_are_not_squashed() -> None:
    wide = [Image.new("RGB", (20 + place % 3, 10), "black") for place in range(20)]
    for picture in wide:
        picture.paste((255, 255, 255), (0, 0, 5, 10))
    with pytest.raises(DataError, match=r"image 1 has 21×10 pixels, but the first 20×10 and 12 more .* image_size"):
        hand_over((wide, Y[:20]))
    data = load(Task(hand_over((wide, Y[:20]), 10), image_size=10))
    assert data.input == (3, 10, 10)
    assert (data.train.x == 0).all()  # what was white was cut off
    array = np.zeros((20, 10, 30), dtype=np.uint8)
    array[:, :, :10] = 255
    data = load(Task(hand_over((array, Y[:20])), image_size=5))
    assert data.input == (1, 5, 5)
    assert (data.train.x == 0).all()


def test_several_labels_an_image() -> None:
    hot = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1], [1, 1, 0]] * 10)
    lists = Pairs(X, [np.flatnonzero(row).tolist() for row in hot])
    rows = Pairs(X, hot)
    lists.classes = rows.classes = ["a", "b", "c"]
    for way in ((X, hot), (X, torch.from_numpy(hot)), lists, rows):
        task = Task(hand_over(way), validation=0.25)
        assert source(task).type.name == "multi-label classification"
        data = load(task)
        assert sorted(map(tuple, np.concatenate([data.train.y, data.validation.y, load_test(task).y]))) == sorted(
            map(tuple, hot)
        )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "data: must be the name of a data set, .*, not a int"),
        (([1], [2]), r"data: images: must have the shape .*, not \(1,\)"),
        ((X, Y[:3]), "data: 40 images, but 3 labels"),
        ((X.astype(np.float32) / 128 - 1, Y), "floats from 0 to 1, not float32 from -1 to 0.992; hand over images before they are"),
        ((X, Y + 0.5), "labels must be whole numbers or names of classes, not fractions"),
        ((X, Y - 1), "label -1 is out of range"),
        ((X, Y * 0), "1 class; a classifier needs at least two"),
        (TensorDataset(torch.from_numpy(X)), r"data\[0\] is a tuple; it must be \(image, label\)|image 0: "),
        (Rows([{"picture": 1, "lable": 2}]), "data: no column is a label: label or labels"),
        ({"train": (X, Y), "test": (X, Y + 1)}, "data, test: label 2 is out of range; there are 2 classes"),
        (pd.DataFrame({"path": ["a.png"], "label": ["x"]}), "data: DataFrame: row 0: .*a.png: no such file"),
        (pd.DataFrame({"file": ["a.png"], "label": ["x"]}), "data: DataFrame: no column 'path'; there are file, label"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_one_line(data: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as problem:
        hand_over(data)
    assert len(str(problem.value).splitlines()) == 1


def test_items_that_raise_are_faults_or_skipped() -> None:
    class Broken(Pairs):
        def __getitem__(self, place: int) -> tuple[Any, Any, int]:
            if place in (3, 4):
                raise OSError("no\nsuch blob")
            return super().__getitem__(place)

    with pytest.raises(DataError, match=r"data: image 3: OSError: no such blob; and 1 more of 40"):
        hand_over(Broken(X, Y))
    data = load(Task(hand_over(Broken(X, Y), skip_bad=True), skip_bad=True))
    assert len(data.left_out) == 2


def test_images_of_another_process_are_asked_for_in_words() -> None:
    with pytest.raises(
        DataError, match="data 'memory:0123': images that were handed over from Python, .* hand the same ones"
    ):
        load(Task("memory:0123"))


def test_files_of_an_image_folder_of_torchvision_are_read_by_nas(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for place, picture in enumerate(_pictures(X[:10, :, :4])):
            picture.save(tmp_path / name / f"{place}.png", exif=exif)
    assert load(Task(hand_over(ImageFolder(str(tmp_path))))).input == (3, 8, 4)  # upright
    changed = ImageFolder(str(tmp_path), transform=lambda picture: picture.resize((6, 6)))
    assert load(Task(hand_over(changed))).input == (3, 6, 6)
