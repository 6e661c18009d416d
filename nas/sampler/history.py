"""What the trials of an Optuna study have taught so far, and which of them still run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import moocore
import numpy as np
import numpy.typing as npt
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.sampler.domain import Domain
from nas.sampler.pool import Key, Pool, assignment_key
from nas.sampler.surrogate import inducing
from nas.space.space import Assignment
from nas.statistics.proportion import standard_error

PARTIAL: Final = "partial"
"""User attribute of a trial that was stopped early: what its learned objective was by then, and its share of a full training."""
AT_ONCE: Final = 100
"""Trials that may end between two proposals and are learned from at once; more belong to a study that is continued."""
FIRST_EFFORT: Final = 150_000
"""What reading these may take before the first proposal (`Domain.spent`): three seconds, the most telling trials first."""
EFFORT: Final = 5_000
"""The same before each further one."""


EARLIER_AT_MOST: Final = 100
"""Trials of an earlier study that are learned from."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A complete trial of an earlier study over the same space."""

    assignment: Assignment
    value: float
    """What it reached in the objective that is learned."""
    measured_on: int | None = None
    """Images on which it was measured; None: it is exact."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one trial taught."""

    candidate: int
    error: float | None
    """Error; None where the trial failed."""
    costs: tuple[float, ...] = ()
    """Costs as they were reported; empty when the trial did not complete."""
    shift: float = 0.0
    """log(share of a full training): 0 for a complete trial, below for one that was stopped early."""
    deviation: float = 0.0
    """Standard error of `error`; 0 where it is exact."""
    study: int = 0
    """0: this one; an earlier one by its number from 1."""


