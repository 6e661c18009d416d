"""What Ray Tune asks of whoever proposes its trials, and what all of ours answer alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ray.tune.search import Searcher

from nas.errors import NasError

T = TypeVar("T")


class Link(Searcher):  # type: ignore[misc]
    """Tune's searcher, in the process that writes to the database. A NasError is kept in `problem`, and ends the run."""

    trial_timeout: float | None = None
    """Seconds."""

    def __init__(self) -> None:
        super().__init__(metric=None, mode=None)
        self.stop_reason: str | None = None
        self.problem: NasError | None = None

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the rows of the database are the only state. Tune wants to see a file."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def __getstate__(self) -> dict[str, Any]:
        # The Tuner pickles its configuration to be able to restore it; we restore from the database instead.
        return {}

    # The scheduler asks for these -------------------------------------------------------------------------------------

    def ended(self) -> bool:
        """Whether everything ends now: the user says so, or the database fails."""
        return bool(self.stop_reason or self.problem)

    def goes_on(self, trial_id: str, report: Mapping[str, Any]) -> bool:
        """Whether a trial that reports is worth its next epoch."""
        return True

    def on_worker(self, trial_id: str) -> None:
        """A trial has got a worker: Tune may take its time to start a process, or wait for a GPU."""

    def lost(self, trial_id: str, report: Callable[[float], Mapping[str, Any]]) -> None:
        """The process of a trial is gone; `report` makes its last words from the seconds since the trial began."""
        raise NotImplementedError

    def _guarded(self, action: Callable[[], T]) -> T | None:
        # Tune would wrap an error in its own and print pages; the driver raises it as it is.
        try:
            return action()
        except NasError as problem:
            self.problem = self.problem or problem
            return None
