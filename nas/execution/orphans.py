"""What outlives a driver that was killed: Ray's agents of its machine, for minutes, and the folder of Ray's session, for ever.
The next start ends and removes what was ours.

A driver that starts a Ray of its own writes down which processes that has, each with the moment when it began, so that no
other process that got the same number later is ever taken for one of them; and the folder of the session, whose name ends
with the number of the driver.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from nas.system.processes import process_begin
from nas.system.temporary_folders import own_folder
from nas.text.sanitize import read_json

PREFIX = "nas-ray-"
MOST_BYTES = 1 << 16
QUIET_SECONDS = 2.0
"""Ray's agents write for some tenths of a second after the session that they belong to has ended."""


class Note(NamedTuple):
    """What a driver wrote down about its Ray."""

    driver: tuple[int, str]
    """Number, and when it began."""
    processes: list[tuple[int, str]]
    session: Path | None
    """Ray's folder for it."""


def remember(processes: Iterable[int], session: str | None = None) -> Path | None:
    """Writes down processes that this one has started, and the folder of their session. `forget` ends that.

    None where that cannot be told (off Linux), or cannot be written.
    """
    ours = {pid: begun for pid in processes if (begun := process_begin(pid)) is not None}
    driver = process_begin(os.getpid())
    if driver is None:
        return None
    text = json.dumps({"driver": [os.getpid(), driver], "processes": list(ours.items()), "session": session})
    with suppress(OSError):
        file, path = tempfile.mkstemp(prefix=f"{PREFIX}{os.getpid()}-", suffix=".json")
        with os.fdopen(file, "w") as note:
            note.write(text)
        return Path(path)
    return None


def forget(path: Path) -> None:
    """Removes the folder of a session that has ended in good order, and what `remember` wrote.

    What cannot be removed yet is left to the next start.
    """
    note = _read(path)
    if note is None or (note.session is not None and not _remove(note.session, note.driver[0])):
        return
    path.unlink(missing_ok=True)


def end_leftovers() -> int:
    """Ends the processes that drivers of this user left when they were killed, and removes the folders of their sessions.

    Returns how many processes.
    """
    ended = 0
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*.json"):
        note = _read(path)
        if note is None or process_begin(note.driver[0]) == note.driver[1]:
            continue  # not ours, or it is running
        ended += sum(_end(pid, moment) for pid, moment in note.processes)
        if note.session is not None:
            _remove(note.session, note.driver[0])
        with suppress(OSError):
            path.unlink()
    return ended


def _remove(session: Path, driver: int) -> bool:
    """Removes Ray's folder for a driver; returns whether it is gone. Nothing else is ever removed, whatever `session` says."""
    if not re.fullmatch(rf"session_[0-9_-]+_{driver}", session.name) or not own_folder(session):
        return True
    end = time.monotonic() + QUIET_SECONDS
    while session.exists() and time.monotonic() < end:
        shutil.rmtree(session, ignore_errors=True)
        time.sleep(0.02)
    return not session.exists()


def _read(path: Path) -> Note | None:
    """What `remember` wrote there; None for anything else, and for the file of another user."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if found.st_uid != os.getuid() or not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                return None
            data: Any = read_json(file.read())
        session = data.get("session")
        processes = [_process(entry) for entry in data["processes"]]
        return Note(_process(data["driver"]), processes, Path(session) if isinstance(session, str) else None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
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
