"""What is to be learned: which images, and how they are split. A task is plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import NoneType
from typing import Any, Final, Self

from nas.errors import DataError
from nas.limits import MAX_CLASSES, MAX_EXTENT, MAX_VALIDATION

MOST_FOLDS = 20
LEAST_MEMORY: Final = 1 << 20
PLACES: Final = ("root", "cached", "memory")
"""Where images lie and how they are held, which is no part of what is learned."""


@dataclass(frozen=True)
class Task:
    """A data set, how its training images are split, and the size of its images."""

    dataset: str
    """``digits``, ``cifar10``, ``cifar100``, ``fashion_mnist``, ``imagefolder:PATH`` or ``table:FILE``."""
    root: str | None = None
    """Folder of downloaded data sets; None means ``~/.cache/nas``."""
    validation: float | None = 0.1
    """Share of the training images that a search measures on; 0 to train on all of them and measure on a test set; None: as
    many as it takes to tell networks apart, see `validation_share`. A `Dataset` has a task with the share that was taken."""
    seed: int = 0
    """Seed of the split."""
    image_size: int | None = None
    """Side of the square images; None leaves them as they are (digits: 16)."""
    folds: int = 1
    """More than one: the training images are parted into so many, and a network is measured on each part after a training on
    the others, so that every image is measured once. `validation` is then 0."""
    chosen: bool = False
    """Whether the images to measure on are a folder that the user made, and not drawn; `validation` is then their share."""
    skip_bad: bool = False
    """Whether images that cannot be read are left out; otherwise they are errors."""
    reduced: bool = False
    """Whether JPEG files far larger than `image_size` are decoded at a half, a quarter or an eighth of their size: new searches
    do, those begun by an older version did not, and every byte of their images stays what it was."""
    cached: bool = True
    """Whether many images are kept decoded on disk for the next start. No part of what is learned, like `memory`."""
    memory: int | None = None
    """Bytes of memory that images may take: more are read in blocks, in random order. None: half of what the machine has."""

    def __post_init__(self) -> None:
        """Refuses values outside their range."""
        if self.validation is not None and not 0 <= self.validation <= MAX_VALIDATION:
            raise DataError(f"validation share: must be from 0 to {MAX_VALIDATION}, not {self.validation}")
        if not 1 <= self.folds <= MOST_FOLDS:
            raise DataError(f"folds: must be from 1 to {MOST_FOLDS}, not {self.folds}")
        if self.folds > 1 and self.validation:
            raise DataError(f"folds and validation share: one or the other, not {self.folds} and {self.validation}")
        if self.image_size is not None and not 1 <= self.image_size <= 1024:
            raise DataError(f"image size: must be from 1 to 1024 pixels, not {self.image_size}")
        if self.memory is not None and self.memory < LEAST_MEMORY:
            raise DataError(f"memory of images: must be at least {LEAST_MEMORY:,} bytes, not {self.memory:,}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; where images lie, and how they are held, is no part of the task."""
        # Studies begun before there was a choice lack these, and are to be the same task as new ones.
        left_out = {*PLACES, *(name for name in ("chosen", "skip_bad", "reduced") if not getattr(self, name))}
        return {key: value for key, value in asdict(self).items() if key not in left_out}


@dataclass(frozen=True)
class LoadedTask(Task):
    """A task with what was found when its images were read: that of a study, and of a network measured on a test set.

    None: not recorded, by an older version.
    """

    input: tuple[int, ...] | None = None
    """(C, H, W) of an image."""
    classes: int | None = None
    fingerprint: str | None = None
    """Fingerprint of every byte of the images and labels, as `nas.data.Dataset` has it."""
    validation_images: int | None = None
    """On how many images an accuracy was measured."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The task that `to_dict` wrote, here or in an older version. Raises DataError that names the key."""
        values = {"validation": None, **data}
        if "dataset" not in values:
            raise DataError("task: names no dataset")
        for name, value in values.items():
            if name not in _KINDS:
                raise DataError(f"task: unknown key '{name}'; a newer version may have written it")
            if type(value) not in _KINDS[name]:
                raise DataError(f"task: {name} is {value!r}")
        extents, classes = values.get("input"), values.get("classes")
        if extents is not None:
            if len(extents) != 3 or not all(type(one) is int and 0 < one <= MAX_EXTENT for one in extents):
                raise DataError(f"task: input is no image: {extents!r}")
            values["input"] = tuple(extents)
        if classes is not None and not 0 < classes <= MAX_CLASSES:
            raise DataError(f"task: classes is {classes!r}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without what was not recorded; images without a fingerprint are told apart by their folder."""
        data = super().to_dict() if self.fingerprint else {**super().to_dict(), "root": self.root}
        if self.input is not None:
            data["input"] = list(self.input)
        return {name: value for name, value in data.items() if value is not None or name not in FOUND}

    def unread(self, root: str | None = None, *, cached: bool = True, memory: int | None = None) -> Task:
        """The task to be read again, its downloads in the folder `root`."""
        places = {"root": root, "cached": cached, "memory": memory}
        return Task(**{field.name: getattr(self, field.name) for field in fields(Task)} | places)


FOUND: Final = tuple(field.name for field in fields(LoadedTask)[len(fields(Task)) :])
"""What a task says about its images: no option, but what came of reading them."""
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "dataset": (str,),
    "root": (str, NoneType),
    "validation": (float, int, NoneType),
    "seed": (int,),
    "image_size": (int, NoneType),
    "folds": (int,),
    "chosen": (bool,),
    "skip_bad": (bool,),
    "reduced": (bool,),
    "input": (list, NoneType),
    "classes": (int, NoneType),
    "fingerprint": (str, NoneType),
    "validation_images": (int, NoneType),
}
