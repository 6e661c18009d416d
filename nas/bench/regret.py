"""How far a search is from the front of a table, and what it has spent until then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Run:
    """What one search found, event by event: a training came to its end, was stopped, or waits."""

    sampler: str
    workers: int
    seed: int
    regret: tuple[float, ...]
    """1 - HV/HV_max after each event; of networks that were trained to the end alone."""
    finished_at: tuple[float, ...]
    """When each event was, on the simulated clock, in seconds where the table has them."""
    suggest_seconds: tuple[float, ...]
    """Real time of each proposal."""
    repeats: int
    """Proposals of the sampler that could not be trained: a network met before, or one that does not fit."""
    scheduler: str = "none"
    trials: tuple[int, ...] = ()
    """Networks that had left their worker by then, trained to the end or not; without any, an event is a network."""
    steps: tuple[float, ...] = ()
    """What had been trained by then, in whole trainings of one network; without any, an event is one."""
    completed: int = 0
    """Networks that were trained to the end."""

    def regret_at(self, unit: str, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Regret after so many trials, whole trainings or hours of the simulated clock: 1 before the first event."""
        spent = {
            "trials": self.trials or range(1, len(self.regret) + 1),
            "steps": self.steps or range(1, len(self.regret) + 1),
            "hours": [seconds / 3600 for seconds in self.finished_at],
        }[unit]
        # a billionth: sums of the same parts in another order are the same
        places = np.searchsorted(np.asarray(spent, dtype=float), np.asarray(points, float) * (1 + 1e-9), side="right")
        return np.array([1.0, *self.regret])[places]


class RegretCurve:
    """1 - HV/HV_max of a growing set of rows of (networks, objectives) losses in [0, 1], up to (1, …, 1).

    With `heard`, losses that are known with noise, the front is what is best by these, and scored by the others: then it can get
    worse.
    """

    def __init__(self, losses: npt.NDArray[np.float64], heard: npt.NDArray[np.float64] | None = None) -> None:
        self._losses, self._heard = losses, losses if heard is None else heard
        self._rows: list[int] = []
        self._reference = np.ones(losses.shape[1])
        self._best = moocore.hypervolume(losses, ref=self._reference)
        self._volume = 0.0
        self.regret: list[float] = []
        """After each event."""

    def add(self, row: int) -> None:
        """One more training has come to its end."""
        point, front = self._heard[row], self._heard[self._rows]
        if not np.any(np.all(front <= point, axis=1)):
            stays = ~np.all(front >= point, axis=1)
            self._rows = [*[old for old, kept in zip(self._rows, stays, strict=True) if kept], row]
            self._volume = float(moocore.hypervolume(self._losses[self._rows], ref=self._reference))
        self.pass_by()

    def pass_by(self) -> None:
        """Something happened that leaves the front as it is."""
        self.regret.append(1 - self._volume / self._best if self._best > 0 else 0.0)


def regrets(runs: Sequence[Run], unit: str, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(runs, points); a run that had ended before keeps its last value."""
    return np.array([run.regret_at(unit, points) for run in runs])
