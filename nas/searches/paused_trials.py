"""Trials of a study that have begun, run in no process, and may go on: interrupted ones, and those that wait at a rung."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from nas.architecture.cost import Cost
from nas.execution.report import Environment
from nas.objectives import COUNTED, OBJECTIVES, learned
from nas.searches.early_stopping import Promoting
from nas.space.space import Assignment
from nas.store import Store, TrialResult


@dataclass(frozen=True)
class PausedTrial:
    """One trial that may go on."""

    row: int
    """Id in the database."""
    hash: str
    assignment: Assignment
    published: str | None
    epoch: int
    """The last one that is recorded."""
    cost: Cost
    result: TrialResult
    """What is known of it after that epoch."""

    @classmethod
    def of(cls, trial: Mapping[str, Any], found: Mapping[str, float | None], environment: Environment) -> Self:
        """From a row of `Store.paused`."""
        known = [
            name for name in OBJECTIVES if name in trial and name not in COUNTED and name not in learned(OBJECTIVES)
        ]
        others = {name: float(trial[name]) for name in known if not math.isnan(trial[name])}
        cost = Cost(int(trial["parameters"]), int(trial["macs"]), int(trial["activation_bytes"]), others)
        seconds = None if math.isnan(trial["seconds"]) else float(trial["seconds"])
        published, reason, device = (
            trial[name] if isinstance(trial[name], str) else None for name in ("published", "reason", "device")
        )
        return cls(
            row=int(trial["id"]),
            hash=trial["hash"],
            assignment=trial["assignment"],
            published=published,
            epoch=int(trial["epochs"]),
            cost=cost,
            result=TrialResult(reason, found, seconds, device, environment),
        )


class PausedTrials:
    """Those of one study, `rows` of `Store.paused`. Interrupted ones go on first, others when `rungs` promote them.

    Without `rungs` none waits at a rung: all go on.
    """

    def __init__(self, study: str, rows: Sequence[Mapping[str, Any]], store: Store, rungs: Promoting | None) -> None:
        self.rungs = rungs
        self.interrupted: list[PausedTrial] = []
        self.at_rung: dict[str, PausedTrial] = {}
        """Trials that wait, by network: see `wait` and `take`."""
        self._rungs_of: dict[str, int] = {}
        """And after which epoch each does."""
        environments = store.environments(study) if rows else {}
        for row in rows:
            curve = dict(store.curve(int(row["id"])))
            trial = PausedTrial.of(row, curve.get(int(row["epochs"]), {}), environments.get(row["environment"], {}))
            if rungs is None or trial.epoch not in rungs.epochs or trial.published:
                self.interrupted.append(trial)
            else:
                self.wait(trial)
                _note_worth(store, trial)

    def wait(self, trial: PausedTrial) -> None:
        """A trial has come to a rung, and waits there."""
        self.at_rung[trial.hash] = trial
        self._rungs_of[trial.hash] = trial.epoch

    def take(self, network: str) -> PausedTrial:
        """The trial of this network waits no more."""
        del self._rungs_of[network]
        return self.at_rung.pop(network)

    def next(self) -> PausedTrial | None:
        """The trial that goes on now, if one does rather than that a new one begins."""
        if self.interrupted:
            return self.interrupted.pop(0)
        network = self.promoted()
        return None if network is None else self.take(network)

    def promoted(self, network: str | None = None, epoch: int = 0) -> str | None:
        """Which of those that wait at a rung goes on, and of the trial of `network` that is there after `epoch`."""
        if self.rungs is None:
            return None
        if network is None:
            return self.rungs.promote(self._rungs_of)
        self._rungs_of[network] = epoch
        try:
            return self.rungs.promote(self._rungs_of)
        finally:
            del self._rungs_of[network]


def _note_worth(store: Store, trial: PausedTrial) -> None:
    """A driver that was killed has not said what the trial was worth when it paused."""
    store.resume_trial(trial.row)
    store.pause_trial(trial.row, trial.result)