class History:
    """Follows a study. `learned` is the place of the objective that has to be learned; all others are costs.

    An error in [0, 1] was `measured_on` so many images, or is exact where that is None.
    """

    def __init__(self, domain: Domain, pool: Pool, learned: int, measured_on: int | None = None) -> None:
        self._domain, self._pool, self._learned, self._measured_on = domain, pool, learned, measured_on
        self._read = 0
        self._open: dict[int, None] = {}
        self._unread: dict[Key, FrozenTrial] = {}
        self.observed: list[Observation] = []
        self.seen: set[str] = set()
        """Identities of what was evaluated, or planned for a trial that has ended."""
        self.pending: list[int] = []
        """Candidates whose trials run."""
        self.earlier: list[Observation] = []
        """Complete trials of earlier studies over the same space: see `recall`."""

    @property
    def done(self) -> list[Observation]:
        """Observations of complete trials."""
        return [item for item in self.observed if item.error is not None and item.shift == 0]

    def recall(self, studies: Sequence[Sequence[Earlier]], maximized: bool) -> None:
        """Takes note of earlier studies, of each the better half and others, so many as weights are learned from."""
        for number, trials in enumerate(studies, 1):
            errors = np.array([1 - one.value if maximized else one.value for one in trials], dtype=np.float64)
            kept = inducing(errors, EARLIER_AT_MOST) if len(errors) > EARLIER_AT_MOST else np.arange(len(errors))
            for place in kept.tolist():
                candidate = self._pool.add(trials[place].assignment)
                if candidate is not None and math.isfinite(errors[place]):
                    error = float(errors[place])
                    images = trials[place].measured_on
                    deviation = standard_error(error, images) if images and 0 <= error <= 1 else 0.0
                    self.earlier.append(Observation(candidate, error, deviation=deviation, study=number))

    def follow(self, study: Study, current: int, plans: dict[int, dict[str, Any]]) -> None:
        """Reads what happened since the last call. `plans` of trials that have ended are dropped from it."""
        trials = study.get_trials(deepcopy=False)
        self._open.update(dict.fromkeys(range(self._read, len(trials))))
        self._read = len(trials)
        self.pending = []
        ended: list[FrozenTrial] = []
        for number in list(self._open):
            trial = trials[number]
            if trial.state.is_finished():
                del self._open[number]
                ended.append(trial)
            elif number != current:
                plan = plans.get(number) or trial.params or trial.system_attrs.get("fixed_params")
                candidate = self._pool.add(plan) if plan else None
                if candidate is not None:
                    self.pending.append(candidate)
        running = {self._pool.descriptions[candidate].identity for candidate in self.pending}
        if len(ended) > AT_ONCE:
            self._unread |= {assignment_key(trial.params): trial for trial in _most_telling_first(study, ended)}
            ended = []
        for trial in ended:
            self._learn_from(study, trial, running)
            planned = self._pool.number(assignment_key(plans.pop(trial.number, {})))
            if planned is not None:  # a trial may have asked for less than was planned for it
                self.seen.add(self._pool.descriptions[planned].identity)
        end = self._domain.spent + (EFFORT if self.observed else FIRST_EFFORT)
        while self._unread and self._domain.spent < end:
            self._learn_from(study, self._unread.pop(next(iter(self._unread))), running)

    @property
    def unread(self) -> list[int]:
        """Candidates whose trials ended, but have taught nothing yet."""
        numbers = [self._pool.number(key) for key in self._unread]
        return [number for number in numbers if number is not None]

    def _learn_from(self, study: Study, trial: FrozenTrial, running: set[str]) -> None:
        complete = trial.state == TrialState.COMPLETE
        self._domain.meet(trial.params, trial.distributions, whole=complete)
        candidate = self._pool.add(trial.params) if trial.params else None
        if candidate is None:
            return
        identity = self._pool.descriptions[candidate].identity
        if complete:
            signs = [-1.0 if way == StudyDirection.MAXIMIZE else 1.0 for way in study.directions]
            values = [sign * value for sign, value in zip(signs, trial.values, strict=True)]
            error = self._error(study, trial.values[self._learned])
            costs = tuple(value for place, value in enumerate(values) if place != self._learned)
            self.observed.append(Observation(candidate, error, costs, deviation=self._deviation(error)))
        elif PARTIAL in trial.user_attrs:
            partial: Mapping[str, float] = trial.user_attrs[PARTIAL]
            error, share = self._error(study, partial["value"]), min(max(partial["share"], 1e-3), 1 - 1e-9)
            self.observed.append(Observation(candidate, error, shift=math.log(share), deviation=self._deviation(error)))
        elif identity not in self.seen | running:  # else it was turned down because its network is known
            self.observed.append(Observation(candidate, None))
        self.seen.add(identity)

    def _deviation(self, error: float | None) -> float:
        if error is None or self._measured_on is None or not 0 <= error <= 1:
            return 0.0
        return standard_error(error, self._measured_on)

    def _error(self, study: Study, value: float) -> float | None:
        """Less is better; None for what is no number."""
        if study.directions[self._learned] == StudyDirection.MAXIMIZE:
            value = 1 - value
        return value if math.isfinite(value) else None

    def costs(self, known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(observed, costs) from those of the candidates `known`; what is not known before is taken as reported."""
        rows = known[[item.candidate for item in self.observed]]
        for place, item in enumerate(self.observed):
            if item.costs:
                rows[place] = np.where(np.isnan(rows[place]), item.costs, rows[place])
        return rows

    def renumber(self, numbers: npt.NDArray[np.int64]) -> None:
        """Candidates were numbered anew; none of those that were observed or run was dropped."""
        self.observed = [replace(item, candidate=int(numbers[item.candidate])) for item in self.observed]
        self.earlier = [replace(item, candidate=int(numbers[item.candidate])) for item in self.earlier]
        self.pending = [int(numbers[candidate]) for candidate in self.pending]


def _most_telling_first(study: Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Front after front of the complete trials, then all others in a random order."""
    signs = [-1.0 if way == StudyDirection.MAXIMIZE else 1.0 for way in study.directions]
    left = np.array(
        [number for number, trial in enumerate(trials) if trial.state == TrialState.COMPLETE], dtype=np.int64
    )
    losses = np.array([trials[number].values for number in left], dtype=np.float64).reshape(-1, len(signs)) * signs
    first: list[int] = []
    while len(left) and len(first) < AT_ONCE:
        front = moocore.is_nondominated(losses, keep_weakly=True)
        first += left[front].tolist()
        left, losses = left[~front], losses[~front]
    rest = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(trials)), first))
    return [trials[number] for number in (*first, *rest)]
