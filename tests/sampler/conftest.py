"""A space of chains of five small layers, and an accuracy of them that depends on what follows what."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import moocore
import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler

from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost, cost
from nas.errors import Infeasible
from nas.space.space import Assignment, Space

CHAIN = """\
name: chain
input: [1, 8, 8]
graphs:
  layer:
    op:
      choose:
        skip: {block: identity}
        point: {block: conv, kernel_size: 1}
        thin: {block: inverted_residual, kernel_size: 3, expansion: 3}
        wide: {block: inverted_residual, kernel_size: 5, expansion: 6}
graph:
  stem: {block: conv, channels: 8}
  body: {graph: layer, repeat: 5}
  head: {block: classifier, pool: average}
"""
NETWORKS = sum(3**depth for depth in range(6))
"""Of 4^5 assignments: a skip anywhere gives the same network."""


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """1,024 assignments of 364 networks."""
    path = tmp_path_factory.mktemp("spaces") / "chain.yaml"
    path.write_text(CHAIN)
    return Space.load(path)


@cache
def accuracy(architecture: Architecture) -> float:
    """Deeper is better, and change is; with a noise of a tenth of a percent that is the same every time."""
    layers = [dict(node.params).get("expansion", 0) for node in architecture.nodes[1:-1]]
    worth = sum({0: 0.3, 3: 0.9, 6: 1.2}[int(layer)] for layer in layers)
    worth += sum(0.5 for before, after in itertools.pairwise(layers) if before != after)
    return 0.9 - 0.5 * math.exp(-0.5 * worth) + 0.001 * random.Random(architecture.hash).random()


@dataclass(frozen=True)
class Tried:
    """One trial of `search`."""

    assignment: Assignment
    architecture: Architecture
    price: Cost
    values: tuple[float, ...]


def study_for(sampler: BaseSampler, objectives: Sequence[str] = ("accuracy", "parameters")) -> optuna.Study:
    """A study in memory."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ways = ["maximize" if name == "accuracy" else "minimize" for name in objectives]
    return optuna.create_study(directions=ways, sampler=sampler)


def build(space: Space, trial: optuna.Trial) -> tuple[Assignment, Architecture, Cost] | None:
    """What a trial suggests, define-by-run; None when it cannot be."""
    plan = space.walk(lambda name, options: trial.suggest_categorical(name, options))  # type: ignore[arg-type,return-value]
    try:
        architecture = space.resolve(plan).architecture
    except Infeasible:
        return None
    return plan.assignment, architecture, cost(architecture, space.input, 10)


def search(
    space: Space,
    sampler: BaseSampler,
    trials: int,
    *,
    workers: int = 1,
    objectives: Sequence[str] = ("accuracy", "parameters"),
    worth: Callable[[Architecture], float] = accuracy,
) -> list[Tried]:
    """Asks and tells; `workers` trials run at once, and the oldest ends first."""
    study = study_for(sampler, objectives)
    running: list[tuple[optuna.Trial, Tried]] = []
    ended: list[Tried] = []
    for _ in range(trials):
        trial = study.ask()
        built = build(space, trial)
        assert built is not None
        assignment, architecture, price = built
        values = tuple(
            worth(architecture) if name == "accuracy" else float(getattr(price, name)) for name in objectives
        )
        running.append((trial, Tried(assignment, architecture, price, values)))
        if len(running) == workers:
            trial, tried = running.pop(0)
            study.tell(trial, tried.values)
            ended.append(tried)
    return ended + [tried for _, tried in running]


def regret(space: Space, tried: Sequence[Tried], objectives: Sequence[str] = ("accuracy", "parameters")) -> float:
    """1 - HV/HV_max, every objective scaled by its range over the whole space."""
    whole = np.array(_losses(space.path, tuple(objectives)))
    found = np.array([_loss(item.values) for item in tried])
    low, high = whole.min(axis=0), whole.max(axis=0)
    volumes = [
        float(moocore.hypervolume((values - low) / (high - low), ref=np.ones(len(objectives))))
        for values in (found, whole)
    ]
    return 1 - volumes[0] / volumes[1]


def _loss(values: Sequence[float]) -> tuple[float, ...]:
    return (-values[0], *values[1:])


@cache
def _losses(path: str, objectives: tuple[str, ...]) -> list[tuple[float, ...]]:
    space = Space.load(path)
    found: dict[str, tuple[float, ...]] = {}
    for assignment in space.enumerate():
        architecture = space.from_assignment(assignment)
        price = cost(architecture, space.input, 10)
        costs = [float(getattr(price, name)) for name in objectives[1:]]
        found.setdefault(architecture.hash, _loss((accuracy(architecture), *costs)))
    return list(found.values())
