"""How well an early epoch ranks the networks that a late one ranks: what a scheduler that stops early relies on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from nas.objectives import ACCURACY, Objective

if TYPE_CHECKING:
    import pandas as pd

FEWEST: Final = 5
"""Networks below which a rank correlation says nothing."""
RUNGS: Final = 8
"""Most epochs that are compared."""


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b between the accuracies after pairs of epochs."""

    epochs: tuple[int, ...]
    tau: tuple[tuple[float | None, ...], ...]
    """[earlier][later], None where networks do not differ."""
    networks: int
    """That have a value at each of these epochs."""


def rank_correlation(
    epochs: pd.DataFrame, complete: pd.DataFrame, metric: Objective = ACCURACY
) -> RankCorrelation | None:
    """Rank correlation of the epochs of complete trials; None where there are fewer than `FEWEST` of them, or only one epoch.

    Only networks that were trained to the end are compared: of the others nobody knows where they would have ended.
    """
    curves = epochs[epochs["trial"].isin(complete["trial"])]
    table = curves.pivot_table(index="trial", columns="epoch", values=metric.name, aggfunc="last")
    chosen = _spread([int(epoch) for epoch in table.columns])
    if len(chosen) < 2:
        return None
    full = table[chosen].dropna()
    if len(full) < FEWEST:
        return None
    values = [full[epoch].to_numpy(float) for epoch in chosen]
    tau = tuple(tuple(kendall_tau(first, second) for second in values) for first in values)
    return RankCorrelation(tuple(chosen), tau, len(full))


def kendall_tau(first: npt.ArrayLike, second: npt.ArrayLike) -> float | None:
    """Kendall's tau-b of two rows of values for the same networks, from -1 to 1: 1 is the same order, 0 is chance.

    None where all are equal in one of them, or there are fewer than `FEWEST`.
    """
    if np.size(first) < FEWEST:
        return None
    from scipy.stats import kendalltau

    found = float(kendalltau(first, second).statistic)
    return found if np.isfinite(found) else None


def rank_correlations(
    reached: pd.DataFrame, epochs: Sequence[int], metric: Objective = ACCURACY
) -> list[dict[str, Any]]:
    """How well the order of trials at one epoch foretells their order at a later one, for every pair of `epochs`.

    `reached` has a row per trial and epoch: trial, epoch, and the metric. Each record has ``epoch``, ``later``, ``trials`` (that
    reached both) and ``tau`` of `kendall_tau`. Trials that were stopped are not in it from there on, which lowers tau.
    """
    if metric.name not in reached:
        return []
    wide = reached.pivot_table(index="trial", columns="epoch", values=metric.name)
    found = []
    for epoch, later in combinations([epoch for epoch in sorted(set(epochs)) if epoch in wide.columns], 2):
        both = wide[[epoch, later]].dropna()
        tau = kendall_tau(both[epoch], both[later])
        found.append(
            {"epoch": epoch, "later": later, "trials": len(both), "tau": None if tau is None else round(tau, 4)}
        )
    return found


def _spread(epochs: list[int]) -> list[int]:
    """First, last, and about evenly on a logarithmic scale between them, as rungs lie."""
    if len(epochs) <= RUNGS:
        return sorted(epochs)
    last = max(epochs)
    wanted = np.geomspace(1, last, RUNGS)
    return sorted({min(epochs, key=lambda epoch: abs(epoch - target)) for target in wanted} | {last})
