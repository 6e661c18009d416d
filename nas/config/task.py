"""What is to be learned: which images, and how they are split. A task is plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nas.errors import DataError
from nas.limits import MAX_VALIDATION

MOST_FOLDS = 20


@dataclass(frozen=True)
class Task:
    """A data set, how its training images are split, and the size of its images."""

    dataset: str
    """``digits``, ``cifar10``, ``cifar100``, ``fashion_mnist`` or ``imagefolder:PATH``."""
    root: str | None = None
    """Folder of downloaded data sets; None means ``~/.cache/nas``."""
    validation: float | None = 0.1
    """Share of the training images that a search measures on; 0 to train on all of them and measure on a test set; None: as
    many as it takes to tell networks apart, see `validation_share`. A `Dataset` has a task with the share that was taken."""
    seed: int = 0
    """Of the split."""
    image_size: int | None = None
    """Side of the square images; None leaves them as they are (digits: 16)."""
    folds: int = 1
    """More than one: the training images are parted into so many, and a network is measured on each part after a training on
    the others, so that every image is measured once. `validation` is then 0."""
    chosen: bool = False
    """Whether the images to measure on are a folder that the user made, and not drawn; `validation` is then their share."""

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

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the folder of downloads is no part of the task."""
        left_out = {"root"} if self.chosen else {"root", "chosen"}  # studies begun before there was a choice lack it
        return {key: value for key, value in asdict(self).items() if key not in left_out}
