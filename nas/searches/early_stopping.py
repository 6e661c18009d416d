"""Early stopping with several objectives: asynchronous successive halving on the non-dominated rank.

A rung is an epoch at which a trial must be among the best 1/eta of all that came so far, or stop (Li et al. 2020, A System
for Massively Parallel Hyperparameter Tuning: ASHA, in its stopping form). Best is meant as in NSGA-II and MO-ASHA
(Schmucker et al. 2021, Multi-Objective Asynchronous Successive Halving): by the front that a trial is on over (accuracy
at this rung, costs), and within a front by what it adds to the hypervolume.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nas.objectives import learned
from nas.pareto import losses, scaled_loss

if TYPE_CHECKING:
    import pandas as pd

    from nas.architecture.cost import Cost

FIRST_SHARE = 0.25
LAST_SHARE = 2 / 3
"""Shares of a training between which trials are stopped: before, the learning rate has just risen and orders say little."""


@dataclass(frozen=True)
class Place:
    """Where a trial stands at a rung."""

    rank: int
    """From 1."""
    of: int
    goes_on: bool


class Rungs:
    """The trials that reached each rung, with what they were worth there."""

    def __init__(self, objectives: Sequence[str], epochs: int, min_epochs: int | None, reduction_factor: float) -> None:
        self.objectives = tuple(objectives)
        self.factor = reduction_factor
        self.epochs = rung_epochs(epochs, min_epochs, reduction_factor)
        self._members: dict[int, dict[str, tuple[float, ...]]] = {epoch: {} for epoch in self.epochs}

    def enter(
        self, network: str, epoch: int, found: Mapping[str, float | None] | float | None, cost: Cost
    ) -> Place | None:
        """Enters a network, by its hash, at the rung of this epoch, and says where it stands; None when there is no rung.

        `found` is what was measured after the epoch, by name, or the one value that has to be learned.
        """
        members = self._members.get(epoch)
        names = learned(self.objectives)
        by_name = found if isinstance(found, Mapping) else dict.fromkeys(names, found)
        values = {name: value for name in names if (value := by_name.get(name)) is not None and math.isfinite(value)}
        if members is None or len(values) < len(names):
            return None
        members[network] = tuple(
            float(scaled_loss(name, values[name] if name in values else cost[name])) for name in self.objectives
        )
        rank = 1 + order(np.array(list(members.values()))).index(list(members).index(network))
        return Place(rank, len(members), rank <= math.ceil(len(members) / self.factor))

    def recall(self, reached: pd.DataFrame) -> None:
        """Enters what an earlier run brought here: a row per network and epoch, with hash, epoch and objectives."""
        names = list(learned(self.objectives))
        known = reached[np.isfinite(reached[names].to_numpy(dtype=np.float64)).all(axis=1)]
        for network, epoch, values in zip(
            known["hash"], known["epoch"], losses(known, self.objectives).tolist(), strict=True
        ):
            if epoch in self._members:
                self._members[epoch][network] = tuple(values)


def rung_epochs(epochs: int, min_epochs: int | None = None, reduction_factor: float = 3.0) -> tuple[int, ...]:
    """The rungs below a full training: its 1/eta-th part, the 1/eta-th of that, and so on down to `min_epochs`.

    None of them lies in the last third, where the learning rate falls and what is measured changes most; none before
    `min_epochs`, by default a quarter of the training.
    """
    first = max(1, math.ceil(epochs * FIRST_SHARE)) if min_epochs is None else min_epochs
    rungs: set[int] = set()
    rung = epochs / reduction_factor
    while round(rung) >= first:
        if round(rung) <= LAST_SHARE * epochs and round(rung) < epochs:
            rungs.add(round(rung))
        rung /= reduction_factor
    return tuple(sorted(rungs))


def order(losses: npt.NDArray[np.float64]) -> list[int]:
    """Rows of `losses` (trials, objectives), less is better, from the best: by front, then by hypervolume contribution."""
    import moocore

    if losses.shape[1] == 1:  # each value is a front of its own, and one dimension has no hypervolume to share
        return [int(row) for row in np.argsort(losses[:, 0], kind="stable")]
    fronts = moocore.pareto_rank(losses)
    contributions = np.zeros(len(losses))
    for front in np.unique(fronts):
        rows = np.flatnonzero(fronts == front)
        # 1.1: the worst of each objective counts as well; 1 is its worst possible value
        contributions[rows] = moocore.hv_contributions(losses[rows], ref=np.full(losses.shape[1], 1.1))
    return [int(row) for row in np.lexsort((-contributions, fronts))]
