"""What Ray Tune's scheduler does for us: trials run as they come, stop at rungs, and are told why their worker was lost."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import (
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from nas.execution.protocol import REPORT, Retire
from nas.execution.tune_searcher import Link
from nas.states import State
from nas.train import Retry, judge

NODE_LOST = "its node was lost"
NODE_DIED = ("its node has died", "its owner has died", "node has crashed")

MOST_WORDS = 300
"""Characters of Ray's that a reason repeats."""


class Scheduler(FIFOScheduler):  # type: ignore[misc]
    """Asks the link whether a trial goes on, and tells it what became of a worker: Tune's searchers are not told."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link
        self._new: deque[Any] = deque()

    def __getstate__(self) -> dict[str, Any]:
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
        """An epoch is done; what the link makes of it."""
        goes_on = self.link.goes_on(trial.trial_id, json.loads(result[REPORT]))
        return str(FIFOScheduler.CONTINUE if goes_on else FIFOScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Called before the searcher hears that the trial ended."""
        problem = _problem(trial)
        timeout = self.link.trial_timeout
        self.link.lost(trial.trial_id, lambda seconds: last_words(problem, seconds, timeout))


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


def last_words(problem: Exception | None, seconds: float, timeout: float | None) -> Mapping[str, Any]:
    """The report of a trial whose process is gone after so many seconds, from Ray's error."""
    if isinstance(problem, RayTaskError) and isinstance(problem.cause, Retire):
        report: Mapping[str, Any] = json.loads(problem.cause.report)
        return report
    if isinstance(problem, OutOfMemoryError):
        reason = "the machine ran out of memory; Ray ended the worker"
        return _report(State.OUT_OF_MEMORY, reason, seconds, Retry.ALONE)
    if _node_lost(problem):
        return {**_report(State.INTERRUPTED, NODE_LOST, seconds, Retry.ELSEWHERE), "node_lost": True}
    if _never_made(problem):
        host = re.search(r"\bip=([\w.:]+)", str(problem))
        where = f" on {host[1]}" if host else ""
        reason = f"its worker process could not be made{where}: {cause_of(problem)}"
        return _report(State.INTERRUPTED, reason, seconds, Retry.ELSEWHERE)
    if problem is None or isinstance(problem, RayActorError | WorkerCrashedError):  # the dead may leave no error behind
        # An alarm that is heard ends the trial, not its process. Our clock starts when the process is up, its own before.
        if timeout is not None and seconds >= timeout:
            reason = f"hung in native code for longer than {timeout:g} s; its worker process was ended"
            return _report(State.TIMED_OUT, reason, seconds, Retry.NEVER)
        # Whoever killed it, or whatever it ran out of, need not have to do with the network.
        return _report(State.FAILED, f"its worker process died ({cause_of(problem)})", seconds, Retry.ELSEWHERE)
    verdict = judge(problem)
    return _report(verdict.state, verdict.reason, seconds, verdict.retry)


def cause_of(problem: Exception | None) -> str:
    """What Ray says of the death of a process, in a line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem or "")).strip()
    if _never_made(problem):
        return text.splitlines()[-1].strip()[:MOST_WORDS] if text else type(problem).__name__
    detail = text.partition("Worker exit detail:")[2].partition("\n")[0].partition(" Some common causes")[0]
    detail = detail.partition(" There are some potential root causes")[0].strip().rstrip(".")
    # A process that ends without a word is known by its closed connection; Ray lists the same guesses in forty words.
    if not detail or "connection error" in detail:
        return "crashed, killed, or out of memory"
    return detail[:MOST_WORDS]


def _node_lost(problem: Exception | None) -> bool:
    """Whether the machine is gone, or cannot be reached, or its Ray has died, rather than the process."""
    if isinstance(problem, ActorUnavailableError | NodeDiedError | LocalRayletDiedError):
        return True
    # Ray says it in words alone. "its owner": the driver, which reads this; so it is the raylet of its machine that died.
    return isinstance(problem, RayActorError) and any(words in str(problem) for words in NODE_DIED)


def _never_made(problem: Exception | None) -> bool:
    """Whether a process could not be brought to train anything: another version of the code there, a missing package."""
    if isinstance(problem, RuntimeEnvSetupError):
        return True
    return isinstance(problem, RayActorError) and problem.actor_init_failed


def _report(state: State, reason: str, seconds: float, retry: Retry) -> Mapping[str, Any]:
    return {"state": state, "reason": reason, "seconds": seconds, "retry": retry}


class Starts(Callback):  # type: ignore[misc]
    """Tells the link when a trial gets a worker."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called before its first epoch."""
        self.link.on_worker(trial.trial_id)


class EndOfSearch(Stopper):  # type: ignore[misc]
    """Ends the experiment when the link says so."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Whether everything ends now."""
        return self.link.ended()
