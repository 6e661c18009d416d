"""What outlives a driver that was killed: Ray's agents of its machine, for minutes. The next start ends those that were ours.

A driver that starts a Ray of its own writes down which processes that has, each with the moment when it began, so that no
other process that got the same number later is ever taken for one of them.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.store.claim import process_begin

PREFIX = "nas-ray-"
MOST_BYTES = 1 << 16


def remember(processes: Iterable[int]) -> Path | None:
    """Writes down processes that this one has started. The file is to be removed when they have ended.

    None where that cannot be told (off Linux), or cannot be written.
    """
    ours = {pid: begun for pid in processes if (begun := process_begin(pid)) is not None}
    driver = process_begin(os.getpid())
    if driver is None:
        return None
    path = Path(tempfile.gettempdir()) / f"{PREFIX}{os.getpid()}.json"
    text = json.dumps({"driver": [os.getpid(), driver], "processes": list(ours.items())})
    with suppress(OSError):
        # Nobody else shall have put a file or a link there.
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(text)
        return path
    return None


def end_leftovers() -> int:
    """Ends the processes that drivers of this user left when they were killed. Returns how many."""
    ended = 0
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*.json"):
        note = _read(path)
        if note is None:
            continue
        (driver, begun), processes = note
        if process_begin(driver) == begun:
            continue  # it is running
        ended += sum(_end(pid, moment) for pid, moment in processes)
        with suppress(OSError):
            path.unlink()
    return ended


def _read(path: Path) -> tuple[tuple[int, str], list[tuple[int, str]]] | None:
    """What `remember` wrote there; None for anything else, and for the file of another user."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.getuid() or not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                return None
            data: Any = json.load(file)
        return _process(data["driver"]), [_process(entry) for entry in data["processes"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _process(entry: Any) -> tuple[int, str]:
    pid, begun = entry
    if type(pid) is not int or pid <= 1 or not isinstance(begun, str):
        raise ValueError(entry)
    return pid, begun


def _end(pid: int, begun: str) -> bool:
    """Ends a process when it is the one that began then."""
    if process_begin(pid) != begun:
        return False
    try:
        os.kill(pid, signal.SIGKILL)  # an orphan of Ray's has nothing to keep
    except OSError:
        return False
    return True


def descendants(pid: int) -> set[int]:
    """The processes of this machine that this one started, and those that they did. None off Linux."""
    parents = dict(_parents())
    found: set[int] = set()
    new = {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            # Behind the name of the program, which stands in brackets: state, parent.
            yield int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])
