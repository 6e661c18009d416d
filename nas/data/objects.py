"""Images that a user hands over from Python: arrays, data sets of PyTorch, torchvision and Hugging Face, frames of pandas.

They are read once, into arrays of bytes, and known by the name ``memory:`` with a fingerprint of what is in them, so that a study
knows them again. Only the last ones that were handed over are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.config.task import Task
from nas.data.listing import TEST_SHARE, Labelled, Listing, set_aside
from nas.data.multi_label import MULTI_LABEL
from nas.data.object_items import Read, classes_of, numbers_of, read_part
from nas.data.reading import read_files
from nas.data.table import PARTS, Columns, list_frame
from nas.data.task import Part, Progress, held_out
from nas.data.task_type import CLASSIFICATION, Labels, TaskType
from nas.errors import DataError, nearest

KIND: Final = "memory"


@dataclass(frozen=True)
class Held:
    """What was handed over: parts that are read, or a listing of files that are still to be."""

    type: TaskType
    train: Part | None = None
    test: Part | None = None
    validation: Part | None = None
    test_is_drawn: bool = False
    listing: Listing | None = None


_held: dict[str, Held] = {}


def hand_over(data: object, image_size: int | None = None, *, skip_bad: bool = False) -> str:
    """Takes images and labels, and returns the name under which they are a data set of this process.

    `data` is one of `object_items.FORMS`; images of several sizes become squares of `image_size` pixels here. Raises DataError.
    """
    parts = _parts(data)
    held = _files(parts, skip_bad)
    if held is None:
        read = {part: read_part(one, part, image_size, skip_bad) for part, one in parts.items()}
        held = _arrays(read)
    digest = _digest(held)
    _held.clear()  # one set of images is enough memory
    _held[digest] = held
    return f"{KIND}:{digest}"


def held(task: Task) -> Held:
    """The images of a task, which this process was given. Raises DataError when it was not, or has been given others since."""
    digest = task.dataset.partition(":")[2]
    if digest not in _held:
        raise DataError(
            f"data '{task.dataset}': images that were handed over from Python, which this process does not have; hand the same "
            "ones over again, by nas.search(…, data=…)"
        )
    return _held[digest]


def read(task: Task, test: bool, progress: Progress | None) -> Part:
    """The training images, or those of the test."""
    ours = held(task)
    if ours.listing is not None:
        files = ours.listing.test if test else ours.listing.train
        return read_files(files.paths, files.y, ours.listing.classes, task, progress, "test" if test else "train")
    part = ours.test if test else ours.train
    assert part is not None
    return part


def read_validation(task: Task, progress: Progress | None) -> Part | None:
    """The images to measure on, where the user chose them."""
    ours = held(task)
    if ours.listing is None:
        return ours.validation
    files = ours.listing.validation
    if files is None:
        return None
    return read_files(files.paths, files.y, ours.listing.classes, task, progress, "validation")


def count_test(task: Task) -> tuple[int, ...] | None:
    """Test images of each class, where the user chose them."""
    ours = held(task)
    if ours.listing is not None:
        y, names, drawn = ours.listing.test.y, ours.listing.classes, ours.listing.test_is_drawn
    else:
        assert ours.test is not None
        y, names, drawn = ours.test.y, ours.test.class_names, ours.test_is_drawn
    return None if drawn or y.ndim > 1 else tuple(np.bincount(y, minlength=len(names)).tolist())


def _parts(data: object) -> dict[str, object]:
    """What was given by its parts, named as in `PARTS`; all of it for training where no parts are named."""
    if not isinstance(data, Mapping):
        return {"train": data}
    found: dict[str, object] = {}
    for word, one in data.items():
        part = PARTS.get(str(word).lower())
        if part is None:
            raise DataError(f"data: parts are called train, val and test, not '{word}'{nearest(word, PARTS)}")
        found[part] = one
    if "train" not in found:
        raise DataError(f"data: no part is called train; there are {', '.join(map(str, data)) or 'none'}")
    if "validation" in found and "test" not in found:  # as in a folder
        found["test"] = found.pop("validation")
    return found


# Files -------------------------------------------------------------------------------------------------------------------------


def _files(parts: Mapping[str, object], skip_bad: bool) -> Held | None:
    """Parts whose images lie in files, which are read as those of a folder are; None where they do not."""
    if _is_frame(parts["train"]):
        return _frames(parts, skip_bad)
    listed = {part: _image_folder(one) for part, one in parts.items()}
    train = listed["train"]
    if train is None or any(one is None or one[1] != train[1] for one in listed.values()):
        return None
    files = {part: one[0] for part, one in listed.items() if one is not None}
    return Held(CLASSIFICATION, listing=_listing(files, train[1]))


def _listing(files: Mapping[str, Labelled], names: tuple[str, ...]) -> Listing:
    train = files["train"]
    if "test" in files:
        return Listing(names, train, files["test"], False, files.get("validation"))
    rest, tested = set_aside(train, train.y, names, "data (no test images)")
    return Listing(names, rest, tested, True)


def _is_frame(data: object) -> bool:
    return hasattr(data, "columns") and hasattr(data, "iloc")


def _frames(parts: Mapping[str, object], skip_bad: bool) -> Held:
    import pandas as pd

    frames: list[Any] = []
    for part, one in parts.items():
        if not isinstance(one, pd.DataFrame):
            raise DataError(f"data: train is a DataFrame, so {part} must be one, not a {type(one).__name__}")
        frames.append(one if len(parts) == 1 else one.assign(split=part))
    frame = pd.concat(frames, ignore_index=True)
    labels = [name for name in frame.columns if name not in ("path", "split")]
    # One column says the class of an image; several are one for each label.
    columns = Columns(label=("label",) if "label" in labels or len(labels) < 2 else tuple(map(str, labels)))
    listing = list_frame(frame, columns, Path.cwd(), "data: DataFrame", 0, "row", skip_bad=skip_bad)
    return Held(MULTI_LABEL if columns.is_multi_label else CLASSIFICATION, listing=listing)


def _image_folder(data: object) -> tuple[Labelled, tuple[str, ...]] | None:
    """The files of torchvision's ImageFolder, where nothing else is to be done to its images."""
    samples, names = getattr(data, "samples", None), getattr(data, "classes", None)
    changed = any(getattr(data, name, None) is not None for name in ("transform", "target_transform", "transforms"))
    if type(data).__name__ != "ImageFolder" or samples is None or names is None or changed:
        return None
    paths, labels = zip(*samples, strict=True)
    return Labelled(tuple(map(Path, paths)), np.array(labels, dtype=np.int64)), tuple(map(str, names))


