"""The samplers by name, and what each of them may know."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import optuna
from optuna.samplers import BaseSampler

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.errors import SearchError, nearest
from nas.objectives import learned
from nas.space.space import Space


@dataclass(frozen=True)
class Problem:
    """What is searched: all that a sampler may know before the first trial."""

    space: Space
    input: Shape
    classes: int
    objectives: tuple[str, ...]
    measured_on: int | None = None
    """Images on which an accuracy is measured; None: it is exact."""
    features: Mapping[str, Callable[[Architecture], float]] = field(default_factory=dict)
    """Values by the names of objectives that a sampler may have of every candidate."""


def _pareto(seed: int, problem: Problem) -> BaseSampler:
    from nas.sampler import ParetoSampler  # SciPy takes half a second

    if len(names := learned(problem.objectives)) > 1:
        raise SearchError(f"sampler pareto: learns one objective, not {' and '.join(names)}; use --sampler tpe")
    return ParetoSampler(
        problem.space,
        input=problem.input,
        classes=problem.classes,
        objectives=problem.objectives,
        measured_on=problem.measured_on,
        features=problem.features,
        seed=seed,
    )


def _optuna(make: Callable[[int], BaseSampler]) -> Callable[[int, Problem], BaseSampler]:
    """Optuna's own samplers learn what is searched from the trials."""

    def made(seed: int, problem: Problem) -> BaseSampler:
        with warnings.catch_warnings():
            # multivariate, group and constant_liar are marked experimental since 2021; we chose them knowingly
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return make(seed)

    return made


SAMPLERS: dict[str, Callable[[int, Problem], BaseSampler]] = {
    "pareto": _pareto,
    "tpe": _optuna(
        lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    ),
    "nsga2": _optuna(lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20)),
    "nsga3": _optuna(lambda seed: optuna.samplers.NSGAIIISampler(seed=seed, population_size=20)),
    "gp": _optuna(lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "random": _optuna(lambda seed: optuna.samplers.RandomSampler(seed=seed)),
}
"""Samplers by name, each made from a seed and what is searched."""


def check_sampler(name: str) -> None:
    """Raises SearchError with the nearest name."""
    if name not in SAMPLERS:
        raise SearchError(f"no sampler '{name}'; known: {', '.join(SAMPLERS)}{nearest(name, SAMPLERS)}")
