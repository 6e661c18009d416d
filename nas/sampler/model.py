"""Which candidates are worth a trial: the surrogate of the error, costs that are known or predicted, and the acquisition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.sampler.acquisition import BUDGET_SCALES, FLOOR, Budgets, Improvement, Warp
from nas.sampler.cost_model import CostModel, Learner
from nas.sampler.history import Observation
from nas.sampler.surrogate import EXACT_AT_MOST, Evidence, Posterior, Weights, inducing

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

FAILED_NOISE: Final = 8.0
"""A trial that failed says little: as much as this many times the noise."""
LEARNED_AT_MOST: Final = 4_000
"""Observations on which the posterior rests."""
SHORTLIST: Final = 32
"""Candidates that are compared again for each further member of a batch."""
SCALED_FROM: Final = 10
"""Complete trials from which on their own spread is the scale of errors, beside earlier studies."""
FORETOLD_FROM: Final = 4
"""Trials from which on it is asked whether earlier studies help to foretell them."""
OUTLOOKS: Final = tuple(NormalDist().inv_cdf((place + 0.5) / 16) for place in range(16))
"""What a network may turn out to be at a rung, equally likely, in deviations."""


@dataclass(frozen=True)
class Known:
    """All that a model may know."""

    matrix: Array
    """(candidates, columns): features."""
    group: Numbers
    """(columns): the group of each feature."""
    age: int
    """Changes when features are scaled anew."""
    costs: Array
    """(candidates, costs)."""
    observed: Sequence[Observation]
    pending: Sequence[int]
    """Candidates that are trained now."""
    paces: Array
    """(candidates): by what an improvement is divided for the time that a training takes; 1 where trials are what is counted."""
    earlier: Sequence[Observation] = ()
    """Complete trials of earlier studies."""


@dataclass(frozen=True)
class Paused:
    """A network that waits at a rung."""

    candidate: int
    share: float
    """Part of a full training that it has behind it."""


@dataclass(frozen=True)
class Course:
    """What becomes of a training."""

    rungs: tuple[float, ...]
    """Shares of a full training at which a network may be left alone."""
    left: float = math.inf
    """What one worker still has time for, in full trainings: what does not come to its end is worth nothing."""

    def after(self, share: float) -> float | None:
        """The next one; None where the rest is one piece."""
        return min((rung for rung in self.rungs if rung > share + 1e-9), default=None)


@dataclass(frozen=True)
class Compared:
    """What a step of training is worth."""

    paused: Array
    """For each network that waits."""
    new: float
    """For the best new one."""
    best: int | None
    """Which candidate that is; None where there is none."""
    hopes: Array
    """Expected improvement by each candidate that was compared."""


class Model:
    """What is expected of networks, given as rows of a matrix of features."""

    def __init__(self, seed: int, log_share: float = BUDGET_SCALES["mixed"]) -> None:
        """`log_share` of the budgets are drawn evenly on a logarithmic scale."""
        self._seed, self._log_share = seed, log_share
        self._error, self._alone = Learner(), Learner()
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

    def best(self, known: Known, scored: Numbers, count: int) -> tuple[list[int], Array]:
        """`count` of the candidates `scored`, each chosen with those before taken as trained; and the hope in each."""
        now = self._now(known, scored)
        mean, variance = now.posterior(known.matrix[scored])
        hopes = now.improvement()(mean, variance, now.scaled[scored]) / known.paces[scored]
        if hopes.max() <= 0:  # nothing can be better, as far as the model knows: learn where it knows least
            hopes = variance * 1e-12
        order = np.argsort(-hopes, kind="stable")
        if count == 1:
            return [int(scored[order[0]])], hopes
        short = order[: SHORTLIST * count]
        rows, mean = scored[short], mean[short]
        joint = now.posterior.covariance(known.matrix[rows], known.matrix[rows])
        chosen: list[int] = []
        for _ in range(min(count, len(short))):
            left = now.improvement()(mean, np.maximum(np.diag(joint), 1e-10), now.scaled[rows]) / known.paces[rows]
            left[chosen] = -1
            best = int(np.argmax(left))
            chosen.append(best)
            now.add(mean[best : best + 1], rows[best : best + 1])
            column = joint[:, best]
            joint = joint - np.outer(column, column) / (joint[best, best] + now.posterior.noise)
        return [int(rows[place]) for place in chosen], hopes

    def compare(self, known: Known, paused: Sequence[Paused], scored: Numbers, course: Course) -> Compared:
        """What a step of training is worth for each of the `paused`, and for the best of the candidates `scored`.

        That is the price a step at which it is as good to train a network as not to, where at each rung it may be left alone: the
        index by which what can be gone on with at a cost is best ordered (Weitzman, Econometrica 1979, Optimal search for the best
        alternative; to look is to reach the next rung). A gain is the expected hypervolume improvement of the final front.
        """
        rows = np.array([item.candidate for item in paused], dtype=np.int64)
        now = self._now(known, np.concatenate([scored, rows]))
        improvement = now.improvement()
        mean, variance = now.posterior.themselves(known.matrix[rows], rows)
        prices = np.zeros(len(paused))
        for share in {item.share for item in paused}:
            those = np.flatnonzero([item.share == share for item in paused])
            priced = self._prices(now, improvement, mean[those], variance[those], rows[those], course, share)
            prices[those] = priced / known.paces[rows[those]]
        if not len(scored):
            return Compared(prices, 0.0, None, np.empty(0))
        mean, variance = now.posterior(known.matrix[scored])
        hopes = improvement(mean, variance, now.scaled[scored]) / known.paces[scored]
        short = np.argsort(-hopes, kind="stable")[:SHORTLIST]
        mean, variance = mean[short], variance[short] + now.posterior.noise
        new = self._prices(now, improvement, mean, variance, scored[short], course, 0.0) / known.paces[scored[short]]
        best = int(np.argmax(new))
        return Compared(prices, float(new[best]), int(scored[short[best]]), hopes)

    def _prices(
        self,
        now: _Now,
        improvement: Improvement,
        mean: Array,
        variance: Array,
        rows: Numbers,
        course: Course,
        share: float,
    ) -> Array:
        """The price of each network of `mean` and `variance` that is trained to a `share` of its steps."""
        if 1 - share > course.left:
            return np.zeros(len(rows))
        following = course.after(share)
        if following is None:  # it goes on to the end, whatever comes
            return improvement(mean, variance, now.scaled[rows]) / (1 - share)
        told, together = now.posterior.early(variance, math.log(following))
        moves = together / np.sqrt(told + now.deviation)  # deviation of the mean that is expected at the rung
        left = np.maximum(variance - moves**2, 1e-10)
        gains = np.stack(
            [improvement(mean + place * moves, left, now.scaled[rows]) for place in OUTLOOKS], axis=1
        )  # the best outlooks first
        gains = -np.sort(-gains, axis=1)
        chance = np.arange(1, len(OUTLOOKS) + 1) / len(OUTLOOKS)
        gain = np.cumsum(gains, axis=1) / len(OUTLOOKS)
        prices: Array = (gain / (following - share + chance * (1 - following))).max(axis=1)
        return prices

    def _posterior(self, seen: Evidence, known: Known) -> tuple[Weights, Posterior, Evidence]:
        """What follows from what was `seen`; without earlier studies where these make trials of this one harder to foretell."""
        weights = self._error.learn(seen, known.group, known.age)
        posterior = Posterior(weights, seen, known.group)
        own = seen[np.flatnonzero(seen.study == 0)]
        if not FORETOLD_FROM <= len(own) < len(seen) <= EXACT_AT_MOST:
            return weights, posterior, seen
        alone = self._alone.learn(own, known.group, known.age)
        without = Posterior(alone, own, known.group)
        return (alone, without, own) if without.foretold() > posterior.foretold() else (weights, posterior, seen)

    def _now(self, known: Known, compared: Numbers) -> _Now:
        """The posterior, with what runs taken as the model expects it, and the front; budgets reach over those `compared` too."""
        observed, matrix, pending = known.observed, known.matrix, np.array(known.pending, dtype=np.int64)
        front_errors, front_rows = _complete(observed)
        if len(observed) > LEARNED_AT_MOST:
            order = inducing(
                np.array([np.inf if item.error is None else item.error for item in observed]), LEARNED_AT_MOST
            )
            observed = [observed[place] for place in order]
        rows = np.array([item.candidate for item in observed])
        is_known = np.array([item.error is not None for item in observed])
        errors = np.array([np.nan if item.error is None else item.error for item in observed])
        shift = np.array([item.shift for item in observed])
        full = is_known & (shift == 0)
        spanned = np.concatenate([front_rows, pending, compared])
        budgets = Budgets.spanning(known.costs[spanned], self._log_share)
        before = np.array([item.error for item in known.earlier], dtype=np.float64)
        if len(before):  # on the scale of this study, which few trials tell
            before = before * (np.median(errors[full]) / max(float(np.median(before)), FLOOR))
        warp = Warp.fitted(errors[full] if full.sum() >= SCALED_FROM else np.concatenate([errors[full], before]))
        y = warp(np.where(is_known, errors, errors[full].max()))
        y[~is_known] = max(y[is_known].max(), 0.0)
        extra = np.where(is_known, 0.0, FAILED_NOISE)
        measured = warp.variance(np.where(is_known, errors, 0.0), np.array([item.deviation for item in observed]))
        study = np.zeros(len(rows), dtype=np.int64)
        seen = Evidence(matrix[rows], y, extra, shift, measured, rows, study)
        if len(before):
            rows = np.array([item.candidate for item in known.earlier])
            deviations = np.array([item.deviation for item in known.earlier])
            told = Evidence.exact(matrix[rows], warp(before))
            seen = seen + replace(
                told,
                known=warp.variance(before, deviations),
                network=rows,
                study=np.array([item.study for item in known.earlier]),
            )
        weights, posterior, seen = self._posterior(seen, known)
        if measured.any():  # the luckiest measurements are not the front
            front_errors = warp.inverse(posterior(matrix[front_rows])[0])
        reference = float(front_errors.max())
        now = _Now(
            posterior,
            warp,
            budgets(known.costs),
            front_errors,
            front_rows,
            float(np.median(measured[full])),
            reference,
            self._seed,
        )
        if len(pending):  # kriging believer (Ginsbourger et al. 2010): runs will give what the model expects of them
            believed = posterior.themselves(matrix[pending], pending)[0]
            more = replace(Evidence.exact(matrix[pending], believed), network=pending)
            now.posterior = Posterior(weights, seen + more, known.group)
            now.add(believed, pending)
        return now


@dataclass
class _Now:
    """What the model makes of everything that is known."""

    posterior: Posterior
    warp: Warp
    scaled: Array
    """(candidates, costs): on the scale of budgets."""
    errors: Array
    """(n): of the networks that are trained, or believed to be."""
    rows: Numbers
    """Which candidates these are: (n)."""
    deviation: float
    """Variance of a measurement, standardized."""
    reference: float
    seed: int

    def add(self, mean: Array, rows: Numbers) -> None:
        """Takes networks as trained, with standardized errors `mean`."""
        self.errors = np.concatenate([self.errors, self.warp.inverse(mean)])
        self.rows = np.concatenate([self.rows, rows])

    def improvement(self) -> Improvement:
        """Over all that is trained."""
        return Improvement(self.errors, self.scaled[self.rows], self.warp, self.reference, seed=self.seed)


def _complete(observed: Sequence[Observation]) -> tuple[Array, Numbers]:
    """Errors of complete trials, and their candidates."""
    full = [(item.error, item.candidate) for item in observed if item.error is not None and item.shift == 0]
    return np.array([error for error, _ in full]), np.array([candidate for _, candidate in full], dtype=np.int64)
