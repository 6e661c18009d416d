"""What is learned: the arrays of images and labels of a task, and how they are split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.config.task import LoadedTask, Task
from nas.data.facts import remembered
from nas.data.stored import Pixels, StoredImages, joined, parts, select
from nas.data.task_type import CLASSIFICATION, Labels, TaskType
from nas.errors import DataError
from nas.limits import MAX_VALIDATION

Images = npt.NDArray[np.uint8]
WANTED = 1_000
"""Images to measure on, where there are enough."""
LEAST_SHARE, MOST_SHARE = 0.1, 0.25

Progress = Callable[[int, int], None]
"""Told how many images are decoded, and of how many."""
Tell = Callable[[str], None]
"""Told a line that a user should read."""


def silent(text: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Told:
    """A `Progress` that is told in words too where images come from and what is done with them."""

    tell: Tell
    progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        """So many images are decoded, of so many."""
        if self.progress is not None:
            self.progress(done, total)


def tell_of(progress: Progress | None) -> Tell:
    """What hears words, where anybody does."""
    return progress.tell if isinstance(progress, Told) else silent


class Part(NamedTuple):
    """What a source reads: images (N, C, H, W) as bytes, labels (N, …), the names of the classes, and what it left out."""

    x: Pixels
    y: Labels
    class_names: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """Images that could not be read, each with the reason, where the task lets them be skipped."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, C, H, W) as bytes, with their labels (N, …). Two splits are equal when they are the same object."""

    x: Pixels
    """An array, or images that lie on disk."""
    y: Labels
    left_out: tuple[str, ...] = ()
    """Images that could not be read and were skipped, each with the reason; of test images alone."""

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and validation images of a task. The test images are not in here: a search cannot see them."""

    task: Task
    train: Split
    validation: Split
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    """Mean of each channel over the training part, in [0, 1]."""
    std: tuple[float, ...]
    type: TaskType = CLASSIFICATION
    """What the answers of a network are."""
    left_out: tuple[str, ...] = ()
    """Images that could not be read and were skipped, each with the reason."""

    @property
    def input(self) -> tuple[int, ...]:
        """(C, H, W) of an image."""
        return tuple(self.train.x.shape[1:])

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.class_names)

    @property
    def measured_labels(self) -> Labels:
        """Labels of the images that a network is measured on."""
        return self.train.y if self.task.folds > 1 else self.validation.y

    @property
    def trained_images(self) -> int:
        """How many a network is trained on."""
        folds = self.task.folds
        return len(self.train) if folds == 1 else round(len(self.train) * (folds - 1) / folds)

    def folded(self) -> list[Dataset]:
        """One data set a fold: its part is for validation, the others for training. The parts have the same share of classes."""
        folds = self.task.folds
        rng = np.random.default_rng(self.task.seed)
        part = np.empty(len(self.train), dtype=np.int64)
        groups, names = self.type.strata(self.train.y, self.class_names)
        start = 0
        for label in range(len(names)):  # what is left over of one class goes to the parts that the class before spared
            members = rng.permutation(np.flatnonzero(groups == label))
            part[members] = (start + np.arange(len(members))) % folds
            start += len(members)
        found = []
        for number in range(folds):
            inside, outside = np.flatnonzero(part == number), np.flatnonzero(part != number)
            splits = [Split(select(self.train.x, index), self.train.y[index]) for index in (outside, inside)]
            found.append(replace(self, train=splits[0], validation=splits[1]))
        return found

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over every byte of images and labels: the same data and split, the same fingerprint."""
        splits = (self.train, self.validation)
        if not all(isinstance(split.x, StoredImages) for split in splits):
            return _fingerprint(splits)
        known = hashlib.sha256()
        for split in splits:
            assert isinstance(split.x, StoredImages)
            known.update(split.x.identity.encode() + np.ascontiguousarray(split.y).data)
        return str(remembered("fingerprint", known.hexdigest(), lambda: _fingerprint(splits)))

    @property
    def loaded_task(self) -> LoadedTask:
        """The task with what was found when the images were read."""
        asked = {field.name: getattr(self.task, field.name) for field in fields(Task)}
        return LoadedTask(**asked, input=self.input, classes=self.classes, fingerprint=self.fingerprint)


