"""A view of a search that hands everything on to another one; and one that tells the log of the run besides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.replays import progress as trainings
from nas.replays.progress import Progress as TrainingProgress
from nas.searches.progress import EndedTrial, Progress, describe
from nas.text.log import LOG

if TYPE_CHECKING:
    import pandas as pd

    from nas.train import Epoch


class Relay(Progress):
    """Hands everything on to `shown`. Derive from it to do something besides."""

    def __init__(self, shown: Progress) -> None:
        self.shown = shown

    def note(self, text: str) -> None:
        """As `Progress.note`."""
        self.shown.note(text)

    def started(self, running: int) -> None:
        """As `Progress.started`."""
        self.shown.started(running)

    def paused(self, network: str, reason: str, waiting: int, running: int) -> None:
        """As `Progress.paused`."""
        self.shown.paused(network, reason, waiting, running)

    def resumed(self, waiting: int) -> None:
        """As `Progress.resumed`."""
        self.shown.resumed(waiting)

    def begin(
        self,
        study: str,
        past: pd.DataFrame,
        objectives: Sequence[str],
        trials: int,
        deadline: float | None,
        measured_on: int | None = None,
    ) -> None:
        """As `Progress.begin`."""
        self.shown.begin(study, past, objectives, trials, deadline, measured_on)

    def epoch(self, network: str, epoch: Epoch, epochs: int) -> None:
        """As `Progress.epoch`."""
        self.shown.epoch(network, epoch, epochs)

    def finished(self, trial: EndedTrial, running: int) -> None:
        """As `Progress.finished`."""
        self.shown.finished(trial, running)

    def end(self) -> None:
        """As `Progress.end`."""
        self.shown.end()

    def of_trainings(self) -> TrainingProgress:
        """As `Progress.of_trainings`."""
        return self.shown.of_trainings()


class Logged(Relay):
    """Tells the log of the run what people see of a search."""

    _measured_on: int | None = None

    def note(self, text: str) -> None:
        """As `Progress.note`."""
        LOG.info("%s", text)
        super().note(text)

    def begin(
        self,
        study: str,
        past: pd.DataFrame,
        objectives: Sequence[str],
        trials: int,
        deadline: float | None,
        measured_on: int | None = None,
    ) -> None:
        """As `Progress.begin`."""
        self._measured_on = measured_on
        super().begin(study, past, objectives, trials, deadline, measured_on)

    def paused(self, network: str, reason: str, waiting: int, running: int) -> None:
        """As `Progress.paused`."""
        LOG.info("network %s is paused: %s", network[:8], reason)
        super().paused(network, reason, waiting, running)

    def finished(self, trial: EndedTrial, running: int) -> None:
        """As `Progress.finished`."""
        LOG.info("%s", describe(trial, self._measured_on))
        super().finished(trial, running)

    def of_trainings(self) -> TrainingProgress:
        """As `Progress.of_trainings`."""
        return trainings.Logged(super().of_trainings())