def _arrays(read: Mapping[str, Read]) -> Held:
    """Parts with labels as numbers of classes; a fifth of the training images set aside where there is no test part."""
    first = read["train"]
    names, several = classes_of(first)
    parts = {
        part: Part(one.x, numbers_of(one, part, names, several), names, one.left_out) for part, one in read.items()
    }
    task_type = MULTI_LABEL if several else CLASSIFICATION
    train, test = parts["train"], parts.get("test")
    task_type.check("data", train.y, train.x.shape, names)
    if test is not None:
        return Held(task_type, train, test, parts.get("validation"))
    groups, group_names = task_type.strata(train.y, names)
    rest, tested = held_out(groups, group_names, TEST_SHARE, seed=0, keep=2, what="data (no test images)")
    return Held(
        task_type,
        _some(train, rest),
        _some(train._replace(left_out=()), tested),
        test_is_drawn=True,
    )


def _some(part: Part, places: Labels) -> Part:
    """The part with the images at these places alone."""
    return part._replace(x=np.ascontiguousarray(part.x[places]), y=part.y[places])


def _digest(held: Held) -> str:
    """12 hexadecimal digits over everything that was handed over, or over the names of files and their labels."""
    digest = hashlib.sha256()

    def add(*texts: object) -> None:
        digest.update("\0".join(map(str, texts)).encode(errors="surrogateescape") + b"\n")

    if held.listing is not None:
        listing = held.listing
        add(*listing.classes)
        for files in (listing.train, listing.validation, listing.test):
            if files is not None:
                add(*files.paths)
                digest.update(np.ascontiguousarray(files.y).data)
    for part in (held.train, held.validation, held.test):
        if part is not None:
            add(part.x.shape, *part.class_names)
            digest.update(np.ascontiguousarray(part.x[:]).data)
            digest.update(np.ascontiguousarray(part.y).data)
    return digest.hexdigest()[:12]


def listing_of(task: Task) -> Listing | None:
    """The files of what was handed over, where it lies in files."""
    return held(task).listing
