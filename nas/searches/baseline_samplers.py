"""Two searches without a model, which any other has to beat: regularized evolution and local search.

Both change one choice of a network that was trained, and know nothing of what it costs before it is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

import moocore
import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.space.grammar import Options
from nas.space.space import Assignment, Space

POPULATION: Final = 50
"""Networks of regularized evolution that are alive: the latest."""
TOURNAMENT: Final = 10
"""Those of them among which a parent is chosen."""
FIRST: Final = 10
"""Random networks before a local search."""


class _Planned(BaseSampler):
    """Decides a whole assignment before a trial, and answers from it."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.rng = space, random.Random(f"baseline-{seed}")
        self._random = RandomSampler(seed=seed)
        self._plans: dict[int, Assignment] = {}

    def plan(self, tried: Sequence[FrozenTrial], losses: npt.NDArray[np.float64]) -> Assignment:
        """The next assignment after complete trials with these losses (trials, objectives)."""
        raise NotImplementedError

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: every choice is answered from the plan of its trial."""
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
        tried = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        signs = [-1.0 if way == StudyDirection.MAXIMIZE else 1.0 for way in study.directions]
        losses = np.array([one.values for one in tried], dtype=np.float64).reshape(-1, len(signs)) * signs
        self._plans[trial.number] = self.plan(tried, losses)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The plan's answer, or a random one where it has none."""
        plan = self._plans.get(trial.number, {})
        if param_name in plan:
            return plan[param_name]
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forgets the plan."""
        self._plans.pop(trial.number, None)

    def mutated(self, parent: Mapping[str, Any]) -> Assignment:
        """An assignment that differs in one choice, and in what that switches on."""
        changed = self.rng.choice(sorted(parent))

        def choose(name: str, options: Options) -> Any:
            if name in parent and name != changed and parent[name] in options.admissible:
                return parent[name]
            others = [option for option in options.admissible if option != parent.get(name)]
            return self.rng.choice(others or options.admissible)

        return self.space.walk(choose, mend=True).assignment


class EvolutionSampler(_Planned):
    """Regularized evolution (Real et al., AAAI 2019): the best of a tournament is mutated, the oldest die.

    NOTE not in the paper: with several objectives the best are those on the tournament's front, one of them at random.
    """

    def plan(self, tried: Sequence[FrozenTrial], losses: npt.NDArray[np.float64]) -> Assignment:
        """See `_Planned`."""
        if len(tried) < POPULATION:
            return self.space.sample(self.rng)
        alive = range(len(tried) - POPULATION, len(tried))
        drawn = np.array(self.rng.sample(alive, TOURNAMENT))
        best = drawn[moocore.is_nondominated(losses[drawn], keep_weakly=True)]
        return self.mutated(tried[int(self.rng.choice(best.tolist()))].params)


class LocalSearchSampler(_Planned):
    """Local search (White, Nolen and Savani, UAI 2021): neighbours of the best network until none is better.

    NOTE not in the paper: with several objectives the neighbours are those of the front (Pareto local search, Paquete, Chiarandini
    and Stützle 2004), of one network after the other at random, so that there is no end at which it would start anew.
    """

    def plan(self, tried: Sequence[FrozenTrial], losses: npt.NDArray[np.float64]) -> Assignment:
        """See `_Planned`."""
        if len(tried) < FIRST:
            return self.space.sample(self.rng)
        front = np.flatnonzero(moocore.is_nondominated(losses, keep_weakly=False))
        return self.mutated(tried[int(self.rng.choice(front.tolist()))].params)
