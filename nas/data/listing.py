"""Files of images with their labels, in parts: what a folder and a table of photos have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.config.task import Task
from nas.data.reading import read_files
from nas.data.task import Part, Progress, held_out
from nas.data.task_type import Labels

TEST_SHARE = 0.2
"""Share of each class that is the test set where nobody has chosen one."""


@dataclass(frozen=True)
class Labelled:
    """Files with their labels (N, …)."""

    paths: tuple[Path, ...]
    y: Labels

    def __len__(self) -> int:
        return len(self.paths)

    def some(self, places: Labels) -> Labelled:
        """Those at these places."""
        return Labelled(tuple(self.paths[place] for place in places), self.y[places])


@dataclass(frozen=True)
class Listing:
    """All files of a data set. What is in them has not been looked at."""

    classes: tuple[str, ...]
    train: Labelled
    test: Labelled
    test_is_drawn: bool
    """Whether nobody chose the test images."""
    validation: Labelled | None = None
    """Images to measure on; None: they are drawn from those of the training."""
    left_out: str | None = None
    """What is there and is no image by its name, in words."""
    kind: str = "folder"
    """What lists them, in a word."""


Lister = Callable[[Task], Listing]


def set_aside(files: Labelled, groups: Labels, names: tuple[str, ...], what: str) -> tuple[Labelled, Labelled]:
    """Training and test images where nobody chose those of the test: a fifth of each group, always the same.

    Raises DataError naming `what` where a group is too small.
    """
    # The seed is fixed: whatever split a search trains on, its test images are these.
    rest, tested = held_out(groups, names, TEST_SHARE, seed=0, keep=2, what=what)
    return files.some(rest), files.some(tested)


def reader(list_files: Lister) -> Callable[[Task, bool, Progress | None], Part]:
    """Reads the training images, or those of the test, of what `list_files` lists."""

    def read(task: Task, test: bool, progress: Progress | None) -> Part:
        listing = list_files(task)
        files = listing.test if test else listing.train
        return read_files(files.paths, files.y, listing.classes, task, progress, "test" if test else "train")

    return read


def validation_reader(list_files: Lister) -> Callable[[Task, Progress | None], Part | None]:
    """Reads the images to measure on, where a user chose them."""

    def read(task: Task, progress: Progress | None) -> Part | None:
        listing = list_files(task)
        files = listing.validation
        if files is None:
            return None
        return read_files(files.paths, files.y, listing.classes, task, progress, "validation")

    return read


def test_counter(list_files: Lister) -> Callable[[Task], tuple[int, ...] | None]:
    """Counts the files of each class among the test images, where a user chose them; what is in the files is not looked at."""

    def count(task: Task) -> tuple[int, ...] | None:
        listing = list_files(task)
        if listing.test_is_drawn or listing.test.y.ndim > 1:
            return None
        return tuple(np.bincount(listing.test.y, minlength=len(listing.classes)).tolist())

    return count
