"""Which network is worth training: the expected hypervolume improvement, with costs known and the error uncertain.

Let b be a budget (one bound a cost) and best(b) the lowest error among trained networks within it. The hypervolume is the
integral of reference - best(b) over all budgets, so a network of costs c and error e adds the integral of
max(0, best(b) - e) over budgets b >= c. Written by levels of error t instead, its expectation is

    integral over t of P(e < t) · volume{b >= c : best(b) > t}

which is exact for one cost (the volume is the length from c to the cheapest network that reaches t) and needs nothing of
P but its distribution function: any monotone transform of a Gaussian will do. For several costs the volume is counted on
quasi-random budgets.

A budget is drawn half evenly and half evenly on a logarithmic scale (`BUDGET_SCALES`: or all one way): users of small and of large
networks both count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import moocore
import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from scipy.stats import qmc

Array = npt.NDArray[np.float64]

LEVELS: Final = 48
"""Levels of error between those of the front."""
BUDGETS: Final = 1024
BUDGET_SCALES: Final = {"linear": 0.0, "mixed": 0.5, "log": 1.0}
"""Share of the budgets that are drawn evenly on a logarithmic scale."""
FLOOR: Final = 1e-4
"""Errors below are as good as this one, a hundredth of a percent, unless there are smaller ones."""


@dataclass(frozen=True)
class Budgets:
    """Costs on the scale on which they are weighed: [0, 1] from the cheapest to the dearest network."""

    low: Array
    high: Array
    log_share: float = BUDGET_SCALES["mixed"]

    @classmethod
    def spanning(cls, costs: Array, log_share: float = BUDGET_SCALES["mixed"]) -> Budgets:
        """The scale of candidates with `costs` (n, costs)."""
        return cls(costs.min(axis=0), np.maximum(costs.max(axis=0), costs.min(axis=0) + 1e-9), log_share)

    def __call__(self, costs: Array) -> Array:
        """`costs` (n, costs) -> [0, 1]."""
        even = (costs - self.low) / (self.high - self.low)
        logs = [np.log(np.maximum(values, 1e-12)) for values in (costs, self.low, self.high)]
        share = np.where(self.low > 0, self.log_share, 0.0)
        ratio = (logs[0] - logs[1]) / np.where(logs[2] > logs[1], logs[2] - logs[1], 1.0)
        return np.clip(np.where(share > 0, (1 - share) * even + share * ratio, even), 0.0, 1.0)


@dataclass(frozen=True)
class Warp:
    """The change from an error to what the surrogate models, which is nearly Gaussian: its logarithm, flattened above the median.

    Networks that do not learn at all would otherwise take all of the model's attention.
    """

    median: float
    spread: float
    mean: float
    scale: float
    floor: float
    """Error below which the logarithm ends; 0: none is taken, because there are errors below 0."""

    @classmethod
    def fitted(cls, errors: Array) -> Warp:
        """A warp fitted to errors that were seen, one or more."""
        floor = 0.0
        if errors.min() >= 0:
            floor = min(FLOOR, float(errors[errors > 0].min(initial=FLOOR)))
        values = np.log(np.maximum(errors, floor)) if floor else errors
        median = float(np.median(values))
        # where half of the errors are the same, their deviation has to do
        spread = max(1.5 * float(np.median(np.abs(values - median))), 0.1 * float(values.std())) + 1e-9
        flat = cls(median, spread, 0.0, 1.0, floor)(errors)
        return cls(median, spread, float(flat.mean()), float(flat.std()) or 1.0, floor)

    def __call__(self, errors: Array) -> Array:
        """Standardized values of `errors`."""
        values = np.log(np.maximum(errors, self.floor)) if self.floor else errors
        above = np.maximum(values - self.median, 0.0)
        flat = np.minimum(values, self.median) + self.spread * np.log1p(above / self.spread)
        warped: Array = (flat - self.mean) / self.scale
        return warped

    def variance(self, errors: Array, deviations: Array) -> Array:
        """Variance of the standardized values of `errors` that are known to these standard deviations."""
        low, high = np.maximum(errors - deviations, self.floor), errors + deviations
        variance: Array = np.where(deviations > 0, ((self(high) - self(low)) / 2) ** 2, 0.0)
        return variance

    def inverse(self, warped: Array) -> Array:
        """Errors of standardized values."""
        flat = warped * self.scale + self.mean
        above = np.minimum(np.maximum(flat - self.median, 0.0) / self.spread, 30.0)
        values = np.minimum(flat, self.median) + self.spread * np.expm1(above)
        errors: Array = np.exp(np.minimum(values, 50.0)) if self.floor else values
        return errors


class Improvement:
    """Expected hypervolume improvement over trained networks of `errors` (n) and scaled `costs` (n, costs)."""

    def __init__(self, errors: Array, costs: Array, warp: Warp, reference: float, *, seed: int) -> None:
        front = moocore.is_nondominated(np.column_stack([errors, costs]), keep_weakly=False)
        self._errors, self._costs = errors[front], costs[front]
        self._warp, self._reference = warp, reference
        self._budgets = None
        if costs.shape[1] > 1:
            self._budgets = qmc.Sobol(costs.shape[1], seed=seed).random(BUDGETS)

    def __call__(self, mean: Array, variance: Array, costs: Array) -> Array:
        """The values of candidates (m) whose standardized error has this mean and variance, and which have scaled `costs`."""
        deviation = np.sqrt(variance)
        levels = self._levels(mean, deviation)
        middle, width = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
        reached = ndtr((self._warp(middle)[None] - mean[:, None]) / deviation[:, None])
        return np.asarray((reached * self._volume(middle, costs)) @ width)

    def _levels(self, mean: Array, deviation: Array) -> Array:
        """Errors at which the integrand is cut: evenly on the model's scale, and wherever the front steps."""
        top = float(self._warp(np.array([self._reference]))[0])
        front = self._warp(self._errors[self._errors < self._reference])
        low = min(float((mean - 3 * deviation).min()), float(front.min(initial=top)))
        cuts = np.concatenate([np.linspace(low, top, LEVELS), np.unique(front), np.unique(front) - 1e-9])
        return self._warp.inverse(np.sort(cuts))

    def _volume(self, levels: Array, costs: Array) -> Array:
        """(m, levels): budgets that can pay a candidate and buy nothing as good as this level so far."""
        beats = self._errors[:, None] <= levels[None]
        if costs.shape[1] == 0:
            return np.broadcast_to(~beats.any(axis=0), (len(costs), len(levels))).astype(np.float64)
        if self._budgets is None:
            cheapest = np.where(beats, self._costs, 1.0).min(axis=0, initial=1.0)
            left: Array = np.maximum(cheapest[None] - costs, 0.0)
            return left
        pays = _affords(self._budgets, self._costs).T
        best = np.where(pays, self._errors[None], np.inf).min(axis=1, initial=np.inf)
        open_ = (best[:, None] > levels[None]).astype(np.float32)
        affords = _affords(self._budgets, costs).astype(np.float32)
        return np.asarray(affords @ open_, dtype=np.float64) / BUDGETS


def _affords(budgets: Array, costs: Array) -> npt.NDArray[np.bool_]:
    """(networks, budgets): which budgets can pay which network."""
    affords = np.ones((len(costs), len(budgets)), dtype=np.bool_)
    for cost, budget in zip(costs.T, budgets.T, strict=True):
        affords &= cost[:, None] <= budget[None]
    return affords
