"""Data sets: from files to batches on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.config.task import Task
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

if TYPE_CHECKING:
    from nas.data.batches import Batches as Batches


def __getattr__(name: str) -> Any:
    # Batches need PyTorch, which takes a second to import; who only asks what data sets there are need not wait.
    if name != "Batches":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from nas.data.batches import Batches

    return Batches
