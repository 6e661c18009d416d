"""A search that is told to trackers, beside whoever shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from nas.replays import progress as trainings
from nas.replays.progress import Progress as TrainingProgress
from nas.searches.progress import EndedTrial, Progress
from nas.searches.relay import Relay
from nas.searches.trackers import TRACKERS, Fact, Tracker, reason_of

if TYPE_CHECKING:
    from nas.train import Epoch


def tracked(progress: Progress, named: Sequence[str], study: str) -> Progress:
    """What is shown by `progress` and told to these trackers; raises SearchError where one cannot work."""
    trackers: dict[str, Tracker] = {}
    for text in named:
        name, _, place = text.partition(":")
        trackers[text] = TRACKERS.find(name)(study, place)
    return Tracked(progress, trackers) if trackers else progress


class Tracked(Relay):
    """Hands everything on to another view, and the trainings to trackers too."""

    def __init__(self, shown: Progress, trackers: Mapping[str, Tracker]) -> None:
        super().__init__(shown)
        self.trackers = dict(trackers)
        self._open: set[str] = set()

    def epoch(self, network: str, epoch: Epoch, epochs: int) -> None:
        """As `Progress.epoch`."""
        super().epoch(network, epoch, epochs)
        self.tell_epoch(network[:8], epoch)

    def finished(self, trial: EndedTrial, running: int) -> None:
        """As `Progress.finished`."""
        super().finished(trial, running)
        names = ("trial", "hash", "state", "seconds", "published", "reason", "accuracy")
        facts = {**{name: getattr(trial, name) for name in names}, **trial.cost.to_dict(), **trial.others}
        self.tell_end(trial.hash[:8], {name: value for name, value in facts.items() if value is not None})

    def end(self) -> None:
        """As `Progress.end`; trials that run no more are paused."""
        super().end()
        for training in sorted(self._open):
            self.tell_end(training, {"state": "paused"})

    def of_trainings(self) -> TrainingProgress:
        """As `Progress.of_trainings`."""
        return _TrackedTrainings(self)

    def tell_epoch(self, training: str, epoch: Epoch) -> None:
        """Tells every tracker what is finite of an epoch."""
        self._open.add(training)
        values = {**asdict(epoch), **epoch.others}
        found = {name: value for name, value in values.items() if isinstance(value, float) and math.isfinite(value)}
        self._tell(lambda tracker: tracker.epoch(training, epoch.epoch, found))

    def tell_end(self, training: str, facts: Mapping[str, Fact]) -> None:
        """Tells every tracker that a training is over."""
        self._open.discard(training)
        self._tell(lambda tracker: tracker.ended(training, facts))

    def _tell(self, told: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                told(tracker)
            except Exception as problem:  # whatever a server or a package of others can do
                del self.trackers[name]
                reason = reason_of(problem)
                self.note(f"{name.partition(':')[0]} is not told of this search any more: {reason}")


class _TrackedTrainings(trainings.Relay):
    """The same for the trainings that follow a search."""

    def __init__(self, tracked: Tracked) -> None:
        super().__init__(tracked.shown.of_trainings())
        self._tracked = tracked

    def epoch(self, name: str, epoch: Epoch) -> None:
        super().epoch(name, epoch)
        self._tracked.tell_epoch(name, epoch)

    def end(self, name: str) -> None:
        super().end(name)
        self._tracked.tell_end(name, {"state": "over"})
