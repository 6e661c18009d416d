"""How well an early epoch ranks the networks that a late one ranks: what a scheduler that stops early relies on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FEWEST: Final = 8
RUNGS: Final = 8
"""At most this many epochs are compared."""


@dataclass(frozen=True)
class Rungs:
    """Kendall's tau-b between the accuracies after pairs of epochs."""

    epochs: tuple[int, ...]
    tau: tuple[tuple[float | None, ...], ...]
    """[earlier][later], None where networks do not differ."""
    networks: int
    """That have a value at each of these epochs."""


def rungs(epochs: pd.DataFrame, complete: pd.DataFrame) -> Rungs | None:
    """From learning curves and the complete trials; None where there are fewer than `FEWEST` or only one epoch.

    Only networks that were trained to the end are compared: of the others nobody knows where they would have ended.
    """
    from scipy.stats import kendalltau

    curves = epochs[epochs["trial"].isin(complete["trial"])]
    table = curves.pivot_table(index="trial", columns="epoch", values="accuracy", aggfunc="last")
    chosen = _spread([int(epoch) for epoch in table.columns])
    if len(chosen) < 2:
        return None
    full = table[chosen].dropna()
    if len(full) < FEWEST:
        return None
    values = [full[epoch].to_numpy(float) for epoch in chosen]
    tau: list[tuple[float | None, ...]] = []
    for first in values:
        row = []
        for second in values:
            found = float(kendalltau(first, second).statistic)
            row.append(found if np.isfinite(found) else None)
        tau.append(tuple(row))
    return Rungs(tuple(chosen), tuple(tau), len(full))


def _spread(epochs: list[int]) -> list[int]:
    """First, last, and about evenly on a logarithmic scale between them, as rungs lie."""
    if len(epochs) <= RUNGS:
        return sorted(epochs)
    last = max(epochs)
    wanted = np.geomspace(1, last, RUNGS)
    return sorted({min(epochs, key=lambda epoch: abs(epoch - target)) for target in wanted} | {last})
