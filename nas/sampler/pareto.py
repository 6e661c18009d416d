"""The sampler `pareto`: expected hypervolume improvement where costs are known and only the error must be learned."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from blocks.base import Shape
from nas.front import MAXIMIZED
from nas.sampler.acquisition import Budgets, Improvement, Warp
from nas.sampler.domain import Domain, SpaceDomain
from nas.sampler.pool import Pool
from nas.sampler.surrogate import FIT_AT_MOST, Posterior, Weights, inducing, learn
from nas.space import Assignment, Space

Array = npt.NDArray[np.float64]

FIRST: Final = 6
"""Trials before the model is asked."""
PARENTS: Final = 24
SCORED_AT_MOST: Final = 6_000
"""Candidates that are compared for one proposal."""
FAILED_NOISE: Final = 8.0
"""A trial that failed says little: as much as this many times the noise."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one trial taught."""

    candidate: int
    error: float | None
    """None: it failed."""
    shift: float = 0.0
    """log(epochs trained / epochs of a full training): 0 for a complete trial, below for one that was stopped early."""


class ParetoSampler(BaseSampler):
    """Proposes the network from which most is expected for the front of accuracy and exact cost.

    With a `space`, `input` and `classes` its candidates are networks: see `nas.sampler.features` for what the model
    sees of them. `objectives` names the values of a trial in their order.
    """

    def __init__(
        self,
        *,
        space: Space,
        input: Shape | None = None,
        classes: int = 10,
        objectives: Sequence[str] = ("accuracy", "parameters"),
        seed: int | None = None,
    ) -> None:
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._objectives = tuple(objectives)
        costs = [name for name in objectives if name not in MAXIMIZED]
        self._modelled = next(place for place, name in enumerate(objectives) if name in MAXIMIZED)
        self._domain: Domain = SpaceDomain(space, input or space.input, classes, costs)
        self._pool = Pool(self._domain, self._seed)
        self._random = RandomSampler(seed=self._seed)
        self._rng = np.random.default_rng(self._seed)
        self._lock = threading.Lock()
        self._threads = ThreadpoolController()
        self._plans: dict[int, Assignment] = {}
        self._read = 0
        self._open: dict[int, None] = {}
        self._observed: list[Observation] = []
        self._seen: set[str] = set()
        self._weights: Weights | None = None
        self._learned = (0, 0)
        self._queue: list[int] = []
        self._hopes = np.empty(0)
        """The acquisition of each candidate when it was last computed."""

    # Optuna asks for these --------------------------------------------------------------------------------------------

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: every choice is answered from the plan of its trial, so that a space may be conditional."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing; see `infer_relative_search_space`."""
        return {}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Plans the whole trial."""
        if "fixed_params" in trial.system_attrs:
            return
        with self._lock, self._threads.limit(limits=1):
            plan = self._plan(study, trial)
            if plan is not None:
                self._plans[trial.number] = plan

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The plan's answer, or a random one where it has none."""
        plan = self._plans.get(trial.number, {})
        if param_name in plan:
            value = plan[param_name]
            if not isinstance(param_distribution, CategoricalDistribution) or value in param_distribution.choices:
                return value
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Optuna calls this in each of several threads, which share one sampler: its lock keeps them apart."""

    # Ours -------------------------------------------------------------------------------------------------------------

    def _plan(self, study: Study, trial: FrozenTrial) -> Assignment | None:
        pending = self._follow(study, trial)
        done = [item for item in self._observed if item.error is not None]
        self._pool.grow(self._parents(done))
        if not len(self._pool):
            return None
        taken = self._seen | {self._pool.descriptions[number].identity for number in pending}
        count = len(done) + len(pending)
        if count < FIRST or len(done) < min(FIRST, 2):
            chosen = self._spread(count, taken, [item.candidate for item in self._observed] + pending)
        else:
            self._queue = [number for number in self._queue if self._pool.descriptions[number].identity not in taken]
            if not self._queue:
                self._queue = self._best(taken, pending, max(1, count // 100))
            chosen = self._queue.pop(0) if self._queue else None
        return None if chosen is None else self._pool.assignments[chosen]

    def _follow(self, study: Study, trial: FrozenTrial) -> list[int]:
        """Reads what happened since the last call. Returns the candidates that are running."""
        trials = study.get_trials(deepcopy=False)
        self._open.update(dict.fromkeys(range(self._read, len(trials))))
        self._read = len(trials)
        pending: list[int] = []
        for number in list(self._open):
            other = trials[number]
            if number == trial.number:
                continue
            if other.state in (TrialState.RUNNING, TrialState.WAITING):
                plan = self._plans.get(number) or other.params or other.system_attrs.get("fixed_params")
                candidate = self._pool.add(plan)[0] if plan else None
                if candidate is not None:
                    pending.append(candidate)
                continue
            del self._open[number]
            self._plans.pop(number, None)
            self._learn_from(study, other)
        return pending

    def _learn_from(self, study: Study, trial: FrozenTrial) -> None:
        candidate = self._pool.add(trial.params)[0] if trial.params else None
        if candidate is None:
            return
        identity = self._pool.descriptions[candidate].identity
        if trial.state == TrialState.COMPLETE:
            value = trial.values[self._modelled]
            if study.directions[self._modelled] == optuna.study.StudyDirection.MAXIMIZE:
                value = 1 - value
            self._observed.append(Observation(candidate, float(value)))
        elif identity not in self._seen:
            self._observed.append(Observation(candidate, None))
        self._seen.add(identity)

    def _parents(self, done: Sequence[Observation]) -> list[Assignment]:
        """The best networks so far, and the candidates of which most was hoped when they were last compared."""
        if not done:
            return []
        rows = np.array([item.candidate for item in done])
        losses = np.column_stack([[item.error for item in done], self._pool.costs()[rows]])
        found: list[int] = []
        left = np.arange(len(rows))
        while len(left) and len(found) < PARENTS:
            import moocore

            front = moocore.is_nondominated(losses[left], keep_weakly=False)
            found += list(rows[left[front]])
            left = left[~front]
        hopeful = np.argsort(-self._hopes, kind="stable")[: PARENTS // 3]
        return [self._pool.assignments[number] for number in (*found, *hopeful)]

    def _spread(self, count: int, taken: set[str], others: Sequence[int]) -> int | None:
        """The next of an initial design: by turns over all sizes of networks, each far from those before."""
        free = np.array([n for n, item in enumerate(self._pool.descriptions) if item.identity not in taken])
        if not len(free):
            return None
        matrix, _, _ = self._pool.matrix()
        costs = self._pool.costs()[free]
        order = free[np.argsort(np.log(np.maximum(costs, 1)).sum(axis=1), kind="stable")] if costs.shape[1] else free
        place = int(_halton(count) * len(order))
        window = max(len(order) // 12, 1)
        near = order[max(0, place - window) : place + window + 1]
        if not others:
            return int(near[self._rng.integers(len(near))])
        # half of the window at random, so that seeds differ
        near = near[self._rng.permutation(len(near))[: len(near) // 2 + 1]]
        gaps = ((matrix[near][:, None] - matrix[list(others)][None]) ** 2).sum(axis=2).min(axis=1)
        return int(near[np.argmax(gaps)])

    def _best(self, taken: set[str], pending: list[int], count: int) -> list[int]:
        """The candidates from which most is expected, `count` of them, each with those before taken as trained."""
        matrix, group, age = self._pool.matrix()
        costs = self._pool.costs()
        budgets = Budgets.spanning(costs)
        rows = np.array([item.candidate for item in self._observed])
        known = np.array([item.error is not None for item in self._observed])
        errors = np.array([np.nan if item.error is None else item.error for item in self._observed])
        shift = np.array([item.shift for item in self._observed])
        full = known & (shift == 0)
        warp = Warp.fitted(errors[full])
        y = np.where(known, warp(np.where(known, errors, errors[full].max())), 0.0)
        y[~known] = y[known].max()
        extra = np.where(known, np.abs(shift), FAILED_NOISE)
        self._relearn(matrix[rows], group, y, extra, shift, age)
        assert self._weights is not None
        posterior = Posterior(self._weights, matrix[rows], group, y, extra, shift)
        front_errors, front_costs = errors[full], budgets(costs[rows[full]])
        if pending:  # kriging believer (Ginsbourger et al. 2010): what runs will give what the model expects of it
            believed = posterior(matrix[pending])[0]
            zeros = np.zeros(len(pending))
            posterior = Posterior(
                self._weights,
                matrix[np.concatenate([rows, pending])],
                group,
                np.concatenate([y, believed]),
                np.concatenate([extra, zeros]),
                np.concatenate([shift, zeros]),
            )
            front_errors = np.concatenate([front_errors, warp.inverse(believed)])
            front_costs = np.vstack([front_costs, budgets(costs[pending])])
        scored = self._scored(taken)
        if not len(scored):
            return []
        mean, variance = posterior(matrix[scored])
        reference = float(errors[full].max())
        improvement = Improvement(front_errors, front_costs, warp, reference, seed=self._seed)
        hopes = improvement(mean, variance, budgets(costs[scored]))
        if hopes.max() <= 0:
            hopes = variance * 1e-12
        self._hopes[scored] = hopes
        order = np.argsort(-hopes, kind="stable")
        if count == 1:
            return [int(scored[order[0]])]
        numbers = scored[order[: 32 * count]]
        scaled = budgets(costs[numbers])
        joint = posterior.covariance(matrix[numbers], matrix[numbers])
        mean = posterior(matrix[numbers])[0]
        chosen: list[int] = []
        for _ in range(min(count, len(numbers))):
            improvement = Improvement(front_errors, front_costs, warp, reference, seed=self._seed)
            hopes = improvement(mean, np.maximum(np.diag(joint), 1e-10), scaled)
            hopes[chosen] = -1
            best = int(np.argmax(hopes))
            chosen.append(best)
            front_errors = np.append(front_errors, warp.inverse(mean[best : best + 1]))
            front_costs = np.vstack([front_costs, scaled[best : best + 1]])
            column = joint[:, best]
            joint = joint - np.outer(column, column) / (joint[best, best] + posterior.noise)
        one_each = {self._pool.descriptions[numbers[place]].identity: int(numbers[place]) for place in reversed(chosen)}
        return list(reversed(one_each.values()))

    def _scored(self, taken: set[str]) -> npt.NDArray[np.int64]:
        """Candidates that are compared now: all, or the most hopeful of them, and others by turns."""
        hopes = np.full(len(self._pool), np.inf)
        hopes[: len(self._hopes)] = self._hopes
        for number, description in enumerate(self._pool.descriptions):
            if description.identity in taken:
                hopes[number] = -1.0
        self._hopes = hopes
        free = np.flatnonzero(hopes >= 0)
        if len(free) <= SCORED_AT_MOST:
            return free
        order = free[np.argsort(-hopes[free], kind="stable")]
        best, rest = order[: SCORED_AT_MOST // 2], order[SCORED_AT_MOST // 2 :]
        return np.sort(np.concatenate([best, self._rng.choice(rest, SCORED_AT_MOST // 2, replace=False)]))

    def _relearn(self, x: Array, group: npt.NDArray[np.int64], y: Array, extra: Array, shift: Array, age: int) -> None:
        """Learns the weights anew when there is a tenth more to learn from."""
        count, learned_age = self._learned
        if self._weights is not None and learned_age == age and len(y) < count + max(1, count // 20):
            return
        keep = inducing(x, y, FIT_AT_MOST) if len(y) > FIT_AT_MOST else np.arange(len(y))
        start = self._weights if learned_age == age else None
        self._weights = learn(
            x[keep], group, y[keep], extra[keep], shift[keep], start=start, steps=30 if start is None else 12
        )
        self._learned = (len(y), age)


def _halton(count: int) -> float:
    """Van der Corput's sequence in base 2: 1/2, 1/4, 3/4, 1/8 …"""
    count += 1
    value, share = 0.0, 0.5
    while count:
        value += share * (count & 1)
        count >>= 1
        share /= 2
    return value
