"""Between Ray Tune and the measurements: hands trainings to Tune, and writes what comes of them to the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.tune.search import Searcher

from nas.errors import NasError
from nas.execution.protocol import REPORT
from nas.execution.tune_searcher import Link
from nas.execution.worker_loss import Deaths
from nas.replays.jobs import Job
from nas.replays.progress import Progress
from nas.replays.training import Report
from nas.store.schema import utc_now
from nas.train import Epoch, Retry, environment


@dataclass
class _Running:
    place: int
    seed: int
    started_at: str = field(default_factory=lambda: utc_now().isoformat())
    curve: list[dict[str, Any]] = field(default_factory=list)
    begun: bool = False
    lost: Mapping[str, Any] | None = None


class ReplayLink(Link):
    """Proposes trainings, places in `jobs` and seeds, in their order."""

    def __init__(self, jobs: list[Job], trainings: list[tuple[int, int]], progress: Progress) -> None:
        super().__init__()
        self.jobs, self.progress = jobs, progress
        self.broken: list[NasError] = []
        """What has to be mended before something can be trained."""
        self._waiting = list(trainings)
        self._moved: set[tuple[int, int]] = set()
        """Those whose worker was lost once."""
        self._deaths = Deaths()
        self._running: dict[str, _Running] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next training, or that there is none."""
        if not self.ended() and not self._waiting and self._running:
            return None  # a worker that is lost leaves one to be tried again
        if self.ended() or not self._waiting:
            return str(Searcher.FINISHED)
        place, seed = self._waiting.pop(0)
        self._running[trial_id] = _Running(place, seed)
        return {"place": place, "seed": seed}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch is done."""
        self._guarded(lambda: self._heard(trial_id, json.loads(result[REPORT])))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A training ended: by itself, by an error of its process, or because everything ends."""
        if trial_id in self._running:
            report = json.loads(result[REPORT]) if result and REPORT in result else {}
            self._guarded(lambda: self._finish(trial_id, report))

    def lost(self, trial_id: str, report: Callable[[float], Mapping[str, Any]]) -> None:
        """The process of a training is gone."""
        running = self._running.get(trial_id)
        if running is not None:
            running.lost = report(0.0)

    def close(self) -> None:
        """Ends what still runs; its checkpoints are what the next run goes on from."""
        for running in self._running.values():
            self.progress.end(self._name(running))
        self._running.clear()

    def _heard(self, trial_id: str, report: Mapping[str, Any]) -> None:
        running = self._running[trial_id]
        name = self._name(running)
        if report["begun"] is not None:
            running.begun = True
            self.progress.begin(name, self.jobs[running.place].plan.recipe.epochs, report["begun"])
        if report["epoch"] is not None:
            self._deaths.epoch(first=not running.curve)
            running.curve.append(report["epoch"])
            self.progress.epoch(name, Epoch(**report["epoch"]))

    def _finish(self, trial_id: str, report: Mapping[str, Any]) -> None:
        running = self._running[trial_id]
        name = self._name(running)
        if running.lost is not None:
            report = running.lost
            if report.get("epoch") is not None or report.get("begun") is not None:
                self._heard(trial_id, report)
        elif report:
            self._heard(trial_id, report)
        at_once = len(self._running)
        del self._running[trial_id]
        self.progress.end(name)
        if report.get("retry") == Retry.ELSEWHERE and self._again(running, report, at_once):
            return
        if report.get("broken"):
            self.progress.note(f"{name}: {report['broken']}")
            self.broken.append(NasError(report["broken"]))
        elif report.get("ended"):
            self._record(running, Report(**report["ended"]))
        elif running.lost is not None:
            self._record(running, self._last_words(running, running.lost))

    def _again(self, running: _Running, report: Mapping[str, Any], at_once: int) -> bool:
        """Whether a training goes on from its last epoch in another process: once. Raises SearchError when none gets so far."""
        reason = report["reason"] if "reason" in report else report["ended"]["reason"]
        if not running.curve and not report.get("node_lost"):
            problem = self._deaths.death(reason, at_once)
            if problem is not None:
                raise problem
        training = running.place, running.seed
        if training in self._moved or self.ended():
            return False
        self._moved.add(training)
        self._waiting.insert(0, training)
        self.progress.note(f"{self._name(running)}: {reason}; it is tried once more")
        return True

    def _record(self, running: _Running, report: Report) -> None:
        job = self.jobs[running.place]
        if report.accuracy is not None:
            self.progress.note(f"{self._name(running)}: test accuracy {report.accuracy:.2%}")
        if not job.record(running.seed, report):
            self._waiting = [training for training in self._waiting if training[0] != running.place]

    def _last_words(self, running: _Running, lost: Mapping[str, Any]) -> Report:
        precision = self.jobs[running.place].plan.recipe.precision
        return Report(
            str(lost["state"]), lost["reason"], running.curve, precision, "", environment(), running.started_at
        )

    def _name(self, running: _Running) -> str:
        return f"{self.jobs[running.place].plan.title} seed {running.seed}"
