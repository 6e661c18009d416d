"""Hypervolume as a search goes on, over trials and over training time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from nas.pareto import losses

if TYPE_CHECKING:
    import pandas as pd

POINTS: Final = 240
"""Most moments that are evaluated."""


@dataclass(frozen=True)
class Trajectory:
    """The hypervolume after each of some moments; equal lengths."""

    trials: list[int]
    """Finished trials so far."""
    hours: list[float]
    """Training time so far, of all trials added up."""
    hypervolume: list[float]


def trajectory(trials: pd.DataFrame, objectives: Sequence[str]) -> Trajectory:
    """The hypervolume (as `nas.pareto.hypervolume`) after the first n finished trials, for up to `POINTS` values of n.

    Trials that took over an earlier result (`source`) cost no time.
    """
    import moocore

    count = len(trials)
    if count == 0:
        return Trajectory([0], [0.0], [0.0])
    seconds = trials["seconds"].fillna(0.0).to_numpy(float).copy()
    if "source" in trials:
        seconds[trials["source"].notna().to_numpy()] = 0.0
    hours = np.cumsum(seconds) / 3600
    complete = (trials["state"] == "complete").to_numpy()
    points = np.full((count, len(objectives)), np.nan)
    if complete.any():
        points[complete] = losses(trials[complete], objectives)
    moments = sorted({round(value) for value in np.linspace(1, count, min(count, POINTS))})
    front = np.empty((0, len(objectives)))
    reference = np.ones(len(objectives))
    volumes = []
    before = 0
    for moment in moments:
        new = points[before:moment]
        front = np.vstack([front, new[~np.isnan(new).any(axis=1)]])
        if len(front):
            front = front[moocore.is_nondominated(front)]
        volumes.append(float(moocore.hypervolume(front, ref=reference)) if len(front) else 0.0)
        before = moment
    return Trajectory([0, *moments], [0.0, *(float(hours[n - 1]) for n in moments)], [0.0, *volumes])