def _fingerprint(splits: Sequence[Split]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(repr(split.x.shape).encode())
        for part in parts(split.x):
            digest.update(np.ascontiguousarray(part).data)
        digest.update(np.ascontiguousarray(split.y).data)
    return digest.hexdigest()[:16]


def make_dataset(
    task: Task, x: Pixels, y: Labels, class_names: tuple[str, ...], task_type: TaskType = CLASSIFICATION
) -> Dataset:
    """Splits the training images of a data set, class by class, and measures the training part.

    Without a validation share the validation part is empty. Raises DataError when labels and images do not fit
    together, or a class is too small to be split.
    """
    check_labels(task, x, y, class_names, task_type)
    groups, names = task_type.strata(y, class_names)
    if task.folds > 1:
        check_folds(task, groups, names)
    elif task.validation is None:
        task = replace(task, validation=validation_share(len(y)))
    if task.folds == 1 and task.validation:
        train, validation = held_out(groups, names, task.validation, task.seed, keep=1, what=task.dataset)
    else:
        train, validation = np.arange(len(y)), np.arange(0)
    train_x = select(x, train)
    mean, std = _statistics(train_x)
    return Dataset(
        task,
        Split(train_x, y[train]),
        Split(select(x, validation), y[validation]),
        class_names,
        mean,
        std,
        task_type,
    )


def with_validation(
    task: Task, train: Split, validation: Split, class_names: tuple[str, ...], task_type: TaskType = CLASSIFICATION
) -> Dataset:
    """A data set whose validation part is chosen. Raises DataError when the images of the two parts are of different sizes."""
    for part in (train, validation):
        check_labels(task, part.x, part.y, class_names, task_type)
    ours, theirs = train.x.shape[2:], validation.x.shape[2:]
    if ours != theirs:
        sizes = [f"{width}×{height}" for height, width in (ours, theirs)]
        raise DataError(
            f"{task.dataset}: training images have {sizes[0]} pixels, validation images {sizes[1]}; give one size with --image-size"
        )
    share = round(len(validation) / (len(train) + len(validation)), 4)
    if share > MAX_VALIDATION:
        raise DataError(
            f"{task.dataset}: {len(validation):,} validation images, but {len(train):,} to train on; exchange some"
        )
    mean, std = _statistics(train.x)
    return Dataset(replace(task, validation=share, chosen=True), train, validation, class_names, mean, std, task_type)


def check_folds(task: Task, y: Labels, class_names: tuple[str, ...]) -> None:
    """Raises DataError when a class has not an image for each fold and one more."""
    for name, count in zip(class_names, np.bincount(y, minlength=len(class_names)), strict=True):
        if count <= task.folds:
            raise DataError(
                f"{task.dataset}: class '{name}' has {count} training images; {task.folds} folds need {task.folds + 1} at least"
            )


def validation_share(images: int) -> float:
    """The share of so many training images that is held out to measure on.

    1,000 images tell an accuracy of 75 % to 1.4 points (standard error), 250 to 2.7. What is held out cannot be learned from,
    so that it is at most a quarter, and a tenth at least.
    """
    return round(min(max(WANTED / max(1, images), LEAST_SHARE), MOST_SHARE), 4)


def regrouped(dataset: Dataset, share: float) -> Dataset:
    """The data set with this share of all its images as its validation part, drawn from the validation part that it has.

    The others are trained on. Where every image is measured once, by cross-validation, the part is drawn from all. Raises
    DataError for a share above that of the validation part.
    """
    if dataset.task.folds > 1:
        task = replace(dataset.task, validation=share, folds=1)
        return make_dataset(task, dataset.train.x, dataset.train.y, dataset.class_names, dataset.type)
    whole = dataset.task.validation or 0.0
    if not 0 <= share <= whole:
        raise DataError(
            f"validation share: must be from 0 to {whole:g}, the share that the search held out, not {share:g}"
        )
    if share == whole:
        return dataset
    task = replace(dataset.task, validation=share)
    y = dataset.validation.y
    if share:
        groups, names = dataset.type.strata(y, dataset.class_names)
        more, kept = held_out(groups, names, share / whole, task.seed, keep=0, what=task.dataset)
    else:
        more, kept = np.arange(len(y)), np.arange(0)
    x = joined(dataset.train.x, select(dataset.validation.x, more))
    mean, std = _statistics(x)
    train = Split(x, np.concatenate([dataset.train.y, y[more]]))
    validation = Split(select(dataset.validation.x, kept), y[kept])
    return Dataset(task, train, validation, dataset.class_names, mean, std, dataset.type)


def fraction_of(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """The data set with this share of its training images, the same of every class, drawn from `seed`.

    The statistics for normalization stay those of all training images. Raises DataError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise DataError(f"fraction of the training images: must be above 0 and at most 1, not {share}")
    if share == 1:
        return dataset
    train = dataset.train
    groups, names = dataset.type.strata(train.y, dataset.class_names)
    _, kept = held_out(groups, names, share, seed, keep=0, what=dataset.task.dataset)
    return replace(dataset, train=Split(select(train.x, kept), train.y[kept]))


def check_labels(
    task: Task, x: Pixels, y: Labels, class_names: tuple[str, ...], task_type: TaskType = CLASSIFICATION
) -> None:
    """Raises DataError when labels and images do not fit together."""
    if len(x) != len(y):
        raise DataError(f"{task.dataset}: {len(x)} images, but {len(y)} labels")
    task_type.check(task.dataset, y, x.shape, class_names)


def held_out(
    y: Labels, class_names: tuple[str, ...], share: float, seed: int, *, keep: int, what: str
) -> tuple[Labels, Labels]:
    """Positions that stay, and positions that are held out: of every class the same share, drawn from `seed`.

    At least one image of each class is held out and at least `keep` stay. Raises DataError naming `what` otherwise.
    """
    rng = np.random.default_rng(seed)
    rest, out = [], []
    for label, name in enumerate(class_names):
        members = rng.permutation(np.flatnonzero(y == label))
        if len(members) <= keep:
            count = {0: "no image", 1: "one image"}.get(len(members), f"{len(members)} images")
            parts = "training and validation" if keep == 1 else "training, validation and test"
            raise DataError(
                f"{what}: class '{name}' has {count}; {parts} need at least one each, so add images or remove the class"
            )
        count_out = min(len(members) - keep, max(1, round(len(members) * share)))
        out.append(members[:count_out])
        rest.append(members[count_out:])
    return np.sort(np.concatenate(rest)), np.sort(np.concatenate(out))


def _statistics(x: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    # From the histogram of bytes: exact, and no copy of the images as floats.
    if isinstance(x, StoredImages):
        counts = np.array(remembered("histogram", x.identity, lambda: _histogram(x).tolist()), dtype=np.int64)
    else:
        counts = _histogram(x)
    values = np.arange(256) / 255.0
    means, deviations = [], []
    for channel in counts:
        mean = float((channel * values).sum() / channel.sum())
        variance = float((channel * (values - mean) ** 2).sum() / channel.sum())
        means.append(mean)
        deviations.append(max(variance**0.5, 1e-3))  # a constant channel would divide by zero
    return tuple(means), tuple(deviations)


def _histogram(x: Pixels) -> npt.NDArray[np.int64]:
    """(C, 256): how often each channel has each value."""
    counts = np.zeros((x.shape[1], 256), dtype=np.int64)
    for part in parts(x):
        for channel in range(x.shape[1]):
            # By parts, because counting turns bytes into numbers of eight bytes; two bytes at a time, which takes a quarter.
            for some in np.array_split(part[:, channel], 1 + part[:, channel].size // 2**24):
                flat = some.reshape(-1)
                even = flat[: len(flat) // 2 * 2].view(np.uint16)
                pairs = np.bincount(even, minlength=65_536).reshape(256, 256)
                counts[channel] += pairs.sum(0) + pairs.sum(1)
                if len(flat) % 2:
                    counts[channel, flat[-1]] += 1
    return counts


def one_line(problem: BaseException, limit: int = 200) -> str:
    """The text of an error that others raised, in one line."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
