"""Which candidates are worth a trial: the surrogate of the error, costs that are known or predicted, and the acquisition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.sampler.acquisition import BUDGET_SCALES, Budgets, Improvement, Warp
from nas.sampler.cost_model import CostModel, Learner
from nas.sampler.history import Observation
from nas.sampler.surrogate import Posterior, inducing

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

FAILED_NOISE: Final = 8.0
"""A trial that failed says little: as much as this many times the noise."""
LEARNED_AT_MOST: Final = 4_000
"""Observations on which the posterior rests."""
SHORTLIST: Final = 32
"""Candidates that are compared again for each further member of a batch."""


class Model:
    """What is expected of networks, given as rows of a matrix of features."""

    def __init__(self, seed: int, log_share: float = BUDGET_SCALES["mixed"]) -> None:
        """`log_share` of the budgets are drawn evenly on a logarithmic scale."""
        self._seed, self._log_share = seed, log_share
        self._error = Learner()
        self._costs: dict[int, CostModel] = {}

    def predict_costs(
        self, matrix: Array, group: Numbers, age: int, costs: Array, rows: Numbers, reported: Array, wanted: Numbers
    ) -> Array:
        """`costs` (candidates, costs) with what is not a number filled in for the candidates `wanted`.

        `reported` (observations, costs) are those of the candidates `rows`. A measured cost varies smoothly with the
        features, so that its mean is taken for the truth.
        """
        unknown = np.flatnonzero(np.isnan(costs[wanted]).any(axis=0))
        if not len(unknown):
            return costs
        filled = costs.copy()
        for column in unknown:
            known = np.isfinite(reported[:, column])
            seen = reported[known, column]
            model = self._costs.setdefault(int(column), CostModel())
            expected = model.fit(matrix[rows[known]], group, seen, age)
            missing = wanted[np.isnan(costs[wanted, column])]
            filled[missing, column] = expected(matrix[missing])
            filled[rows[known], column] = seen
        return filled

    def best(
        self,
        matrix: Array,
        group: Numbers,
        age: int,
        costs: Array,
        observed: Sequence[Observation],
        pending: Sequence[int],
        scored: Numbers,
        count: int,
    ) -> tuple[list[int], Array]:
        """`count` of the candidates `scored`, each chosen with those before taken as trained; and the hope in each.

        `matrix` (candidates, features) and `costs` (candidates, costs) are of all candidates.
        """
        front_errors, front_rows = _complete(observed)
        if len(observed) > LEARNED_AT_MOST:
            order = inducing(
                np.array([np.inf if item.error is None else item.error for item in observed]), LEARNED_AT_MOST
            )
            observed = [observed[place] for place in order]
        rows = np.array([item.candidate for item in observed])
        known = np.array([item.error is not None for item in observed])
        errors = np.array([np.nan if item.error is None else item.error for item in observed])
        shift = np.array([item.shift for item in observed])
        full = known & (shift == 0)
        spanned = np.concatenate([front_rows, np.array(pending, dtype=np.int64), scored])
        budgets = Budgets.spanning(costs[spanned], self._log_share)
        warp = Warp.fitted(errors[full])
        y = warp(np.where(known, errors, errors[full].max()))
        y[~known] = max(y[known].max(), 0.0)
        extra = np.where(known, np.abs(shift), FAILED_NOISE)
        measured = warp.variance(np.where(known, errors, 0.0), np.array([item.deviation for item in observed]))
        weights = self._error.learn(matrix[rows], group, y, extra, shift, measured, age)
        posterior = Posterior(weights, matrix[rows], group, y, extra, shift, measured)
        if measured.any():  # the luckiest measurements are not the front
            front_errors = warp.inverse(posterior(matrix[front_rows])[0])
        front = _Front(front_errors, budgets(costs[front_rows]))
        if len(pending):  # kriging believer (Ginsbourger et al. 2010): runs will give what the model expects of them
            believed = posterior(matrix[pending])[0]
            none = np.zeros(len(pending))
            posterior = Posterior(
                weights,
                matrix[np.concatenate([rows, pending])],
                group,
                np.concatenate([y, believed]),
                np.concatenate([extra, none]),
                np.concatenate([shift, none]),
                np.concatenate([measured, none]),
            )
            front.add(warp.inverse(believed), budgets(costs[pending]))
        reference = float(front_errors.max())
        mean, variance = posterior(matrix[scored])
        improvement = Improvement(front.errors, front.costs, warp, reference, seed=self._seed)
        hopes = improvement(mean, variance, budgets(costs[scored]))
        if hopes.max() <= 0:  # nothing can be better, as far as the model knows: learn where it knows least
            hopes = variance * 1e-12
        order = np.argsort(-hopes, kind="stable")
        if count == 1:
            return [int(scored[order[0]])], hopes
        short = order[: SHORTLIST * count]
        scaled, mean = budgets(costs[scored[short]]), mean[short]
        joint = posterior.covariance(matrix[scored[short]], matrix[scored[short]])
        chosen: list[int] = []
        for _ in range(min(count, len(short))):
            improvement = Improvement(front.errors, front.costs, warp, reference, seed=self._seed)
            left = improvement(mean, np.maximum(np.diag(joint), 1e-10), scaled)
            left[chosen] = -1
            best = int(np.argmax(left))
            chosen.append(best)
            front.add(warp.inverse(mean[best : best + 1]), scaled[best : best + 1])
            column = joint[:, best]
            joint = joint - np.outer(column, column) / (joint[best, best] + posterior.noise)
        return [int(scored[short[place]]) for place in chosen], hopes


@dataclass
class _Front:
    """Errors (n) and scaled costs (n, costs) of what is trained, or believed to be."""

    errors: Array
    costs: Array

    def add(self, errors: Array, costs: Array) -> None:
        self.errors = np.concatenate([self.errors, errors])
        self.costs = np.vstack([self.costs, costs])


def _complete(observed: Sequence[Observation]) -> tuple[Array, Numbers]:
    """Errors of complete trials, and their candidates."""
    full = [(item.error, item.candidate) for item in observed if item.error is not None and item.shift == 0]
    return np.array([error for error, _ in full]), np.array([candidate for _, candidate in full], dtype=np.int64)
