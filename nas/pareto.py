"""Pareto fronts and their hypervolume, over plain arrays and frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nas.objectives import ACCURACY, OBJECTIVES, learned

if TYPE_CHECKING:
    import pandas as pd


def losses(frame: pd.DataFrame, objectives: Sequence[str]) -> npt.NDArray[np.float64]:
    """(trials, objectives) scaled to [0, 1], less is better: see `scaled_loss`."""
    columns = [scaled_loss(name, frame[name].to_numpy(dtype=np.float64)) for name in objectives]
    return np.column_stack(columns) if columns else np.empty((len(frame), 0))


def scaled_loss(name: str, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Values of one objective scaled to [0, 1] over the `range` of its row, less is better.

    Accuracy becomes the error; parameters p become log10(p) / 9.
    """
    objective = OBJECTIVES[name]
    array = np.asarray(values, dtype=np.float64)
    low, high = objective.range
    if objective.scale == "linear":
        scaled = (array - low) / (high - low)
    else:
        scaled = np.log10(np.maximum(array * (1 / low), 1)) / np.log10(high / low)
    return 1 - scaled if objective.is_maximized else scaled


def _signed(frame: pd.DataFrame, objectives: Sequence[str]) -> npt.NDArray[np.float64]:
    """(trials, objectives), less is better: the values as they are, so that no scale makes two of them equal."""
    columns = [
        (-1 if OBJECTIVES[name].is_maximized else 1) * frame[name].to_numpy(dtype=np.float64) for name in objectives
    ]
    return np.column_stack(columns)


def pareto(frame: pd.DataFrame, objectives: Sequence[str]) -> pd.DataFrame:
    """The complete trials that no other one beats in every objective, the same network once, cheapest first."""
    import moocore

    complete = frame[frame["state"] == "complete"].drop_duplicates("hash")
    if complete.empty:
        return complete
    mask = moocore.is_nondominated(_signed(complete, objectives), keep_weakly=True)
    order = [name for name in objectives if name not in learned(objectives)] or list(objectives)
    return complete[mask].sort_values([*order, "trial"], kind="stable")


def left_out(frame: pd.DataFrame, objectives: Sequence[str], chance: float = 0.0) -> pd.DataFrame:
    """The trials that were stopped early and would be on the front with what they had by then: nobody beats them.

    One that had no accuracy above `chance` (or nothing of another metric) had learned nothing and is none of them: of the
    cheapest networks there is always one that nobody beats. A network that was trained to an end of its own in another trial
    is none of them. Each network once, the best first.
    """
    import moocore

    metric = OBJECTIVES[learned(objectives)[0]]
    worth = frame[metric.name]
    has_learned = worth > chance if metric == ACCURACY else worth.notna()
    ended = frame[~frame["state"].isin(["stopped_early", "interrupted"])]
    stopped = frame[(frame["state"] == "stopped_early") & has_learned & ~frame["hash"].isin(ended["hash"])]
    stopped = stopped.drop_duplicates("hash", keep="last")
    complete = frame[frame["state"] == "complete"].drop_duplicates("hash")
    if stopped.empty:
        return stopped
    values = np.vstack([_signed(stopped, objectives), _signed(complete, objectives)])
    mask = moocore.is_nondominated(values, keep_weakly=True)[: len(stopped)]
    return stopped[mask].sort_values(metric.name, ascending=not metric.is_maximized, kind="stable")


def hypervolume(frame: pd.DataFrame, objectives: Sequence[str]) -> float:
    """The volume that the front dominates in the scaled space of `losses`, up to (1, …, 1): from 0 to 1, more is better."""
    import moocore

    front = pareto(frame, objectives)
    if front.empty:
        return 0.0
    return float(moocore.hypervolume(losses(front, objectives), ref=np.ones(len(objectives))))
