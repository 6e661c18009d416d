"""The samplers by name, and what each of them may know."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nas.errors import SearchError
from nas.objectives import learned
from nas.plugins.registry import Registry, adder

if TYPE_CHECKING:
    # The help of `nas search` lists samplers without these.
    from optuna.samplers import BaseSampler

    from blocks.base import Shape
    from nas.architecture.architecture import Architecture
    from nas.sampler.history import Earlier
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
    budget_scale: str = "mixed"
    """How budgets between the cheapest and the dearest network are weighed: linear, log, or mixed, half and half."""
    timed: bool = False
    """Whether time is what is spent, and not trials."""
    earlier: Sequence[Sequence[Earlier]] = ()
    """Complete trials of earlier studies over the same space, study by study."""


Sampler = Callable[[int, Problem], "BaseSampler"]


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
        budget_scale=problem.budget_scale,
        timed=problem.timed,
        earlier=problem.earlier,
        seed=seed,
    )


def _optuna(kind: str, **options: object) -> Sampler:
    """Optuna's own samplers learn what is searched from the trials."""

    def made(seed: int, problem: Problem) -> BaseSampler:
        import optuna

        with warnings.catch_warnings():
            # multivariate, group and constant_liar are marked experimental since 2021; we chose them knowingly
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: BaseSampler = getattr(optuna.samplers, kind)(seed=seed, **options)
            return sampler

    return made


def _baseline(kind: str) -> Sampler:
    """Searches without a model."""

    def made(seed: int, problem: Problem) -> BaseSampler:
        from nas.searches import baseline_samplers

        sampler: BaseSampler = getattr(baseline_samplers, kind)(problem.space, seed)
        return sampler

    return made


SAMPLERS: Registry[Sampler] = Registry("sampler", "nas.samplers", SearchError)
"""Samplers by name, each made from a seed and what is searched."""
SAMPLERS.add("pareto", _pareto)
SAMPLERS.add("tpe", _optuna("TPESampler", multivariate=True, group=True, constant_liar=True))
SAMPLERS.add("nsga2", _optuna("NSGAIISampler", population_size=20))
SAMPLERS.add("nsga3", _optuna("NSGAIIISampler", population_size=20))
SAMPLERS.add("gp", _optuna("GPSampler"))
SAMPLERS.add("random", _optuna("RandomSampler"))
SAMPLERS.add("evolution", _baseline("EvolutionSampler"))
SAMPLERS.add("local_search", _baseline("LocalSearchSampler"))


def register_sampler(name: str) -> Callable[[Sampler], Sampler]:
    """Adds a function from a seed and a `nas.Problem` to an `optuna.samplers.BaseSampler` as the sampler `name`.

    ::

        @nas.register_sampler("cma")
        def cma(seed, problem):
            return optuna.samplers.CmaEsSampler(seed=seed)

    A study that is continued asks for another seed. Trials that ended without a value are told to the sampler as failed.
    """
    return adder(SAMPLERS, name, lambda function: function)
