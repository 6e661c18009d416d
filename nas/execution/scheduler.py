"""What Ray Tune's scheduler does for us: trials run as they come, stop at rungs, and are told why their worker was lost."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from nas.execution.report import REPORT
from nas.execution.stop import Stop
from nas.execution.tune_searcher import JobSearcher


class Scheduler(FIFOScheduler):  # type: ignore[misc]
    """Asks the searcher whether a trial goes on, and tells it what became of a worker: Tune does not."""

    def __init__(self, searcher: JobSearcher[Any]) -> None:
        super().__init__()
        self.searcher = searcher
        self._new: deque[Any] = deque()

    def __getstate__(self) -> dict[str, object]:
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A trial was proposed."""
        self._new.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The oldest trial that has not been chosen yet.

        Tune's own choice is the oldest that does not run yet, though its process is being started: it gives such a trial
        any process that has become idle, ends the one that was starting and starts another for the next trial. With
        trials that are shorter than the start of a process that never ends: one process worked while three were started,
        64 in all for 120 trials.
        """
        while self._new:
            trial = self._new.popleft()
            if trial.status == Trial.PENDING:
                return trial
        return None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """An epoch is done; what the searcher makes of it."""
        goes_on = self.searcher.goes_on(trial.trial_id, result[REPORT])
        return str(FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Called before the searcher hears that the trial ended."""
        self.searcher.lost(trial.trial_id, _problem(trial))


def _problem(trial: Any) -> Exception | None:
    """What Ray raised when the process of the trial was lost; None when it left no error.

    Tune hands no error to its schedulers: it has just written it to this file, in this process. Its own
    `get_pickled_error` looks for a copy that is made only with Tune's snapshots, which we switch off.
    """
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return None
    problem: Exception = cloudpickle.loads(Path(path).read_bytes())
    return problem


class Starts(Callback):  # type: ignore[misc]
    """Tells the searcher when a trial gets a worker."""

    def __init__(self, searcher: JobSearcher[Any]) -> None:
        self.searcher = searcher

    def __getstate__(self) -> dict[str, object]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called before its first epoch."""
        self.searcher.on_worker(trial.trial_id)


class EachStep(Stopper):  # type: ignore[misc]
    """What Tune asks after every step, ten times a second at least: whether the experiment ends, which it does with everything."""

    def __init__(self, stop: Stop, searcher: JobSearcher[Any]) -> None:
        self.stop, self.searcher = stop, searcher

    def __getstate__(self) -> dict[str, object]:
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Whether everything ends now."""
        self.searcher.tick()
        return self.stop.now()
