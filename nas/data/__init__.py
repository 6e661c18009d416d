"""Data sets: from files to batches on the device."""

from __future__ import annotations

from nas.data.batches import Batches
from nas.data.folder import read_image, skipped_files
from nas.data.sources import DATASETS, Source, augmentation, load, load_test, source
from nas.data.task import Dataset, Split, Task, fraction_of
from nas.data.task_type import TaskType, register_task_type

__all__ = [
    "DATASETS",
    "Batches",
    "Dataset",
    "Source",
    "Split",
    "Task",
    "TaskType",
    "augmentation",
    "fraction_of",
    "load",
    "load_test",
    "read_image",
    "register_task_type",
    "skipped_files",
    "source",
]
