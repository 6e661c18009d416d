"""Networks of a study that were retrained: which of their trainings is kept, and which network is the final one.

What is kept is chosen by images that no training saw, the validation part of a retraining; the test set chooses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.objectives import BALANCED_ACCURACY, OBJECTIVES, Objective
from nas.statistics.scores import Score

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Retrained:
    """Trainings of one network in one way, which differ in the seed alone, and the one of them that is kept."""

    trial: int | None
    """None for a reference, which no search found."""
    hash: str
    parameters: int
    macs: int
    kept: Mapping[str, Any] = field(repr=False)
    """The row of `Store.measurements` of the training that is kept."""
    metric: str
    """What seeds and networks are chosen by."""
    validated: tuple[float, ...]
    """Its values on the validation images of all trainings; empty where nothing was held out."""
    tested: tuple[float, ...]
    """Its values on the test images of all trainings."""

    @property
    def worth(self) -> float:
        """The mean validation value, the larger the better."""
        return -math.inf if self.mean is None else OBJECTIVES[self.metric].sign * self.mean

    @property
    def seed(self) -> int:
        """Seed of the training that is kept."""
        return int(self.kept["seed"])

    @property
    def validation(self) -> Score | None:
        """What the kept weights are worth on the validation part; None where nothing was held out."""
        return _score(self.kept, "validation")

    @property
    def test(self) -> Score | None:
        """What the same weights are worth on the test set; None in a database of an older version."""
        return _score(self.kept, "test")

    @property
    def mean(self) -> float | None:
        """Mean over the validation values of all trainings."""
        return float(np.mean(self.validated)) if self.validated else None

    @property
    def error(self) -> float | None:
        """Standard error of a validation value, that of the training that is kept."""
        return None if self.validation is None else self.validation.error(self.metric)


def of_way(rows: pd.DataFrame) -> Retrained | None:
    """What retrainings with one key came to, from their rows of `Store.measurements`; None when none came to its end."""
    complete = rows[rows["state"] == "complete"].to_dict("records")
    if not complete:
        return None
    kept, metric = max(complete, key=_worth), str(complete[0]["metric"])
    return Retrained(
        None if kept.get("kind") == "reference" else int(kept["trial"]),
        str(kept["hash"]),
        int(kept["parameters"]),
        int(kept["macs"]),
        kept,
        metric,
        _values(complete, "validation", metric),
        _values(complete, "test", metric),
    )


def of_study(measured: pd.DataFrame, study: str) -> list[Retrained]:
    """The retrained networks of a study, each in the way in which it was retrained last."""
    return list(_latest(measured[(measured["kind"] == "retrain") & (measured["study"] == study)]).values())


def references_of_study(measured: pd.DataFrame, study: str) -> dict[str, Retrained]:
    """The reference networks of a study by their names, each as it was trained last."""
    ours = measured[(measured["kind"] == "reference") & (measured["study"] == study)]
    return {str(way.kept["published"]): way for way in _latest(ours).values()}


def _latest(ours: pd.DataFrame) -> dict[str, Retrained]:
    """Networks by their hashes, each in the way in which it was trained last."""
    found: dict[str, Retrained] = {}
    for key in latest_first(ours):
        way = of_way(ours[ours["key"] == key])
        if way is not None:
            found.setdefault(way.hash, way)
    return found


def latest_first(rows: pd.DataFrame) -> list[str]:
    """The keys of `Store.measurements`, that of the latest measurement first."""
    return [str(key) for key in rows.sort_values("id", ascending=False)["key"].drop_duplicates()]


def in_order(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows with one key, that which is kept first."""
    return sorted(rows.to_dict("records"), key=_worth, reverse=True)


def final(candidates: Sequence[Retrained]) -> Retrained | None:
    """The best of retrained networks: by the mean validation value over seeds; of equal ones the smallest.

    The mean of several trainings tells more of a network than the luckiest of them. None where no network was validated.
    """
    validated = [candidate for candidate in candidates if candidate.mean is not None]
    return max(validated, key=lambda one: (one.worth, -one.parameters, -one.macs), default=None)


def cheaper(candidates: Sequence[Retrained], chosen: Retrained) -> Retrained | None:
    """The smallest network with a mean validation value within one standard error of the chosen one's; None: that itself."""
    least = chosen.worth - (chosen.error or 0.0)
    near = [one for one in candidates if one.mean is not None and one.worth >= least]
    smallest = min(near, key=lambda one: (one.parameters, one.macs))
    return smallest if smallest.parameters < chosen.parameters else None


def _worth(row: Mapping[Any, Any]) -> tuple[float, ...]:
    """What a training is chosen by: the metric on validation images, of equal ones balanced accuracy, and then the first seed."""
    score = _score(row, "validation") or Score({})
    metrics = (OBJECTIVES[row["metric"]], BALANCED_ACCURACY)
    return *(_better(score.value(one.name), one) for one in metrics), -float(row["seed"])


def _better(value: float, metric: Objective) -> float:
    """The larger the better; what was not measured is worst."""
    return -math.inf if math.isnan(value) else metric.sign * value


def _values(rows: Sequence[Mapping[Any, Any]], part: str, metric: str) -> tuple[float, ...]:
    scores = [score for row in rows if (score := _score(row, part)) is not None and metric in score.metrics]
    return tuple(score.value(metric) for score in scores)


def _score(row: Mapping[Any, Any], part: str) -> Score | None:
    found: Score | None = row["scores"].get(part)
    return found
