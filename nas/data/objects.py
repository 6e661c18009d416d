"""Images that a user hands over from Python: arrays, data sets of PyTorch, torchvision and Hugging Face, frames of pandas.

They are read once, into arrays of bytes, and known by the name ``memory:`` with a fingerprint of what is in them, so that a study
knows them again. Only the last ones that were handed over are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.config.task import Task
from nas.data.images import pixels_of, read_files
from nas.data.listing import TEST_SHARE, Labelled, Listing, set_aside
from nas.data.multi_label import MULTI_LABEL
from nas.data.table import PARTS, Columns, list_frame, natural
from nas.data.task import Images, Part, Progress, held_out, one_line
from nas.data.task_type import CLASSIFICATION, Labels, TaskType
from nas.errors import DataError, nearest

KIND: Final = "memory"
IMAGE_KEYS: Final = ("image", "img", "picture", "photo")
LABEL_KEYS: Final = ("label", "labels", "target", "class", "fine_label")
FORMS: Final = (
    "the name of a data set, (images, labels), a Dataset of PyTorch, torchvision or Hugging Face, a DataFrame with the columns "
    "path and label, or a dict of these with train, val and test"
)


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

    `data` is one of `FORMS`; images of several sizes become squares of `image_size` pixels here. Raises DataError.
    """
    parts = _parts(data)
    held = _files(parts, skip_bad)
    if held is None:
        read = {part: _read(one, part, image_size, skip_bad) for part, one in parts.items()}
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
            "ones over again, by nas.search(…, data=…) or nas.fit(…)"
        )
    return _held[digest]


def read(task: Task, test: bool, progress: Progress | None) -> Part:
    """The training images, or those of the test."""
    ours = held(task)
    if ours.listing is not None:
        files = ours.listing.test if test else ours.listing.train
        return read_files(files.paths, files.y, ours.listing.classes, task, progress)
    part = ours.test if test else ours.train
    assert part is not None
    return part


def read_validation(task: Task, progress: Progress | None) -> Part | None:
    """The images to measure on, where the user chose them."""
    ours = held(task)
    if ours.listing is None:
        return ours.validation
    files = ours.listing.validation
    return None if files is None else read_files(files.paths, files.y, ours.listing.classes, task, progress)


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


# Arrays and items --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Read:
    x: Images
    labels: Any
    """(N,) numbers or names of classes, or (N, classes) with 0 and 1."""
    names: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()


def _read(data: object, part: str, size: int | None, skip_bad: bool) -> _Read:
    what = "data" if part == "train" else f"data, {part}"
    if isinstance(data, tuple | list) and len(data) == 2 and all(map(_is_sequence, data)):
        images, labels = data
        numbers = _array(labels)
        if _length(images) != len(numbers):
            raise DataError(f"{what}: {_length(images)} images, but {len(numbers)} labels")
        array = None if _are_pictures(images) else _array(images)
        if array is not None and array.dtype != object:
            return _Read(_bytes(array, f"{what}: images"), numbers, None)
        x, kept, left_out = _pictures(lambda place: images[place], len(numbers), what, size, skip_bad)
        return _Read(x, numbers[kept], None, left_out)
    count = _length(data)
    if count is None or not hasattr(data, "__getitem__") or isinstance(data, str | bytes) or hasattr(data, "__array__"):
        raise DataError(f"{what}: must be {FORMS}, not a {type(data).__name__}")
    if not count:
        raise DataError(f"{what}: no images")
    return _items(data, count, what, size, skip_bad)


def _is_sequence(data: object) -> bool:
    return isinstance(data, list | tuple) or hasattr(data, "__array__")


def _length(data: object) -> int | None:
    try:
        return len(data)  # type: ignore[arg-type]
    except TypeError:
        return None


def _are_pictures(images: Any) -> bool:
    return len(images) > 0 and isinstance(images, list | tuple) and isinstance(images[0], Image.Image)


def _array(values: Any) -> npt.NDArray[Any]:
    """An array or a tensor, on whatever device, as an array; of what has no common shape one of objects."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError:  # lists of different lengths
        found = np.empty(len(values), dtype=object)
        found[:] = list(values)
        return found


def _bytes(array: npt.NDArray[Any], what: str) -> Images:
    """Images (N, C, H, W), (N, H, W, C) or (N, H, W) as bytes (N, C, H, W)."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise DataError(
            f"{what}: must have the shape (N, C, H, W), (N, H, W, C) or (N, H, W), with 1 or 3 channels, not {array.shape}"
        )
    return np.ascontiguousarray(_to_bytes(array, what))


