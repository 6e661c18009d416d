"""The sampler `pareto`: expected hypervolume improvement where costs are known and only the error must be learned."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import moocore
import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.objectives import OBJECTIVES, before_training, learned
from nas.sampler.acquisition import BUDGET_SCALES
from nas.sampler.domain import Domain, SpaceDomain
from nas.sampler.history import Earlier, History
from nas.sampler.model import Course, Known, Model, Numbers, Paused
from nas.sampler.pool import Pool
from nas.sampler.surrogate import squared_distances
from nas.sampler.trials import TrialDomain
from nas.space.space import Assignment, Space

FIRST: Final = 4
"""Trials before the model is asked: with six, regret after 10 trials is a third higher on NAS-Bench-Macro."""
CROWD: Final = 8
"""Trials that run before `TAUGHT` results are in: beside so many, the next are random ones of their size, and not the farthest."""
TAUGHT: Final = 6
PARENTS: Final = 24
CANDIDATES_AT_MOST: Final = 20_000
"""Most candidates in the pool, or twice as many as were observed where that is more."""
SCORED_AT_MOST: Final = 4_000
"""Candidates that are compared for one proposal."""
TIMED: Final = 0.5
"""Power of the time that a training takes by which an improvement is divided, where time is what is spent."""
BATCHES: Final = 100
"""A proposal takes longer the more is known, so after this many trials two are made at once, then three …"""


class ParetoSampler(BaseSampler):
    """Proposes the candidate from which most is expected for the front of one learned objective and costs.

    With a `space` (and the `input` shape and number of `classes` of the images) candidates are its networks: see
    `nas.sampler.features` for what the model sees of them. `objectives` names the values of a trial in their
    order, by default ``("accuracy", "parameters")``: one that has to be learned, and costs. Those that are exact (parameters,
    macs, activation_bytes) are known of every network, others are predicted from the trials.

    An accuracy that was `measured_on` so many images is known to its standard error, which the model takes into account; the
    front to be improved is then what the model makes of the measurements, not their luckiest ones.

    `budget_scale` says how budgets between the cheapest and the dearest candidate are weighed: ``linear``, ``log`` or ``mixed``,
    half and half.

    `timed`: what is spent is time, and not trials. Then an improvement is divided by the root of the time that a training step
    takes, which is estimated from what the network computes (`nas.sampler.domain.pace`), not by a clock.

    `earlier` are the complete trials of earlier studies over the same space, study by study: on other images, say. How much their
    errors tell of those here is learned, and the first two proposals are from their fronts.

    `features` gives further values, by the names of objectives, of every candidate: what a zero-cost proxy says of it, say.

    Without a space it works on any objective function of Optuna, conditional ones too. The first value of a trial is
    the one that must be learned, all others are costs; ``costs(params)`` gives them for a candidate before it is tried,
    or None when it is not allowed; it may raise KeyError for one that lacks a parameter, because no trial has been asked
    for it yet. Without `costs` they are predicted from the trials.
    """

    def __init__(
        self,
        space: Space | None = None,
        *,
        input: Shape | None = None,
        classes: int = 10,
        objectives: Sequence[str] | None = None,
        costs: Callable[[Assignment], Sequence[float] | None] | None = None,
        measured_on: int | None = None,
        features: Mapping[str, Callable[[Architecture], float]] | None = None,
        budget_scale: str = "mixed",
        timed: bool = False,
        earlier: Sequence[Sequence[Earlier]] = (),
        seed: int | None = None,
    ) -> None:
        if budget_scale not in BUDGET_SCALES:
            raise ValueError(f"budget_scale: must be one of {', '.join(BUDGET_SCALES)}, not {budget_scale!r}")
        if space is None and objectives is not None:
            raise ValueError("objectives: names need a space; without one the first value of a trial is learned")
        if space is None and earlier:
            raise ValueError("earlier: studies are compared over a space, and there is none")
        if space is not None and costs is not None:
            raise ValueError("costs: a space knows the costs of its networks")
        names = tuple(objectives or ("accuracy", "parameters"))
        if space is not None and len(learned(names)) != 1:
            raise ValueError(
                f"objectives: one must be accuracy, or another that has to be learned, and only one, not {', '.join(names)}"
            )
        self._space, self._input, self._classes, self._names, self._costs = space, input, classes, names, costs
        self._measured_on, self.earlier = measured_on, tuple(earlier)
        self._features = features or {}
        self._log_share, self._timed = BUDGET_SCALES[budget_scale], timed
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._random = RandomSampler(seed=self._seed)
        self._rng = np.random.default_rng(self._seed)
        self._lock = threading.Lock()
        self._threads = ThreadpoolController()
        self._plans: dict[int, Assignment] = {}
        self._search: _Search | None = None

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
        """Plans the whole trial. Raises ValueError when the study has not as many objectives as the sampler."""
        if "fixed_params" in trial.system_attrs:
            return
        with self._lock, self._threads.limit(limits=1):
            if self._search is None:
                self._search = self._begin(study)
            self._search.history.follow(study, trial.number, self._plans)
            plan = self._search.plan()
            if plan is not None:
                self._plans[trial.number] = plan

    def goes_on(
        self,
        study: Study,
        paused: Sequence[tuple[Assignment, float]],
        rungs: Sequence[float],
        left: float = math.inf,
    ) -> int | None:
        """Which of the networks that are `paused` is trained on now, rather than that a new one begins; None: none is.

        Each comes with its share of a full training; `rungs` are the shares at which trainings may pause, `left` is how many full
        trainings there is still time for. What decides is by how much the final front is expected to grow for each step.
        """
        with self._lock, self._threads.limit(limits=1):
            if self._search is None:
                self._search = self._begin(study)
            self._search.history.follow(study, -1, self._plans)
            return self._search.goes_on(paused, Course(tuple(rungs), left)) if paused else None

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The plan's answer, or a random one where it has none that fits."""
        plan = self._plans.get(trial.number, {})
        if param_name in plan and _allows(param_distribution, plan[param_name]):
            return plan[param_name]
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Ends `Study.optimize` when every candidate has been tried."""
        if self._search is not None and self._search.exhausted:
            try:
                study.stop()
            except RuntimeError:  # the study is not in `optimize`: whoever asks and tells decides when it ends
                return

    def reseed_rng(self) -> None:
        """Optuna calls this in each of several threads, which share one sampler: its lock keeps them apart."""

    # Ours -------------------------------------------------------------------------------------------------------------

    def _begin(self, study: Study) -> _Search:
        count = len(study.directions)
        if self._space is None:
            return self._search_of(TrialDomain(count - 1, self._costs), 0)
        if count != len(self._names):
            raise ValueError(f"the study must have the objectives {', '.join(self._names)}, not {count} of them")
        costs = [name for name in self._names if name in before_training()]
        domain = SpaceDomain(self._space, self._input or self._space.input, self._classes, costs, self._features)
        place = self._names.index(learned(self._names)[0])
        return self._search_of(domain, place)

    def _search_of(self, domain: Domain, learned: int) -> _Search:
        begun = _Search(domain, learned, self._measured_on, self._seed, self._rng, self._log_share, self._timed)
        if self.earlier:
            begun.history.recall(self.earlier, OBJECTIVES[self._names[learned]].is_maximized)
        return begun


class _Search:
    """The candidates of one study and their expected improvement."""

    def __init__(
        self,
        domain: Domain,
        learned: int,
        measured_on: int | None,
        seed: int,
        rng: np.random.Generator,
        log_share: float,
        timed: bool,
    ) -> None:
        self._domain, self._rng, self._timed = domain, rng, timed
        self._pool = Pool(domain, seed)
        self.history = History(domain, self._pool, learned, measured_on)
        self._model = Model(seed, log_share)
        self._version = domain.version
        self._queue: list[int] = []
        self._hopes = np.empty(0)
        """The expected improvement of each candidate when it was last compared."""
        self.exhausted = False
        """Whether everything has been tried, or is being tried."""

    def plan(self) -> Assignment | None:
        """The next to be tried; None when nothing is left, or nothing known."""
        history, pool = self.history, self._pool
        if self._version != self._domain.version:
            self._drop(np.empty(0, dtype=np.int64))
            self._version = self._domain.version
        at_most = max(CANDIDATES_AT_MOST, 2 * len(history.observed) + len(history.pending))
        if len(pool) >= at_most and not pool.complete:
            self._drop(self._hopeful(at_most // 4))
        taken = history.seen | {pool.descriptions[number].identity for number in history.pending}
        self._queue = [
            number
            for number in self._queue
            if pool.descriptions[number].identity not in taken and not self._domain.repeats(pool.assignments[number])
        ]
        batch = max(1, (len(history.observed) + len(history.pending)) // BATCHES)
        if self._queue or batch == 1:  # not beside a batch, which takes long enough
            pool.grow(self._parents(), at_most)
        if not self._queue:
            self._queue = self._proposals(taken, batch)
        if not self._queue and not pool.complete:
            pool.grow(self._parents(), at_most)
            self._queue = self._proposals(taken, batch)
        if not self._queue:
            return None
        chosen = self._queue.pop(0)
        taken.add(pool.descriptions[chosen].identity)
        self.exhausted = pool.complete and all(item.identity in taken for item in pool.descriptions)
        return pool.assignments[chosen]

    def _proposals(self, taken: set[str], batch: int) -> list[int]:
        history, pool = self.history, self._pool
        free = self._free(taken)
        if not len(free):
            return []
        done, count = len(history.done), len(history.observed) + len(history.pending)
        crowded = len(history.pending) >= CROWD and done < TAUGHT
        first = 2 if history.earlier else FIRST
        if done < 2 or done + len(history.pending) < first or crowded:
            before = np.intersect1d(free, self._best_before()) if history.earlier else free
            return [self._spread(count, before if len(before) else free)]
        scored = self._scored(free)
        best, hopes = self._model.best(self._known(scored), scored, batch)
        self._hopes[scored] = hopes
        # two assignments of a batch may be one network
        return list({pool.descriptions[number].identity: number for number in reversed(best)}.values())[::-1]

    def goes_on(self, paused: Sequence[tuple[Assignment, float]], course: Course) -> int | None:
        """Which of the `paused`, each with its share of a full training, is worth more a step than any new one; None: none."""
        history, pool = self.history, self._pool
        if len(history.done) < FIRST:
            return max(range(len(paused)), key=lambda place: paused[place][1])
        numbers = [pool.add(assignment) for assignment, _ in paused]
        places = [place for place, number in enumerate(numbers) if number is not None]
        waiting = [
            Paused(number, share) for number, (_, share) in zip(numbers, paused, strict=True) if number is not None
        ]
        if not waiting:
            return None
        pool.grow(self._parents(), max(CANDIDATES_AT_MOST, 2 * len(history.observed) + len(history.pending)))
        scored = self._scored(
            self._free(history.seen | {pool.descriptions[number].identity for number in history.pending})
        )
        known = self._known(np.concatenate([scored, [item.candidate for item in waiting]]))
        found = self._model.compare(known, waiting, scored, course)
        self._hopes[scored] = found.hopes
        best = int(np.argmax(found.paused))
        if found.paused[best] > found.new:
            return places[best]
        self._queue = [] if found.best is None else [found.best]
        return None

    def _known(self, compared: Numbers) -> Known:
        """All that is known, with costs that had to be predicted for the candidates `compared`."""
        history, pool = self.history, self._pool
        rows = np.array([item.candidate for item in history.observed], dtype=np.int64)
        matrix, group, age = pool.matrix()
        known = pool.costs()
        wanted = np.concatenate([rows, np.array(history.pending, dtype=np.int64), compared])
        costs = self._model.predict_costs(matrix, group, age, known, rows, history.costs(known), wanted)
        paces = pool.paces() ** TIMED if self._timed else np.ones(len(pool))
        return Known(matrix, group, age, costs, history.observed, history.pending, paces, history.earlier)

    def _drop(self, kept: Numbers) -> None:
        """Forgets candidates that were neither observed nor are `kept`."""
        history = self.history
        needed = [item.candidate for item in (*history.observed, *history.earlier)] + history.pending
        kept = np.union1d(kept, np.array(needed, dtype=np.int64)).astype(np.int64)
        hopes = np.concatenate([self._hopes, np.full(len(self._pool) - len(self._hopes), np.inf)])
        history.renumber(self._pool.keep(kept))
        self._hopes, self._queue = hopes[kept], []

    def _parents(self) -> list[Assignment]:
        """The best so far, front after front, and the candidates that had the highest expected improvement."""
        done = self.history.done
        if not done:
            return [self._pool.assignments[number] for number in self._best_before()]
        rows = np.array([item.candidate for item in done])
        losses = np.array([(item.error, *item.costs) for item in done], dtype=np.float64)
        found: list[int] = []
        left = np.arange(len(rows))
        while len(left) and len(found) < PARENTS:
            front = moocore.is_nondominated(losses[left], keep_weakly=False)
            found += list(rows[left[front]])
            left = left[~front]
        return [self._pool.assignments[number] for number in (*found, *self._hopeful(PARENTS // 3))]

    def _best_before(self) -> Numbers:
        """The fronts of earlier studies, by what their networks cost here."""
        costs, earlier = self._pool.costs(), self.history.earlier
        found: list[int] = []
        for study in dict.fromkeys(item.study for item in earlier):
            those = [item for item in earlier if item.study == study]
            rows = np.array([item.candidate for item in those], dtype=np.int64)
            exact = costs[rows][:, np.isfinite(costs[rows]).all(axis=0)]
            losses = np.column_stack([[float(item.error or 0.0) for item in those], exact])
            found += rows[moocore.is_nondominated(losses, keep_weakly=False)].tolist()
        return np.unique(np.array(found, dtype=np.int64))

    def _hopeful(self, count: int) -> Numbers:
        """The candidates of which most is expected, among those that were compared."""
        compared = np.where(np.isfinite(self._hopes), self._hopes, -1.0)
        return np.argsort(-compared, kind="stable")[:count]

    def _spread(self, count: int, free: Numbers) -> int:
        """The next of an initial design: by turns over all sizes of networks, each far from those before."""
        others = [item.candidate for item in self.history.observed] + self.history.pending
        matrix, _, _ = self._pool.matrix()
        costs = self._pool.costs()[free]
        costs = costs[:, np.isfinite(costs).all(axis=0) & (costs > 0).all(axis=0)]
        order = free[np.argsort(np.log(costs).sum(axis=1), kind="stable")]
        place = int(_halton(count) * len(order))
        window = max(len(order) // 12, 1) if costs.shape[1] else len(order)
        near = order[max(0, place - window) : place + window + 1]
        # half of the window at random, so that seeds differ
        near = near[self._rng.permutation(len(near))[: len(near) // 2 + 1]]
        if not others or len(self.history.pending) >= CROWD:
            return int(near[0])
        return int(near[np.argmax(squared_distances(matrix[near], matrix[others]).min(axis=1))])

    def _free(self, taken: set[str]) -> Numbers:
        """Candidates that may be proposed, one a network. Fits the hopes to the pool: infinite for what was never compared."""
        new = len(self._pool) - len(self._hopes)
        self._hopes = np.concatenate([self._hopes, np.full(new, np.inf)])
        met, gone = set(taken), []
        for number, item in enumerate(self._pool.descriptions):
            if item.identity in met or self._domain.repeats(self._pool.assignments[number]):
                gone.append(number)
            met.add(item.identity)
        self._hopes[gone + self.history.unread] = -1.0
        return np.flatnonzero(self._hopes >= 0)

    def _scored(self, free: Numbers) -> Numbers:
        """Candidates that are compared now: all, or the most hopeful of them, and others by turns."""
        if len(free) <= SCORED_AT_MOST:
            return free
        order = free[np.argsort(-self._hopes[free], kind="stable")]
        best, rest = order[: SCORED_AT_MOST // 2], order[SCORED_AT_MOST // 2 :]
        return np.sort(np.concatenate([best, self._rng.choice(rest, SCORED_AT_MOST // 2, replace=False)]))


def _allows(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return (
        isinstance(distribution, IntDistribution | FloatDistribution) and distribution.low <= value <= distribution.high
    )


def _halton(count: int) -> float:
    """Van der Corput's sequence in base 2: 1/2, 1/4, 3/4, 1/8 …"""
    count += 1
    value, share = 0.0, 0.5
    while count:
        value += share * (count & 1)
        count >>= 1
        share /= 2
    return value
