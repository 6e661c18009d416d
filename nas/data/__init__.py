"""Data sets: from files to batches on the device."""

from __future__ import annotations

from nas.data.batches import Batches
from nas.data.folder import left_out, read_image
from nas.data.sources import DATASETS, augmentation, load, load_test, source
from nas.data.task import Dataset, Split, Task, fraction_of

__all__ = [
    "DATASETS",
    "Batches",
    "Dataset",
    "Split",
    "Task",
    "augmentation",
    "fraction_of",
    "left_out",
    "load",
    "load_test",
    "read_image",
    "source",
]
