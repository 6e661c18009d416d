"""Data sets: from files to batches on the device."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.config.task import Task
from nas.data.folder import skipped_files
from nas.data.images import read_image
from nas.data.sources import DATASETS, Source, augmentation, load, load_test, source
from nas.data.task import Dataset, Split, fraction_of
from nas.data.task_type import TaskType, register_task_type

if TYPE_CHECKING:
    from nas.data.batches import Batches

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


def __getattr__(name: str) -> Any:
    if name != "Batches":  # needs PyTorch, and a list of data sets does not
        raise AttributeError(f"module 'nas.data' has no attribute '{name}'")
    return import_module("nas.data.batches").Batches
