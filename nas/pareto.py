"""Pareto fronts and their hypervolume, over plain arrays and frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nas.objectives import MAXIMIZED, OBJECTIVES

if TYPE_CHECKING:
    import pandas as pd


def losses(frame: pd.DataFrame, objectives: Sequence[str]) -> npt.NDArray[np.float64]:
    """(trials, objectives) scaled to [0, 1], less is better: see `scaled_loss`."""
    columns = [scaled_loss(name, frame[name].to_numpy(dtype=np.float64)) for name in objectives]
    return np.column_stack(columns) if columns else np.empty((len(frame), 0))


def scaled_loss(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Values of one objective scaled to [0, 1], less is better.

    Accuracy becomes the error; a cost c becomes log10(c) / s with s the `power` of its objective, latency in nanoseconds.
    """
    objective = OBJECTIVES[name]
    array = np.asarray(values, dtype=np.float64) * objective.factor
    return 1 - array if objective.is_maximized else np.log10(np.maximum(array, 1)) / objective.power


def pareto(frame: pd.DataFrame, objectives: Sequence[str]) -> pd.DataFrame:
    """The complete trials that no other one beats in every objective, the same network once, cheapest first."""
    import moocore

    complete = frame[frame["state"] == "complete"].drop_duplicates("hash")
    if complete.empty:
        return complete
    mask = moocore.is_nondominated(losses(complete, objectives), keep_weakly=True)
    order = [name for name in objectives if name not in MAXIMIZED] or list(objectives)
    return complete[mask].sort_values([*order, "trial"], kind="stable")


def left_out(frame: pd.DataFrame, objectives: Sequence[str], chance: float = 0.0) -> pd.DataFrame:
    """The trials that were stopped early and would be on the front with what they had by then: nobody beats them.

    One that had no accuracy above `chance` had learned nothing and is none of them: of the cheapest networks there is always
    one that nobody beats. A network that was trained to an end of its own in another trial is none of them. Each network
    once, the best first.
    """
    import moocore

    ended = frame[~frame["state"].isin(["stopped_early", "interrupted"])]
    stopped = frame[
        (frame["state"] == "stopped_early") & (frame["accuracy"] > chance) & ~frame["hash"].isin(ended["hash"])
    ]
    stopped = stopped.drop_duplicates("hash", keep="last")
    complete = frame[frame["state"] == "complete"].drop_duplicates("hash")
    if stopped.empty:
        return stopped
    values = np.vstack([losses(stopped, objectives), losses(complete, objectives)])
    mask = moocore.is_nondominated(values, keep_weakly=True)[: len(stopped)]
    return stopped[mask].sort_values("accuracy", ascending=False, kind="stable")


def hypervolume(frame: pd.DataFrame, objectives: Sequence[str]) -> float:
    """The volume that the front dominates in the scaled space of `losses`, up to (1, …, 1): from 0 to 1, more is better."""
    import moocore

    front = pareto(frame, objectives)
    if front.empty:
        return 0.0
    return float(moocore.hypervolume(losses(front, objectives), ref=np.ones(len(objectives))))
