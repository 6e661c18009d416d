"""Where else a search is watched: each training's curve, and how it ended, told to TensorBoard, MLflow, or what a user adds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import SearchError
from nas.plugins.registry import Registry, adder
from nas.replays.progress import Progress as TrainingProgress
from nas.searches.progress import EndedTrial, Progress
from nas.text.sanitize import file_stem, one_line

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from torch.utils.tensorboard import SummaryWriter

    from nas.train import Epoch

Fact = str | int | float
MOST_CHARACTERS = 300
"""Of what somebody else's error says."""


class Tracker:
    """Told of the trainings of one search. Derive from it and register it; what it raises ends the tracking, not the search."""

    def epoch(self, training: str, epoch: int, values: Mapping[str, float]) -> None:
        """A training has come to the end of an epoch that is measured; `values` by name, such as loss, accuracy and lr."""

    def ended(self, training: str, facts: Mapping[str, Fact]) -> None:
        """It has ended, or is paused: its state, and what is known of its network. One that took over a result has no epochs."""


MakeTracker = Callable[[str, str], Tracker]

TRACKERS: Registry[MakeTracker] = Registry("tracker", "nas.trackers", SearchError)
"""Trackers by name: each is made of the name of a study and the text behind the colon, empty where there is none."""


def register_tracker(name: str) -> Callable[[MakeTracker], MakeTracker]:
    """Adds a function, or a class, from the name of a study and a place to a `nas.Tracker`, as the tracker `name`.

    The place is what a user writes behind the colon of ``--track name:place``. It may raise `nas.SearchError` where it cannot
    work.
    """
    return adder(TRACKERS, name, lambda function: function)


def check_trackers(named: Sequence[str]) -> None:
    """Raises SearchError for a tracker that there is none of."""
    for text in named:
        TRACKERS.find(text.partition(":")[0])


def tracked(progress: Progress, named: Sequence[str], study: str) -> Progress:
    """What is shown by `progress` and told to these trackers; raises SearchError where one cannot work."""
    trackers: dict[str, Tracker] = {}
    for text in named:
        name, _, place = text.partition(":")
        trackers[text] = TRACKERS.find(name)(study, place)
    return Tracked(progress, trackers) if trackers else progress


class Tracked(Progress):
    """Hands everything on to another view, and the trainings to trackers too."""

    def __init__(self, shown: Progress, trackers: Mapping[str, Tracker]) -> None:
        self.shown, self.trackers = shown, dict(trackers)
        self._open: set[str] = set()
        self.note, self.started = shown.note, shown.started  # type: ignore[method-assign]
        self.paused, self.resumed = shown.paused, shown.resumed  # type: ignore[method-assign]

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
        self.tell_epoch(network[:8], epoch)

    def finished(self, trial: EndedTrial, running: int) -> None:
        """As `Progress.finished`."""
        self.shown.finished(trial, running)
        names = ("trial", "hash", "state", "seconds", "published", "reason", "accuracy")
        facts = {**{name: getattr(trial, name) for name in names}, **trial.cost.to_dict(), **trial.others}
        self.tell_end(trial.hash[:8], {name: value for name, value in facts.items() if value is not None})

    def end(self) -> None:
        """As `Progress.end`; trials that run no more are paused."""
        self.shown.end()
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
                reason = _reason(problem)
                self.note(f"{name.partition(':')[0]} is not told of this search any more: {reason}")


def _reason(problem: Exception) -> str:
    """In one line, and not all of a page."""
    return one_line(" ".join(str(problem).split()))[:MOST_CHARACTERS] or type(problem).__name__


class _TrackedTrainings(TrainingProgress):
    """The same for the trainings that follow a search."""

    def __init__(self, tracked: Tracked) -> None:
        self._tracked, self._shown = tracked, tracked.shown.of_trainings()
        self.note = self._shown.note  # type: ignore[method-assign]

    def begin(self, name: str, epochs: int, done: int) -> None:
        self._shown.begin(name, epochs, done)

    def epoch(self, name: str, epoch: Epoch) -> None:
        self._shown.epoch(name, epoch)
        self._tracked.tell_epoch(name, epoch)

    def end(self, name: str) -> None:
        self._shown.end(name)
        self._tracked.tell_end(name, {"state": "over"})


@register_tracker("tensorboard")
class TensorBoard(Tracker):
    """A folder of events for each training, in the folder of the study: ``tensorboard --logdir runs``."""

    def __init__(self, study: str, place: str) -> None:
        """Raises SearchError without the package, or where the folder cannot be written."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SearchError("track: tensorboard is not installed; pip install 'nas[tensorboard]'") from None
        self._make, self._folder = SummaryWriter, Path(place or "runs") / file_stem(study)
        self._writers: dict[str, SummaryWriter] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise SearchError(f"track: {self._folder}: cannot be written: {problem.strerror or problem}") from None

    def epoch(self, training: str, epoch: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        writer = self._writer(training)
        for name, value in values.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    def ended(self, training: str, facts: Mapping[str, Fact]) -> None:
        """Adds a row to the table of hyperparameters."""
        writer = self._writer(training)
        learned = {name: value for name, value in facts.items() if isinstance(value, float)}
        if learned:
            known = {name: value for name, value in facts.items() if not isinstance(value, float)}
            writer.add_hparams(known, {f"final/{name}": value for name, value in learned.items()}, run_name=".")
        writer.close()
        del self._writers[training]

    def _writer(self, training: str) -> SummaryWriter:
        if training not in self._writers:
            self._writers[training] = self._make(str(self._folder / file_stem(training)))
        return self._writers[training]


@register_tracker("mlflow")
class MLflow(Tracker):
    """A run for each training, in an experiment with the name of the study. The place is MLflow's tracking URI."""

    def __init__(self, study: str, place: str) -> None:
        """Raises SearchError without the package, for a password in `place`, or where its server does not answer."""
        if "@" in place.partition("://")[2].partition("/")[0]:
            raise SearchError(
                "track: MLflow: leave user and password out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise SearchError("track: MLflow is not installed; pip install 'nas[mlflow]'") from None
        try:
            self._client: MlflowClient = MlflowClient(place or None)
            found = self._client.get_experiment_by_name(study)
            self._experiment = self._client.create_experiment(study) if found is None else found.experiment_id
        except Exception as problem:
            raise SearchError(f"track: MLflow cannot make the experiment '{study}': {_reason(problem)}") from None
        self._runs: dict[str, str] = {}

    def epoch(self, training: str, epoch: int, values: Mapping[str, float]) -> None:
        """Adds a point to each metric of the run."""
        run = self._run(training)
        for name, value in values.items():
            self._client.log_metric(run, name, value, step=epoch)

    def ended(self, training: str, facts: Mapping[str, Fact]) -> None:
        """Ends the run; what it has learned is a metric, what else is known a parameter."""
        run = self._run(training)
        for name, value in facts.items():
            if isinstance(value, float):
                self._client.log_metric(run, f"final_{name}", value)
            else:
                self._client.log_param(run, name, value)
        state = str(facts.get("state", ""))
        ends = {"paused": "KILLED", "interrupted": "KILLED", "failed": "FAILED", "out_of_memory": "FAILED"}
        self._client.set_terminated(run, ends.get(state, "FINISHED"))
        del self._runs[training]

    def _run(self, training: str) -> str:
        if training not in self._runs:
            self._runs[training] = self._client.create_run(self._experiment, run_name=training).info.run_id
        return self._runs[training]