def _to_bytes(array: npt.NDArray[Any], what: str) -> Images:
    if array.dtype == np.uint8:
        return array
    low, high = (float(array.min()), float(array.max())) if array.dtype.kind in "fiub" else (np.nan, np.nan)
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return (array * 255).round().astype(np.uint8)
    if array.dtype.kind in "iu" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    raise DataError(
        f"{what}: must be bytes from 0 to 255 or floats from 0 to 1, not {array.dtype} from {low:.3g} to {high:.3g}; hand over "
        "images before they are normalized"
    )


def _pictures(
    take: Callable[[int], object], count: int, what: str, size: int | None, skip_bad: bool
) -> tuple[Images, list[int], tuple[str, ...]]:
    """Images (N, C, H, W), the places of those that could be read, and why the others could not.

    Grey ones have one channel where all are grey. Raises DataError.
    """
    found: list[Images] = []
    kept: list[int] = []
    bad: list[str] = []
    square = None if size is None else (size, size)
    for place in range(count):
        try:
            found.append(_picture(take(place), square, f"{what}: image {place}"))
            kept.append(place)
        except DataError as problem:
            bad.append(str(problem))
        except Exception as problem:  # whatever the data set of a user can raise
            bad.append(f"{what}: image {place}: {type(problem).__name__}: {one_line(problem)}")
    if bad and not (skip_bad and found):
        more = f"; and {len(bad) - 1:,} more of {count:,}" if len(bad) > 1 else ""
        raise DataError(f"{bad[0]}{more}")
    shapes = [one.shape[1:] for one in found]
    others = [place for place, shape in zip(kept, shapes, strict=True) if shape != shapes[0]]
    if others:
        sizes = [f"{shape[1]}×{shape[0]}" for shape in (shapes[0], shapes[kept.index(others[0])])]
        raise DataError(
            f"{what}: image {others[0]} has {sizes[1]} pixels, but the first {sizes[0]}"
            f"{f' and {len(others) - 1:,} more with another size' if len(others) > 1 else ''}; give one size with image_size"
        )
    channels = max(len(one) for one in found)
    x = np.stack([one if len(one) == channels else np.repeat(one, channels, 0) for one in found])
    return x, kept, tuple(bad)


def _picture(image: object, size: tuple[int, int] | None, what: str) -> Images:
    """One image of whatever kind as bytes (C, H, W)."""
    if not isinstance(image, Image.Image):
        array = _array(image)
        if array.ndim == 2:
            array = array[None]
        elif array.ndim == 3 and array.shape[0] not in (1, 3):
            array = array.transpose(2, 0, 1)
        if array.ndim != 3 or array.shape[0] not in (1, 3):
            raise DataError(f"{what}: no image, but a {type(image).__name__} of the shape {array.shape}")
        x = np.ascontiguousarray(_to_bytes(array, what))
        if size is None or x.shape[1:] == size[::-1]:
            return x
        image = Image.fromarray(x[0] if len(x) == 1 else x.transpose(1, 2, 0))
    grey = image.mode in ("L", "1", "I;16")
    return pixels_of(image, "L" if grey else "RGB", size)


def _items(data: Any, count: int, what: str, size: int | None, skip_bad: bool) -> _Read:
    """A data set whose items are (image, label, …), or mappings with an image and a label."""
    first = _item(data, 0, what)
    keys = _keys(first, what) if isinstance(first, Mapping) else None
    labels: dict[int, Any] = {}

    def take(place: int) -> object:
        item = data[place]
        if keys is not None:
            labels[place] = item[keys[1]]
            return item[keys[0]]
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise DataError(f"{what}[{place}] is a {type(item).__name__}; it must be (image, label)")
        labels[place] = item[1]
        return item[0]

    x, kept, left_out = _pictures(take, count, what, size, skip_bad)
    label_key = None if keys is None else keys[1]
    return _Read(x, _together([labels[place] for place in kept], what), _names_of(data, label_key), left_out)


def _item(data: Any, place: int, what: str) -> Any:
    try:
        return data[place]
    except Exception as problem:  # whatever the data set of a user can raise
        raise DataError(f"{what}[{place}] cannot be read: {type(problem).__name__}: {one_line(problem)}") from None


