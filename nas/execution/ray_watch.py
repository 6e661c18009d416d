"""A Ray that dies under the search: seen at once, said in one line.

Ray's own library notices after seconds or a minute that the raylet or the GCS of its machine is gone, prints pages and ends the
process. What had finished is in the database by then; who reads the pages cannot know.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import SearchError
from nas.execution.stop import Stop

VITAL = ("raylet", "gcs_server")
LOOK_SECONDS = 0.5
LEAVE_SECONDS = 5.0
"""To end in good order. Ray ends the process 10 s later or more."""


@contextmanager
def watched(stop: Stop, processes: Iterable[int]) -> Iterator[None]:
    """Ends the run, with exit code 2, when one of `processes` dies without which the Ray of this driver cannot be."""
    vital = {pid: name for pid in processes if (name := _name(pid)) in VITAL}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            dead = [name for pid, name in vital.items() if _name(pid) != name]
            if dead:
                leave(dead[0])
                return

    def leave(name: str) -> None:
        stop.fail(
            SearchError(
                f"Ray's process {name} on this machine died (killed, or out of memory); nothing finished is lost; run the same "
                "command again to resume"
            )
        )
        if not ended.wait(LEAVE_SECONDS):
            print(f"nas: error: {stop.problem}", file=sys.stderr, flush=True)
            os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _name(pid: int) -> str | None:
    """The program of a process that lives; None when it has ended, also when its parent has not asked yet how."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return None
    return None if rest.split()[0] in "ZX" else name
