"""Accuracy at equal cost: what is left of a network's accuracy after its cost has explained what it can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

FEWEST: Final = 12
"""Fewer networks say nothing about what cost buys."""


@dataclass(frozen=True)
class EqualCost:
    """For each network, in the order of the frame it was made from."""

    residual: npt.NDArray[np.float64]
    """Accuracy minus what its cost predicts, in percentage points."""
    explained: float
    """Share of the variance of accuracy that cost alone explains (R², at least 0)."""


def at_equal_cost(complete: pd.DataFrame, costs: Sequence[str]) -> EqualCost | None:
    """Regresses accuracy on a parabola in the logarithm of each cost. None with fewer than `FEWEST` networks.

    Huber's loss, so that the few networks that did not learn do not bend the curve.
    """
    from sklearn.linear_model import HuberRegressor

    if len(complete) < FEWEST:
        return None
    accuracy = complete["accuracy"].to_numpy(float) * 100
    columns = []
    for cost in costs:
        logarithm = np.log10(np.maximum(complete[cost].to_numpy(float), 1))
        spread = float(logarithm.std())
        if spread > 1e-9:
            scaled = (logarithm - logarithm.mean()) / spread
            columns += [scaled, scaled**2]
    if not columns or float(accuracy.std()) < 1e-9:
        return EqualCost(accuracy - accuracy.mean(), 0.0)
    x = np.column_stack(columns)
    scale = float(accuracy.std())
    model = HuberRegressor(max_iter=1000).fit(x, accuracy / scale)
    residual = accuracy - model.predict(x) * scale
    residual -= residual.mean()
    return EqualCost(residual, max(0.0, 1 - float(residual.var() / accuracy.var())))
