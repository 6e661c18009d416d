"""Why a run ends before everything is done: the user says so, its time is up, or something fails on which it depends."""

from __future__ import annotations

import time

from nas.errors import NasError

INTERRUPTED = "interrupted"
TIME_IS_UP = "time is up"


class Stop:
    """Shared by all who can end a run (signals, a clock, the watch over Ray, the database) and all who must know."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Why there is an end in good order."""
        self.problem: NasError | None = None
        """The error that ends the run."""
        self._deadline: float | None = None

    def in_seconds(self, seconds: float | None) -> float | None:
        """Lets the run end so many seconds from now, None: never. Returns that moment in `time.monotonic`."""
        self._deadline = None if seconds is None else time.monotonic() + seconds
        return self._deadline

    def seconds_left(self) -> float | None:
        """Until the run ends by its clock; None where it has none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def fail(self, problem: NasError) -> None:
        """Ends the run with an error; the first one counts."""
        self.problem = self.problem or problem

    def asked(self) -> bool:
        """Whether an end in good order has begun."""
        return self.reason is not None

    def now(self) -> bool:
        """Whether everything ends now."""
        if self.reason is None and self._deadline is not None and time.monotonic() > self._deadline:
            self.reason = TIME_IS_UP
        return self.reason is not None or self.problem is not None

    def check(self) -> None:
        """Raises the error that ended the run, if one did."""
        if self.problem is not None:
            raise self.problem
