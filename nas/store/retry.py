"""Waiting for a database that is away for a while: locked by another process, restarted, cut off.

A search that has trained for hours must not end because a server was restarted. A transaction that fails for such a reason
is tried again, at growing intervals, and what it should have written is kept until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from nas.errors import StorageError

T = TypeVar("T")

PATIENCE_SECONDS: Final = 600.0
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 15.0
HURRY_SECONDS: Final = 5.0
"""More that is waited when the user has asked for the end meanwhile."""

_SQLITE_AWAY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_POSTGRES_AWAY: Final = (
    "08",  # connection exceptions
    "40",  # deadlock, serialization failure
    "53300",  # too many connections
    "55P03",  # lock not available
    "57P",  # the server was shut down, crashed, or starts up
)


def away(problem: StorageError) -> bool:
    """Whether the same transaction may succeed later. A full disk, a damaged file or a wrong password do not mend themselves."""
    cause = problem.__cause__
    if not isinstance(cause, DBAPIError):
        return False
    if cause.connection_invalidated:
        return True
    name = getattr(cause.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).startswith(_SQLITE_AWAY)
    if not isinstance(cause, OperationalError | InterfaceError):
        return False
    state = getattr(cause.orig, "sqlstate", None)  # None: the server could not be reached at all
    return state is None or str(state).startswith(_POSTGRES_AWAY)


class Patience:
    """Calls an action again while the database is away, for `seconds` in all; then the error is raised."""

    def __init__(
        self,
        seconds: float = PATIENCE_SECONDS,
        notify: Callable[[str], None] = lambda text: None,
        hurried: Callable[[], bool] = lambda: False,
    ) -> None:
        """`notify` is told, once a trouble, that we wait; `hurried` says whether the user has asked for the end."""
        self.seconds, self.notify, self.hurried = seconds, notify, hurried

    def __call__(self, action: Callable[[bool], T]) -> T:
        """The result of ``action(again)``; `again`: an earlier try failed, but may have been committed all the same."""
        began = time.monotonic()
        hurried_at: float | None = None
        pause = FIRST_PAUSE
        attempt = 0
        while True:
            try:
                return action(attempt > 0)
            except StorageError as problem:
                waited = time.monotonic() - began
                if not away(problem):
                    raise
                if hurried_at is None and self.hurried():
                    hurried_at = waited
                limit = self.seconds if hurried_at is None else min(self.seconds, hurried_at + HURRY_SECONDS)
                if waited >= limit:
                    self.seconds = 0.0  # whoever writes next, to end in good order, need not wait as long again
                    raise
                if attempt == 0:
                    self.notify(f"{problem}; trying again for up to {self.seconds / 60:.0f} min")
            attempt += 1
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            if self.hurried():
                return
