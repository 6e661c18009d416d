"""Data sets: from files to batches on the device."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.config.task import Task
from nas.data.folder import read_image, skipped_files
from nas.data.sources import DATASETS, augmentation, load, load_test, source
from nas.data.task import Dataset, Split, fraction_of

if TYPE_CHECKING:
    from nas.data.batches import Batches

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


def __getattr__(name: str) -> Any:
    if name != "Batches":  # needs PyTorch, and a list of data sets does not
        raise AttributeError(f"module 'nas.data' has no attribute '{name}'")
    return import_module("nas.data.batches").Batches
