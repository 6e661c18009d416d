"""Between Ray Tune and the study: proposes trials to Tune, and writes what Tune reports to the database.

Ray's own `OptunaSearch` leaves a trial running for ever when a metric is not a number, knows no constraints and repeats
networks. This one runs in the driver, the only process that writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from nas.driver.progress import Progress
from nas.driver.sampling import Proposal, Proposer
from nas.driver.trainable import REPORT
from nas.errors import NasError
from nas.recipe import Recipe
from nas.store import Store
from nas.train import State, outcome

T = TypeVar("T")


class Bridge(Searcher):  # type: ignore[misc]
    """Tune's searcher. Errors of the database are kept in `problem`, and end the search."""

    def __init__(
        self,
        proposer: Proposer,
        store: Store,
        study: str,
        recipe: Recipe,
        *,
        trials: int,
        finished: int,
        progress: Progress,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.proposer, self.store, self.study, self.progress = proposer, store, study, progress
        self.recipe = recipe.to_dict()
        self.trials = trials
        self.started = finished
        """Trials that count against `trials`: finished before, or begun now."""
        self.stop_reason: str | None = None
        self.exhausted = False
        self.problem: NasError | None = None
        self.errors: dict[str, tuple[State, str]] = {}
        """Why the worker of a trial was lost, by Tune's id of the trial."""
        self._running: dict[str, tuple[Proposal, int, float, dict[str, Any]]] = {}

    # Ray Tune asks for these ------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial, or that there is none."""
        if self.stop_reason or self.problem or self.exhausted or self.started >= self.trials:
            return str(Searcher.FINISHED)
        return self._guarded(lambda: self._start(trial_id)) or str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch is done."""
        self._guarded(lambda: self._epoch(trial_id, json.loads(result[REPORT])))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended: by itself, by an error of its process, or because the search ends."""
        if trial_id in self._running:
            report = json.loads(result[REPORT]) if result and REPORT in result else None
            self._guarded(lambda: self._finish(trial_id, report, error))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the rows of the database are the only state. Tune wants to see a file."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def __getstate__(self) -> dict[str, Any]:
        # The Tuner pickles its configuration to be able to restore it; we restore from the database instead.
        return {}

    # Ours -------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends what still runs as interrupted: Tune does not tell of trials that it stops with the experiment."""
        for trial_id in list(self._running):
            self._guarded(partial(self._finish, trial_id, None, False))

    def _start(self, trial_id: str) -> dict[str, Any] | None:
        proposal = self.proposer.propose()
        if proposal is None:
            self.exhausted = True
            return None
        row = self.store.start_trial(
            self.study,
            assignment=proposal.assignment,
            options=proposal.options,
            architecture=proposal.architecture,
            cost=proposal.cost,
            published=proposal.published,
        )
        self._running[trial_id] = (proposal, row, time.monotonic(), {})
        self.started += 1
        self.progress.started(len(self._running))
        return {"architecture": proposal.architecture.to_json(), "recipe": self.recipe}

    def _epoch(self, trial_id: str, report: dict[str, Any]) -> None:
        _, row, _, last = self._running[trial_id]
        last.update(report)
        if report["epoch"] is not None:
            self.store.record_epoch(row, report["epoch"])

    def _finish(self, trial_id: str, report: dict[str, Any] | None, error: bool) -> None:
        proposal, row, begun, last = self._running.pop(trial_id)
        report = report or last
        state, reason = report.get("state"), report.get("reason") or None
        if error:
            state, reason = self.errors.pop(trial_id, (State.FAILED, "its worker was lost"))
        elif state is None:
            state, reason = State.INTERRUPTED, self.stop_reason or "the search ended"
        epoch = report.get("epoch") or last.get("epoch") or {}
        accuracy = epoch.get("accuracy")
        complete = state == State.COMPLETE
        self.proposer.finish(proposal, accuracy if complete else None)
        number = self.store.finish_trial(
            row,
            state=state,
            reason=reason,
            accuracy=accuracy,
            loss=epoch.get("loss"),
            top5=epoch.get("top5"),
            seconds=report.get("seconds", time.monotonic() - begun),
            device=report.get("device"),
            environment=report.get("environment", {}),
            epochs=[epoch] if epoch else [],
        )
        self.progress.finished(
            {
                "trial": number,
                "hash": proposal.architecture.hash,
                "state": str(state),
                "reason": reason,
                "accuracy": accuracy,
                "parameters": proposal.cost.parameters,
                "macs": proposal.cost.macs,
                "activation_bytes": proposal.cost.activation_bytes,
                "published": proposal.published,
                "seconds": report.get("seconds"),
            },
            len(self._running),
        )

    def _guarded(self, action: Callable[[], T]) -> T | None:
        # Tune would wrap an error in its own and print pages; the driver raises it as it is.
        try:
            return action()
        except NasError as problem:
            self.problem = self.problem or problem
            return None


class Reasons(FIFOScheduler):  # type: ignore[misc]
    """Runs trials as they come, and keeps why a worker was lost: Tune tells the scheduler, but not the searcher."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Called before the searcher hears that the trial ended."""
        problem = trial.get_pickled_error()
        if isinstance(problem, OutOfMemoryError):
            self.bridge.errors[trial.trial_id] = (
                State.OUT_OF_MEMORY,
                "the machine ran out of memory; Ray ended the worker",
            )
        elif problem is None or isinstance(problem, RayActorError):  # a dead process leaves no error behind
            self.bridge.errors[trial.trial_id] = (
                State.FAILED,
                "its worker process died (crashed, killed, or out of memory)",
            )
        else:
            self.bridge.errors[trial.trial_id] = (State.FAILED, outcome(problem)[1])


class EndOfSearch(Stopper):  # type: ignore[misc]
    """Ends the experiment when time is up, the user says so, or the database fails."""

    def __init__(self, bridge: Bridge, deadline: float | None) -> None:
        self.bridge, self.deadline = bridge, deadline

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped here."""
        return False

    def stop_all(self) -> bool:
        """Whether everything ends now."""
        if self.deadline is not None and time.monotonic() > self.deadline and not self.bridge.stop_reason:
            self.bridge.stop_reason = "time is up"
        return bool(self.bridge.stop_reason or self.bridge.problem)
