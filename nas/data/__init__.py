"""Data sets: from files to batches on the device."""

from __future__ import annotations

from nas.config.task import Task
from nas.data.batches import Batches
from nas.data.folder import read_image, skipped_files
from nas.data.sources import DATASETS, augmentation, load, load_test, source
from nas.data.task import Dataset, Split, fraction_of

__all__ = [
    "DATASETS",
    "Batches",
    "Dataset",
    "Split",
    "Task",
    "augmentation",
    "fraction_of",
    "load",
    "load_test",
    "read_image",
    "skipped_files",
    "source",
]
