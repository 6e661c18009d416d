"""The checkpoints of a search: where they lie, which trial has one, and which are not needed any more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import SearchError
from nas.execution.checkpoint import EVERY_SECONDS, Kept
from nas.text.sanitize import expanded
from nas.train.environment import environment

if TYPE_CHECKING:
    from nas.searches.options import SearchOptions
    from nas.store import Store, StudyRow

BESIDE = "-checkpoints"
"""What the folder is called beside the file of a database, whose name comes first."""


class TrialCheckpoints:
    """A file for each trial that has begun and not ended, in a folder of the study's own."""

    def __init__(self, folder: Path, identity: dict[str, str | int], seconds: float = EVERY_SECONDS) -> None:
        self.folder, self.identity, self.seconds = folder, identity, seconds

    def kept(self, row: int) -> Kept:
        """What the process is told that trains the trial in this row."""
        return Kept(self._file(row), self.identity, self.seconds)

    def has(self, row: int) -> bool:
        """Whether the trial can go on."""
        return self._file(row).is_file()

    def remove(self, row: int) -> None:
        """The trial has ended."""
        with suppress(OSError):  # what stays is removed by `sweep`
            self._file(row).unlink(missing_ok=True)

    def make_folder(self) -> None:
        """Makes the folder. Raises SearchError where that cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            reason = problem.strerror or problem
            raise SearchError(
                f"checkpoints: nothing can be written in {self.folder.parent}: {reason}; name another --checkpoints"
            ) from None

    def sweep(self, keep: Iterable[int]) -> None:
        """Removes what belongs to none of these rows, such as that of a trial which ended as its driver was killed."""
        from nas.store import checkpoint_folders

        with suppress(OSError):
            checkpoint_folders.sweep(self.folder, keep)
        if not self.folder.exists() and self.folder.parent.name.endswith(BESIDE):
            with suppress(OSError):  # there is another study in it
                self.folder.parent.rmdir()

    def _file(self, row: int) -> Path:
        from nas.store import checkpoint_folders

        return checkpoint_folders.file_of(self.folder, row)


def open_checkpoints(
    options: SearchOptions, store: Store, study: StudyRow, note: Callable[[str], None]
) -> TrialCheckpoints | None:
    """Those of a study, in the folder that the user names, else in one beside the file of the database.

    None where nobody can know a folder that all machines share; `note` is told.
    """
    if options.checkpoints is not None:
        base = expanded(options.checkpoints).absolute()
    elif store.file is None or options.ray_address is not None:
        what = "a cluster" if store.file is not None else "a database on a server"
        note(
            f"no checkpoints are kept, so that a trial that is interrupted begins again: with {what} name a folder that all "
            "machines share, by --checkpoints"
        )
        return None
    else:
        base = store.file.with_name(store.file.name + BESIDE)
    return TrialCheckpoints(store.checkpoint_folder(study.name, base), _identity(study))


def _identity(study: StudyRow) -> dict[str, str | int]:
    """What a training must have in common with a checkpoint to go on from it, beside the network and the kind of device."""
    known = environment()
    return {
        "recipe": _digest(study.recipe.to_dict()),
        "data": _digest(study.task.to_dict()),
        "block": _digest({name: origin.digest for name, origin in study.blocks.items()}),
        "version": f"nas {known['nas']} {known['commit'] or ''} PyTorch {known['torch']}",
    }


def _digest(value: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
