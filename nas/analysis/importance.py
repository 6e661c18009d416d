"""Which choices matter at equal cost, and what each option is worth.

Copies of a choice (the cells of a stage, say) count together, so that a study of a hundred trials can speak about a
space with a hundred choices. A forest of randomized trees predicts the residual of `equal_cost` from the share of
copies that took each option; a choice matters as much as the prediction *of networks that the forest has not seen*
gets worse when the choice is shuffled among them (Breiman 2001, Random forests, section 10). Optuna's fANOVA would
need choices that every trial has; in most spaces one choice switches others off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from blocks.base import Scalar
from nas.analysis.equal_cost import at_equal_cost
from nas.objectives import ACCURACY, Objective
from nas.space.choices import options_taken

if TYPE_CHECKING:
    import pandas as pd

FEWEST: Final = 30
MOST: Final = 1500
"""Most networks that are looked at; of more, an even sample is used."""
FOLDS: Final = 5
SHUFFLES: Final = 3
TREES: Final = 120
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What one option of a choice is worth."""

    option: Scalar
    networks: int
    """Number of networks in which it was taken at least once."""
    mean: float
    """How much better than the cost predicts, weighted by the share of copies; shares in percentage points."""
    half: float
    """Half the width of the 95 % confidence interval."""


@dataclass(frozen=True)
class Importance:
    """How much one choice matters."""

    role: str
    drop: float
    """How much R² on unseen networks falls when the choice is shuffled."""
    spread: float
    """Standard deviation of the drop over folds and shuffles."""
    effects: tuple[Effect, ...]
    """Effects of the options, the best option first."""


@dataclass(frozen=True)
class Importances:
    """All choices, the most important first."""

    networks: int
    cost_explains: float
    """Share of the variance of the metric that cost alone explains."""
    predicted: float
    """R² of the forest on unseen networks; at most 0 when the choices predict nothing."""
    roles: tuple[Importance, ...]


def importances(complete: pd.DataFrame, costs: Sequence[str], metric: Objective = ACCURACY) -> Importances | None:
    """The importance of each choice of these networks (complete trials, each network once) for a metric.

    None with fewer than `FEWEST`.
    """
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.model_selection import KFold

    if len(complete) < FEWEST:
        return None
    if len(complete) > MOST:
        complete = complete.iloc[np.linspace(0, len(complete) - 1, MOST).round().astype(int)]
    cost = at_equal_cost(complete, costs, metric)
    assert cost is not None
    y = cost.residual
    shares = _shares(complete)
    names = list(shares)
    x = np.concatenate([shares[name][1] for name in names], axis=1) if names else np.empty((len(y), 0))
    ends = np.cumsum([shares[name][1].shape[1] for name in names])
    columns = {name: np.arange(end - shares[name][1].shape[1], end) for name, end in zip(names, ends, strict=True)}
    rng = np.random.default_rng(0)
    predicted = np.zeros(len(y))
    drops: dict[str, list[float]] = {name: [] for name in names}
    total = float(((y - y.mean()) ** 2).mean()) or 1.0
    for train, test in KFold(FOLDS, shuffle=True, random_state=0).split(x) if names else ():
        forest = ExtraTreesRegressor(TREES, min_samples_leaf=2, max_features=0.5, random_state=0, n_jobs=1)
        forest.fit(x[train], y[train])
        predicted[test] = forest.predict(x[test])
        error = float(((predicted[test] - y[test]) ** 2).mean())
        for name in names:
            shuffled = np.tile(x[test], (SHUFFLES, 1))
            for turn in range(SHUFFLES):
                rows = np.arange(turn * len(test), (turn + 1) * len(test))
                order = rng.permutation(len(test))
                shuffled[np.ix_(rows, columns[name])] = x[test][order][:, columns[name]]
            errors = (forest.predict(shuffled).reshape(SHUFFLES, -1) - y[test]) ** 2
            drops[name] += [(float(turn) - error) / total for turn in errors.mean(axis=1)]
    roles = [
        Importance(name, float(np.mean(drops[name])), float(np.std(drops[name])), _effects(*shares[name], y))
        for name in names
    ]
    roles.sort(key=lambda item: (-item.drop, item.role))
    r2 = 1 - float(((predicted - y) ** 2).mean()) / total if names else 0.0
    return Importances(len(y), cost.explained, r2, tuple(roles))


def _shares(complete: pd.DataFrame) -> dict[str, tuple[list[Scalar], Array]]:
    """For each role: its options, and (networks, options) the share of active copies that took each. Constant roles are out."""
    taken = [options_taken(assignment) for assignment in complete["assignment"]]
    options: dict[str, set[tuple[str, Scalar]]] = {}  # with the type: True is not 1
    for counts in taken:
        for name, met in counts.items():
            options.setdefault(name, set()).update((type(value).__name__, value) for value in met)
    shares: dict[str, tuple[list[Scalar], Array]] = {}
    for name in sorted(options):
        values = [value for _, value in sorted(options[name], key=lambda item: (item[0], str(item[1]).zfill(12)))]
        table = np.zeros((len(taken), len(values)))
        for row, counts in enumerate(taken):
            here = counts.get(name, {})
            number = sum(here.values())
            for column, value in enumerate(values):
                table[row, column] = here.get(value, 0) / number if number else 0.0
        if (table != table[0]).any():
            shares[name] = (values, table)
    return shares


def _effects(options: Sequence[Scalar], shares: Array, residual: Array) -> tuple[Effect, ...]:
    found = []
    for column, option in enumerate(options):
        weight = shares[:, column]
        total = float(weight.sum())
        if total <= 0:
            continue
        mean = float((weight * residual).sum() / total)
        size = total**2 / float((weight**2).sum())  # Kish's effective sample size
        variance = float((weight * (residual - mean) ** 2).sum() / total)
        half = 1.96 * float(np.sqrt(variance / (size - 1))) if size > 1.5 else float("inf")
        found.append(Effect(option, int((weight > 0).sum()), mean, half))
    return tuple(sorted(found, key=lambda effect: -effect.mean))
