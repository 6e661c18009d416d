"""What networks are chosen by at equal cost: what is left of its value after the cost of a network has explained what it can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from nas.objectives import ACCURACY, Objective

if TYPE_CHECKING:
    import pandas as pd

FEWEST: Final = 12
"""Fewer networks say nothing about what cost buys."""


@dataclass(frozen=True)
class EqualCost:
    """For each network, in the order of the frame it was made from."""

    residual: npt.NDArray[np.float64]
    """The value minus what its cost predicts, the larger the better; shares in percentage points."""
    explained: float
    """Share of the variance of the value that cost alone explains (R², at least 0)."""


def at_equal_cost(complete: pd.DataFrame, costs: Sequence[str], metric: Objective = ACCURACY) -> EqualCost | None:
    """Regresses a metric on a parabola in the logarithm of each cost. None with fewer than `FEWEST` networks.

    Huber's loss, so that the few networks that did not learn do not bend the curve.
    """
    from sklearn.linear_model import HuberRegressor

    if len(complete) < FEWEST:
        return None
    value = complete[metric.name].to_numpy(float) * metric.sign * (100 if metric.is_share else 1)
    columns = []
    for cost in costs:
        logarithm = np.log10(np.maximum(complete[cost].to_numpy(float), 1))
        spread = float(logarithm.std())
        if spread > 1e-9:
            scaled = (logarithm - logarithm.mean()) / spread
            columns += [scaled, scaled**2]
    if not columns or float(value.std()) < 1e-9:
        return EqualCost(value - value.mean(), 0.0)
    x = np.column_stack(columns)
    scale = float(value.std())
    model = HuberRegressor(max_iter=1000).fit(x, value / scale)
    residual = value - model.predict(x) * scale
    residual -= residual.mean()
    return EqualCost(residual, max(0.0, 1 - float(residual.var() / value.var())))
