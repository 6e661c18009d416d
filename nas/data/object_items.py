"""Images and labels out of arrays, tensors and data sets of Python: of whatever kind, in the end bytes and labels.

What is wrong with them is told by their place: which part, which image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from nas.data.images import pixels_of
from nas.data.table import natural
from nas.data.task import Images, one_line
from nas.data.task_type import Labels
from nas.errors import DataError, nearest

IMAGE_KEYS: Final = ("image", "img", "picture", "photo")
LABEL_KEYS: Final = ("label", "labels", "target", "class", "fine_label")
FORMS: Final = (
    "the name of a data set, (images, labels), a Dataset of PyTorch, torchvision or Hugging Face, a DataFrame with the columns "
    "path and label, or a dict of these with train, val and test"
)


@dataclass(frozen=True)
class Read:
    """One part as it was handed over, its images as bytes."""

    x: Images
    labels: Any
    """(N,) numbers or names of classes, or (N, classes) with 0 and 1."""
    names: tuple[str, ...] | None
    left_out: tuple[str, ...] = ()


def read_part(data: object, part: str, size: int | None, skip_bad: bool) -> Read:
    """Reads one part; images of several sizes become squares of `size` pixels. Raises DataError."""
    what = "data" if part == "train" else f"data, {part}"
    if isinstance(data, tuple | list) and len(data) == 2 and all(map(_is_sequence, data)):
        images, labels = data
        numbers = _array(labels)
        if _length(images) != len(numbers):
            raise DataError(f"{what}: {_length(images)} images, but {len(numbers)} labels")
        array = None if _are_pictures(images) else _array(images)
        if array is not None and array.dtype != object:
            return Read(_bytes(array, f"{what}: images"), numbers, None)
        x, kept, left_out = _pictures(lambda place: images[place], len(numbers), what, size, skip_bad)
        return Read(x, numbers[kept], None, left_out)
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


def _items(data: Any, count: int, what: str, size: int | None, skip_bad: bool) -> Read:
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
    return Read(x, _together([labels[place] for place in kept], what), _names_of(data, label_key), left_out)


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


def classes_of(read: Read) -> tuple[tuple[str, ...], bool]:
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


def numbers_of(read: Read, part: str, names: tuple[str, ...], several: bool) -> Labels:
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
