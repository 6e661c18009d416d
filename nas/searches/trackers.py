"""Where else a search can be watched: TensorBoard, MLflow, or what a user adds. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import SearchError
from nas.plugins.registry import Registry, adder
from nas.text.sanitize import file_stem, one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from torch.utils.tensorboard import SummaryWriter

Fact = str | int | float
MOST_CHARACTERS = 300
"""So much is told of what somebody else's error says."""


class Tracker:
    """Base of trackers, which are told of the trainings of one search.

    Derive from it and register it. What it raises ends the tracking, not the search.
    """

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


def reason_of(problem: Exception) -> str:
    """In one line, and not all of a page."""
    return one_line(" ".join(str(problem).split()))[:MOST_CHARACTERS] or type(problem).__name__


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
            raise SearchError(f"track: MLflow cannot make the experiment '{study}': {reason_of(problem)}") from None
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
