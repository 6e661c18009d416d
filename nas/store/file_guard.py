"""Notices when someone deletes or replaces the file of a database that is in use, and saves what it held.

SQLite goes on with the file that it has opened, whatever stands under its name: a search would report trials for hours, and
all of them would be gone at its end. As long as a connection is open, so is the file.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from nas.errors import StorageError
from nas.store.connection import BUSY_SECONDS, explained, shown

_PLACES: Final = 100


class Lifeline:
    """A connection to an SQLite file that is held open, and the name under which the file must stay."""

    def __init__(self, url: URL) -> None:
        """Opens it. Raises StorageError."""
        self._path = Path(url.database or "").absolute()
        self._place = f"storage '{shown(url)}'"
        self._lock = threading.Lock()
        self._lost: str | None = None
        with explained(url):
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA schema_version")  # until it is read a file is not open
        self._file = _identity(self._path)
        beside = [self._path.with_name(f"{self._path.name}-{kind}") for kind in ("wal", "shm")]
        self._beside = {path: _identity(path) for path in beside}

    def check(self) -> None:
        """Raises StorageError, saying where its content was saved, when the name does not lead to the open file any more."""
        if self._lost is None and _identity(self._path) == self._file:
            return
        with self._lock:
            if self._lost is None:
                what = "was replaced by another file" if self._path.exists() else "was deleted"
                self._lost = f"{self._place}: {self._path.name} {what} while it was in use; {self._saved()}"
        raise StorageError(self._lost)

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def _saved(self) -> str:
        """Writes what the open file holds beside it, or where there is room; says so in words."""
        problem: Exception = FileExistsError()
        for folder in (self._path.parent, Path.cwd(), Path(tempfile.gettempdir())):
            target = self._free(folder)
            try:
                self._connection.execute("VACUUM INTO ?", (str(target),))
            except sqlite3.Error as trouble:
                problem = trouble
                continue
            self._take_away_the_rest()
            return (
                f"all that it held is saved in {target}; put that in its place and run the same command again to go on"
            )
        return f"what it held could not be saved ({problem}); /proc/{os.getpid()}/fd still leads to it while this runs"

    def _take_away_the_rest(self) -> None:
        """Removes the log of the lost file: SQLite would read it as that of whatever database stands there next."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint")  # a file that was moved has all of it then
        for path, was in self._beside.items():
            if was is not None and _identity(path) == was:
                path.unlink(missing_ok=True)

    def _free(self, folder: Path) -> Path:
        names = (
            f"{self._path.stem}-saved{number}.db" for number in itertools.chain(("",), map(str, range(2, _PLACES)))
        )
        return next(path for name in names if not (path := folder / name).exists())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
