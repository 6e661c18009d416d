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


def read_paused(
    study: str, rows: Sequence[Mapping[str, Any]], store: Store, rungs: Promoting | None
) -> tuple[list[PausedTrial], list[PausedTrial]]:
    """Those of one study, `rows` of `Store.paused`: interrupted ones, and those that wait until `rungs` promote them.

    Without `rungs` none waits at a rung: all were interrupted.
    """
    interrupted: list[PausedTrial] = []
    at_rung: list[PausedTrial] = []
    environments = store.environments(study) if rows else {}
    for row in rows:
        curve = dict(store.curve(int(row["id"])))
        trial = PausedTrial.of(row, curve.get(int(row["epochs"]), {}), environments.get(row["environment"], {}))
        if rungs is None or trial.epoch not in rungs.epochs or trial.published:
            interrupted.append(trial)
        else:
            at_rung.append(trial)
            _note_worth(store, trial)
    return interrupted, at_rung


def _note_worth(store: Store, trial: PausedTrial) -> None:
    """A driver that was killed has not said what the trial was worth when it paused."""
    store.resume_trial(trial.row)
    store.pause_trial(trial.row, trial.result)
