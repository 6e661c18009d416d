"""Temporary folders that go when their process does: at its end, or at a later start where it was killed.

The process that makes such a folder holds a lock on a file in it, which the kernel gives back however that process ends.
A folder is swept only when that file is there, was written by `scratch_folder`, belongs to this user and nobody holds the
lock: so a folder of another program, of another user or of a process in a container beside this one is left alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "nas-"
LOCK = "nas.lock"
MARK = b"A temporary folder of nas; it may be removed when no process holds a lock on this file.\n"


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """A new folder ``nas-KIND-…`` in the temporary directory; removed at the end with what is in it."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{kind}-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        lock = os.open(folder / LOCK, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with suppress(OSError):  # a file system without locks: the folder is then never swept
                fcntl.flock(lock, fcntl.LOCK_EX)
                os.write(lock, MARK)  # behind the lock: without it nobody sweeps
            yield folder
        finally:
            os.close(lock)


def sweep() -> int:
    """Removes the folders of this user whose processes were killed. Returns how many."""
    swept = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        with suppress(OSError):
            swept += _sweep(folder)
    return swept


def _sweep(folder: Path) -> bool:
    if not own_folder(folder):
        return False
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(lock)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or os.read(lock, len(MARK) + 1) != MARK:
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError where another process holds it
        shutil.rmtree(folder, ignore_errors=True)
        return True
    finally:
        os.close(lock)


def own_folder(path: Path) -> bool:
    """Whether this user owns a folder there, which is no link to one."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
