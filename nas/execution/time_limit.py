"""A time limit on what a model does, in the process that does it.

Two stages, because a model can hang in two ways. In Python code an alarm raises `TimedOut`, and the worker goes on with
the next trial. In native code (a kernel that never ends, a lock) no Python runs: then a thread of C ends the process
`GRACE_SECONDS` later, and Ray starts another worker.
"""

from __future__ import annotations

import faulthandler
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_SECONDS = 10.0


class TimedOut(BaseException):
    """The time of a trial is up. Not an Exception: no model shall catch it by accident."""


class TimeLimit:
    """So many seconds in all, spent inside `running` blocks; what happens between them does not count."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._used = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Raises TimedOut in the block once the time is up, or ends the process when that is not heard."""
        if self.seconds is None:
            yield
            return
        left = self.seconds - self._used
        if left <= 0:
            raise TimedOut
        began = time.monotonic()
        # The traceback goes to standard error, which is the log of the worker: it says where the model hangs.
        faulthandler.dump_traceback_later(left + GRACE_SECONDS, exit=True, file=2)
        alarmed = threading.current_thread() is threading.main_thread()  # only there may a signal be handled
        if alarmed:
            before = signal.signal(signal.SIGALRM, _raise)
            signal.setitimer(signal.ITIMER_REAL, left)
        try:
            try:
                yield
            finally:
                if alarmed:
                    signal.setitimer(signal.ITIMER_REAL, 0.0)
                    signal.signal(signal.SIGALRM, before)
        finally:  # also when the alarm came in the lines above
            faulthandler.cancel_dump_traceback_later()
            self._used += time.monotonic() - began


def _raise(number: int, frame: object) -> None:
    raise TimedOut
