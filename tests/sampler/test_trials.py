from __future__ import annotations

import random
from typing import Any

import moocore
import numpy as np
import optuna
import pytest

from nas.sampler import ParetoSampler
from nas.sampler.trials import TrialDomain


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """A chain of up to four layers: the best have kernels of 5 and 20 channels; many layers cost much."""
    worth, price = 0.5, 100.0
    for layer in range(trial.suggest_int("depth", 1, 4)):
        kind = trial.suggest_categorical(f"{layer}.kind", ["conv", "identity", "depthwise"])
        if kind != "identity":
            kernel = trial.suggest_categorical(f"{layer}.kernel", [3, 5, 7])
            width = trial.suggest_float(f"{layer}.width", 1, 64, log=True)
            price += width * kernel**2 * (3 if kind == "conv" else 1)
            worth += 0.02 * (kernel == 5) + 0.01 * (kind == "conv") + 0.03 * (1 - abs(width - 20) / 64)
    return worth, price


def costs(params: dict[str, Any]) -> list[float]:
    """The second value of `objective`, without trying."""
    return [objective(optuna.trial.FixedTrial(params))[1]]  # type: ignore[arg-type]


def _study(sampler: optuna.samplers.BaseSampler, trials: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def _volume(study: optuna.Study) -> float:
    values = np.array([[1 - trial.values[0], np.log(trial.values[1]) / 12] for trial in study.trials])
    return float(moocore.hypervolume(values, ref=[0.5, 1]))


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_conditional_objective_of_plain_optuna() -> None:
    ours = [_study(ParetoSampler(costs=_known_costs, seed=seed), 30) for seed in range(2)]
    others = [_study(optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True), 30) for seed in range(2)]
    assert np.mean([_volume(study) for study in ours]) > np.mean([_volume(study) for study in others])
    assert all(len({str(sorted(trial.params.items())) for trial in study.trials}) == 30 for study in ours)


def _known_costs(params: dict[str, Any]) -> list[float]:
    try:
        return costs(params)
    except ValueError as problem:  # FixedTrial's word for a parameter that it lacks
        raise KeyError(str(problem)) from None


def test_costs_that_nobody_knows_are_predicted() -> None:
    study = _study(ParetoSampler(seed=0), 30)
    chance = _study(optuna.samplers.RandomSampler(seed=0), 30)
    assert _volume(study) > _volume(chance)


def test_what_is_not_allowed_is_not_tried() -> None:
    def allowed(params: dict[str, Any]) -> list[float] | None:
        price = _known_costs(params)
        return price if price[0] < 1000 else None

    study = _study(ParetoSampler(costs=allowed, seed=0), 25)
    assert all(trial.values[1] < 1000 for trial in study.trials[8:])


@pytest.mark.parametrize("seed", range(5))
def test_it_learns_when_a_parameter_is_asked_for(seed: int) -> None:
    domain, rng = TrialDomain(1, None), random.Random(seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    chance = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed), directions=["maximize", "minimize"])
    chance.optimize(objective, n_trials=80)
    for trial in chance.trials:
        domain.meet(trial.params, trial.distributions, whole=True)
    version = domain.version
    parents = [trial.params for trial in chance.trials]
    for _ in range(60):
        fresh = domain.sample(rng)
        assert fresh is not None
        child = domain.vary(rng, rng.choice(parents), rng.choice(parents), 3)
        for assignment in (fresh, child):
            fixed = optuna.trial.FixedTrial(assignment)  # refuses what is missing or out of range
            objective(fixed)  # type: ignore[arg-type]
            assert fixed.params == assignment  # nothing that is not asked for
    domain.meet(parents[0], chance.trials[0].distributions, whole=True)
    assert domain.version == version  # nothing new


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_tried_twice_while_conditions_are_learned(seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=ParetoSampler(seed=seed))

    def chain(trial: optuna.Trial) -> tuple[float, float]:
        widths = [
            trial.suggest_categorical(f"{layer}", [16, 32, 64]) for layer in range(trial.suggest_int("depth", 1, 4))
        ]
        return sum(widths) / 500, float(sum(width**2 for width in widths))

    study.optimize(chain, n_trials=30)
    assert len({str(sorted(trial.params.items())) for trial in study.trials}) == 30


def test_a_few_options_are_tried_as_a_whole() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=ParetoSampler(seed=0))

    def small(trial: optuna.Trial) -> tuple[float, float]:
        first, second = trial.suggest_int("first", 1, 7, step=2), trial.suggest_categorical("second", ["a", "b", None])
        return float(first), float(second == "a")

    study.optimize(small, n_trials=100)
    assert len(study.trials) == len({tuple(trial.params.values()) for trial in study.trials}) == 12


def test_costs_of_a_wrong_number_are_refused() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=ParetoSampler(costs=lambda params: [1, 2]))
    with pytest.raises(ValueError, match="must return 1 numbers, one a cost, not 2"):
        study.optimize(objective, n_trials=5)


def test_one_objective_and_values_below_zero() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="minimize", sampler=ParetoSampler(seed=0))
    study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 2) ** 2 - 3, n_trials=30)
    assert study.best_value < -2.95
