"""Networks of a study that were retrained: which of their trainings is kept, and which network is the final one.

What is kept is chosen by images that no training saw, the validation part of a retraining; the test set chooses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.statistics.proportion import standard_error
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
    validated: tuple[float, ...]
    """Validation accuracies of all trainings; empty where nothing was held out."""
    tested: tuple[float, ...]
    """Test accuracies of all trainings."""

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
        """Mean validation accuracy of all trainings."""
        return float(np.mean(self.validated)) if self.validated else None

    @property
    def error(self) -> float | None:
        """Standard error of a validation accuracy at `mean`."""
        return (
            None if self.validation is None or self.mean is None else standard_error(self.mean, self.validation.total)
        )


def of_way(rows: pd.DataFrame) -> Retrained | None:
    """What retrainings with one key came to, from their rows of `Store.measurements`; None when none came to its end."""
    complete = rows[rows["state"] == "complete"].to_dict("records")
    if not complete:
        return None
    kept = max(complete, key=_worth)
    scores = [score for row in complete if (score := _score(row, "validation")) is not None]
    return Retrained(
        None if kept.get("kind") == "reference" else int(kept["trial"]),
        str(kept["hash"]),
        int(kept["parameters"]),
        int(kept["macs"]),
        kept,
        tuple(score.accuracy for score in scores),
        tuple(float(row["accuracy"]) for row in complete),
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
    """The most accurate of retrained networks: by the mean validation accuracy over seeds; of equal ones the smallest.

    The mean of several trainings tells more of a network than the luckiest of them. None where no network was validated.
    """
    validated = [candidate for candidate in candidates if candidate.mean is not None]
    return max(validated, key=lambda one: (one.mean, -one.parameters, -one.macs), default=None)


def cheaper(candidates: Sequence[Retrained], chosen: Retrained) -> Retrained | None:
    """The smallest network with a mean validation accuracy within one standard error of the chosen one's; None: that itself."""
    assert chosen.mean is not None
    assert chosen.error is not None
    least = chosen.mean - chosen.error
    near = [one for one in candidates if one.mean is not None and one.mean >= least]
    smallest = min(near, key=lambda one: (one.parameters, one.macs))
    return smallest if smallest.parameters < chosen.parameters else None


def _worth(row: Mapping[Any, Any]) -> tuple[float, float, float]:
    """What a training is chosen by: validation accuracy, of equal ones balanced accuracy, and then the first seed."""
    score = _score(row, "validation")
    accuracies = (0.0, 0.0) if score is None else (score.accuracy, score.balanced)
    return *accuracies, -float(row["seed"])


def _score(row: Mapping[Any, Any], part: str) -> Score | None:
    found: Score | None = row["scores"].get(part)
    return found