def _keys(item: Mapping[str, Any], what: str) -> tuple[str, str]:
    found = []
    for wanted, known in (("an image", IMAGE_KEYS), ("a label", LABEL_KEYS)):
        key = next((key for key in known if key in item), None)
        if key is None:
            raise DataError(
                f"{what}: no column is {wanted}: {' or '.join(known)}; there are {', '.join(map(str, item))}"
            )
        found.append(key)
    return found[0], found[1]


def _together(labels: Sequence[Any], what: str) -> Any:
    """Labels of items as an array; lists of numbers of classes stay lists."""
    arrays = [_array(label) for label in labels]
    if all(one.ndim == 0 for one in arrays):
        return np.array([one.item() for one in arrays])
    if all(one.ndim == 1 for one in arrays):
        if len({len(one) for one in arrays}) == 1 and all(np.isin(one, (0, 1)).all() for one in arrays):
            return np.stack(arrays)
        return [one.tolist() for one in arrays]
    raise DataError(f"{what}: labels must be numbers or names of classes, or one list for each image")


def _names_of(data: Any, key: str | None) -> tuple[str, ...] | None:
    """Names of the classes, as torchvision's and Hugging Face's data sets have them; of a part those of the whole."""
    while data is not None:
        feature = getattr(data, "features", None)
        if isinstance(feature, Mapping) and key in feature:
            feature = feature[key]
            names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
            return None if names is None else tuple(map(str, names))
        if isinstance(getattr(data, "classes", None), list | tuple):
            return tuple(map(str, data.classes))
        data = getattr(data, "dataset", None)
    return None


def _arrays(read: Mapping[str, _Read]) -> Held:
    """Parts with labels as numbers of classes; a fifth of the training images set aside where there is no test part."""
    first = read["train"]
    names, several = _classes(first)
    parts = {part: Part(one.x, _numbers(one, part, names, several), names, one.left_out) for part, one in read.items()}
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


def _classes(read: _Read) -> tuple[tuple[str, ...], bool]:
    """Names of the classes, and whether an image may have several."""
    labels = read.labels
    if isinstance(labels, list):
        known = {label for some in labels for label in some}
        if read.names is not None or all(isinstance(label, int) for label in known):
            return read.names or tuple(str(number) for number in range(max(known, default=0) + 1)), True
        return tuple(sorted(map(str, known), key=natural)), True
    if labels.ndim == 2:
        return read.names or tuple(str(number) for number in range(labels.shape[1])), True
    if labels.ndim != 1:
        raise DataError(f"data: labels must have the shape (N,) or (N, classes), not {labels.shape}")
    if labels.dtype.kind in "iub" or (labels.dtype.kind == "f" and (labels == labels.round()).all()):
        return read.names or tuple(str(number) for number in range(int(labels.max()) + 1)), False
    if labels.dtype.kind == "f":
        raise DataError("data: labels must be whole numbers or names of classes, not fractions")
    return tuple(sorted({str(label) for label in labels}, key=natural)), False


def _numbers(read: _Read, part: str, names: tuple[str, ...], several: bool) -> Labels:
    """Labels as numbers of classes (N,), or (N, classes) with 0 and 1. Raises DataError for one that no training image has."""
    labels = read.labels
    number_of = {name: number for number, name in enumerate(names)}

    def number(label: Any) -> int:
        if isinstance(label, str):
            if label not in number_of:
                raise DataError(f"data, {part}: no training image has the label '{label}'{nearest(label, names)}")
            return number_of[label]
        if not 0 <= int(label) < len(names):
            raise DataError(f"data, {part}: label {int(label)} is out of range; there are {len(names)} classes, from 0")
        return int(label)

    if isinstance(labels, list):
        y = np.zeros((len(labels), len(names)), dtype=np.int64)
        for place, some in enumerate(labels):
            for label in some:
                y[place, number(label)] = 1
        return y
    if several != (labels.ndim == 2):
        raise DataError(f"data, {part}: labels of the shape {labels.shape}, but others in train")
    if several:
        hot: Labels = labels.astype(np.int64)
        return hot
    return np.array([number(label) for label in labels.tolist()], dtype=np.int64)


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
            digest.update(part.x.data)
            digest.update(np.ascontiguousarray(part.y).data)
    return digest.hexdigest()[:12]


def listing_of(task: Task) -> Listing | None:
    """The files of what was handed over, where it lies in files."""
    return held(task).listing
