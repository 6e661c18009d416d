"""Where images come from: each data set is one `Source` in `DATASETS`."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

from nas.config.recipe import Augment
from nas.config.task import Task
from nas.data import objects
from nas.data.folder import list_folder
from nas.data.images import check_images
from nas.data.listing import Lister, Listing, reader, test_counter, validation_reader
from nas.data.multi_label import MULTI_LABEL
from nas.data.stored import Pixels, StoredImages
from nas.data.table import columns_of, list_table, parse
from nas.data.task import (
    Dataset,
    Images,
    Part,
    Progress,
    Split,
    check_labels,
    make_dataset,
    one_line,
    tell_of,
    with_validation,
)
from nas.data.task_type import CLASSIFICATION, Labels, TaskType
from nas.errors import DataError, nearest
from nas.plugins.registry import Registry, adder
from nas.text.sanitize import expanded, file_stem

DIGITS_SIZE = 16
CHUNK_BYTES = 1 << 26  # of images as floats while they are resized
LARGE_BYTES = 1 << 28  # of resized images: making them takes a while, so that it is said
NETWORK_TIMEOUT = 30.0  # seconds without an answer; torchvision itself would wait for ever

Loader = Callable[[Task, bool, Progress | None], tuple[Images, Labels, tuple[str, ...]] | Part]
"""Reads the training images (False) or the test images (True) of a data set: bytes (N, C, H, W), labels, class names."""


def _digits(task: Task, test: bool, progress: Progress | None) -> tuple[Images, Labels, tuple[str, ...]]:
    """scikit-learn's 1,797 digits, 8×8 in 17 grey levels. It has no test set; every fifth image of a class is one."""
    # `sklearn.datasets.load_digits` reads the same file, after a second of imports.
    file = Path(str(distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
    with gzip.open(file) as lines:
        data = np.loadtxt(lines, delimiter=",")  # 64 grey levels and the label
    x = np.clip(data[:, :64] * (255 / 16), 0, 255).round().astype(np.uint8).reshape(-1, 1, 8, 8)
    y = data[:, 64].astype(np.int64)
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(y == label)[::5]] = True
    return x[is_test == test], y[is_test == test], tuple(str(digit) for digit in range(10))


def _torchvision(name: str) -> Loader:
    def read(task: Task, test: bool, progress: Progress | None) -> tuple[Images, Labels, tuple[str, ...]]:
        from torchvision import datasets

        kind: Any = getattr(datasets, name)
        root = default_root(task)
        try:
            data = kind(root, train=not test, download=False)
        except RuntimeError:  # that it is not there
            data = _download(task, kind, root, test)
        except Exception as problem:  # whatever a broken file makes of torchvision's readers
            raise DataError(
                f"{task.dataset}: the files in {root} cannot be read ({one_line(problem)}); remove them, and they are "
                "downloaded anew"
            ) from None
        x = np.asarray(data.data, dtype=np.uint8)
        x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(x), np.asarray(data.targets, dtype=np.int64), tuple(data.classes)

    return read


def _download(task: Task, kind: Any, root: Path, test: bool) -> Any:
    try:
        with _timeout(NETWORK_TIMEOUT):
            return kind(root, train=not test, download=True)
    except Exception as problem:  # anything that a network, a mirror or a disk can do
        raise DataError(
            f"{task.dataset}: not found in {root}, and the download failed ({one_line(problem)}); put torchvision's "
            "files there, name their folder with --data-root, or use --data imagefolder:PATH"
        ) from None


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def folder_of(task: Task) -> str:
    """What stands behind the colon in the name of a data set, such as a folder."""
    return task.dataset.partition(":")[2]


def _folder(task: Task) -> Listing:
    return list_folder(expanded(folder_of(task)))


def _table(task: Task) -> Listing:
    return list_table(folder_of(task), skip_bad=task.skip_bad)


def _type_of_table(task: Task) -> TaskType:
    return MULTI_LABEL if columns_of(folder_of(task))[1].is_multi_label else CLASSIFICATION


def photographic(size: int) -> Augment:
    """Augmentation for photos of `size` pixels: shifted by an eighth, mirrored, in other light, a quarter of the side covered.

    ResNet-8 on 1,000 photos of four classes, 4,000 steps: 76.8 % of the test images; shifted and mirrored alone 71.0 %, with
    99.2 % of the training images learned by heart.
    """
    return Augment(
        crop_padding=min(64, max(1, size // 8)),
        padding_mode="reflect",
        flip=True,
        cutout=min(512, max(1, size // 4)),
        color_jitter=0.3,
    )


def _shifted(size: int) -> Augment:
    """For digits: a mirrored one is another sign."""
    return Augment(crop_padding=max(1, size // 16), flip=False)


@dataclass(frozen=True)
class Source:
    """A data set: how it is read, and which augmentation leaves its classes what they are."""

    read: Loader
    augment: Callable[[int], Augment] = photographic
    """Makes the augmentation from the side of an image in pixels."""
    recipe: str = "modern"
    """The recipe by which it is trained unless a user names one: see `nas.config.recipe_presets`."""
    read_validation: Callable[[Task, Progress | None], Part | None] = lambda *_: None
    """The images to measure on, where a user chose them; None: they are drawn from the training images."""
    count_test: Callable[[Task], tuple[int, ...] | None] = lambda task: None
    """Test images of each class, where a user chose them; None: they have the shares of the training images."""
    place: str = ""
    """What a user writes behind the name and a colon, such as ``PATH``; empty where the name says all."""
    size: int | None = None
    """Side of the square images where the task does not say; None leaves them as they are."""
    remark: Callable[[Task], str | None] = lambda task: None
    """What a user should know of the data before a search, in one line; None: nothing."""
    type: TaskType = CLASSIFICATION
    """What the answers of a network are."""
    type_of: Callable[[Task], TaskType] | None = None
    """The same, where it hangs on what stands behind the colon."""
    short_name: Callable[[Task], str] = lambda task: task.dataset.partition(":")[0]
    """What a study on the data is called by, unless a user names it."""
    list_files: Callable[[Task], Listing | None] = lambda task: None
    """Lists the files, where images lie in files of their own: they can then be looked at before they are read."""
    skips_bad: bool = False
    """Whether images that cannot be read can be left out."""
    is_listed: bool = True
    """Whether users write its name themselves."""


def of_files(list_files: Lister, place: str, type_of: Callable[[Task], TaskType] | None = None) -> Source:
    """A data set of image files that `list_files` lists."""
    return Source(
        reader(list_files),
        read_validation=validation_reader(list_files),
        count_test=test_counter(list_files),
        place=place,
        remark=lambda task: list_files(task).left_out,
        type_of=type_of,
        short_name=lambda task: file_stem(expanded(folder_of(task)).resolve().name),
        list_files=list_files,
        skips_bad=True,
    )


DATASETS: Registry[Source] = Registry("data set", "nas.datasets", DataError)
"""Data sets by name, as far as it stands before a colon."""
DATASETS.add("digits", Source(_digits, _shifted, "fast", size=DIGITS_SIZE))
DATASETS.add("cifar10", Source(_torchvision("CIFAR10")))
DATASETS.add("cifar100", Source(_torchvision("CIFAR100")))
DATASETS.add(
    "fashion_mnist", Source(_torchvision("FashionMNIST"), lambda size: Augment(crop_padding=max(1, size // 14)))
)
DATASETS.add("imagefolder", of_files(_folder, "PATH"))
DATASETS.add(
    "table",
    replace(
        of_files(_table, "FILE", _type_of_table),
        short_name=lambda task: file_stem(parse(folder_of(task))[0].resolve().stem),
    ),
)
DATASETS.add(
    objects.KIND,
    Source(
        objects.read,
        read_validation=objects.read_validation,
        count_test=objects.count_test,
        place="FINGERPRINT",
        type_of=lambda task: objects.held(task).type,
        short_name=lambda task: objects.KIND,
        list_files=objects.listing_of,
        skips_bad=True,
        is_listed=False,
    ),
)


def register_dataset(
    name: str,
    *,
    augment: Callable[[int], Augment] | None = None,
    recipe: str = "modern",
    place: str = "",
    size: int | None = None,
    task_type: TaskType | None = None,
) -> Callable[[Loader], Loader]:
    """Adds a function that reads images as the data set `name`.

    ::

        @nas.register_dataset("noise", recipe="fast")
        def noise(task, test, progress):
            rng = numpy.random.default_rng(int(test))
            x = rng.integers(0, 256, (200, 3, 16, 16), dtype=numpy.uint8)
            return x, numpy.arange(200) % 2, ("even", "odd")

    It is called with a task, whether the test images are wanted, and `progress` (None, or to be told how many images are read, of
    how many), and returns images (N, C, H, W) as bytes, labels from 0 as int64 (N,), or what the type of the task wants, and the
    names of the classes. With `place`, such as ``"PATH"``, users write ``name:PATH``, and `task.dataset` has it. `augment` makes
    from the side of an image in pixels the `nas.Augment` that leaves its classes what they are, by default that of photos;
    `recipe` names the recipe unless a user does; `size` is the side to which images are resized unless a user says another;
    `task_type` says what the answers of a network are, by default classes.
    """

    def made(read: Loader) -> Source:
        return Source(read, augment or photographic, recipe, place=place, size=size, type=task_type or CLASSIFICATION)

    return adder(DATASETS, name, made)


def dataset_names() -> list[str]:
    """Every data set as a user writes it: ``digits``, ``imagefolder:PATH``."""
    return [f"{name}:{one.place}" if one.place else name for name, one in DATASETS.items() if one.is_listed]


def default_root(task: Task) -> Path:
    """The folder of downloaded data sets."""
    return expanded(task.root or os.environ.get("NAS_DATA", "~/.cache/nas"))


def source(task: Task) -> Source:
    """The source of a task's data set. Raises DataError with the nearest name."""
    name, _, place = task.dataset.partition(":")
    if name not in DATASETS:
        raise DataError(
            f"no data set '{task.dataset}'; known: {', '.join(dataset_names())}{nearest(name, DATASETS)}"
            f"{DATASETS.broken}"
        )
    found = DATASETS[name]
    if found.place and not place:
        raise DataError(f"data set '{task.dataset}': write {name}:{found.place}")
    if not found.place and task.dataset != name:
        raise DataError(f"data set '{task.dataset}': write {name}, without a colon")
    if task.skip_bad and not found.skips_bad:
        raise DataError(f"data set '{task.dataset}': skip_bad is for images in files of their own")
    return found if found.type_of is None else replace(found, type=found.type_of(task))


def augmentation(dataset: Dataset) -> Augment:
    """The augmentation that leaves the classes of a data set what they are, for images of its size."""
    return source(dataset.task).augment(min(dataset.input[1:]))


def _sized(task: Task, x: Pixels, progress: Progress | None) -> Pixels:
    size = task.image_size or source(task).size
    if size is None or x.shape[2:] == (size, size) or isinstance(x, StoredImages):
        return x
    import torch
    import torch.nn.functional as F

    channels = x.shape[1]
    side = min(x.shape[2:])
    top, left = ((extent - side) // 2 for extent in x.shape[2:])
    x = x[:, :, top : top + side, left : left + side]  # nothing is squashed
    check_images(len(x), (channels, size, size))
    whole = len(x) * channels * size * size
    if whole >= LARGE_BYTES:
        tell_of(progress)(f"resizing {len(x):,} images to {size:,}×{size:,} pixels: {whole / 1e9:.1f} GB in memory")
    large = np.empty((len(x), channels, size, size), dtype=np.uint8)
    at_once = max(1, CHUNK_BYTES // (4 * channels * size * size))
    for start in range(0, len(x), at_once):
        tensor = torch.from_numpy(x[start : start + at_once].copy()).float()
        resized = F.interpolate(tensor, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
        large[start : start + at_once] = resized.round().clamp(0, 255).to(torch.uint8).numpy()
    return large


def load(task: Task, progress: Progress | None = None) -> Dataset:
    """Training and validation images of a task, decoded once. Raises DataError that names the remedy.

    Unless the task says how many are held out, they are those that the user chose, where there are any.
    """
    known = source(task)
    read = Part(*known.read(task, False, progress))
    x = _sized(task, read.x, progress)
    chosen = task.chosen or (task.validation is None and task.folds == 1)
    apart = known.read_validation(task, progress) if chosen else None
    if apart is None:
        dataset = make_dataset(replace(task, chosen=False), x, read.y, read.class_names, known.type)
        return replace(dataset, left_out=read.left_out)
    validation = Split(_sized(task, apart.x, progress), apart.y)
    dataset = with_validation(task, Split(x, read.y), validation, read.class_names, known.type)
    return replace(dataset, left_out=(*read.left_out, *apart.left_out))


def load_test(task: Task, progress: Progress | None = None) -> Split:
    """The test images of a task: for a retrained or replayed network only, never for a search."""
    x, y, names, left_out = Part(*source(task).read(task, True, progress))
    check_labels(task, x, y, names, source(task).type)
    return Split(_sized(task, x, progress), y, left_out)
