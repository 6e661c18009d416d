"""What a network is worth beside its accuracy: metrics of all answers at once, by name, mostly scikit-learn's.

They are measured only where a search asks for them (`--metric`): the default costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from nas.config.own_functions import OwnFunction, hand_over, note
from nas.errors import SearchError
from nas.objectives import Objective, register_objective
from nas.plugins.registry import Registry, adder
from nas.text.formatting import shorten

Measure = Callable[[npt.NDArray[np.float64], npt.NDArray[np.int64]], float]
"""From probabilities (N, classes), of a network that is asked for one class an image, and the classes (N,) that are right."""


METRICS: Registry[Measure] = Registry("metric", "nas.metrics", SearchError)
"""Metrics of images with one class, by name, beside accuracy, top5 and loss."""

KIND: Final = "metric"
BINS: Final = 15
"""Bins of confidence in the calibration error."""


def register_metric(
    name: str, *, direction: Literal["minimize", "maximize"] = "maximize", range: tuple[float, float] = (0.0, 1.0)
) -> Callable[[Measure], Measure]:
    """Adds a function from probabilities (N, classes) and right classes (N,) to a number as the metric `name`.

    ::

        @nas.register_metric("worst_class")
        def worst_class(probabilities, labels):
            right = probabilities.argmax(1) == labels
            return min(right[labels == label].mean() for label in set(labels))

    ``--metric worst_class`` then searches by it. `range` are the values that hypervolume counts as best and worst. Workers need it
    too: it stands in an installed package with an entry point, in a file that --blocks names, or in the script that calls
    `nas.search`.
    """

    def add(measure: Measure) -> Measure:
        add_metric(name, measure, direction, range)
        return measure

    return add


def add_metric(
    name: str,
    measure: Measure,
    direction: Literal["minimize", "maximize"] = "maximize",
    range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Makes a metric known by its name. Raises a NasError when that is taken, or is none."""
    register_objective(Objective(name, direction, "learned", range, "linear"))
    METRICS.add(name, measure, measure if hasattr(measure, "__qualname__") else type(measure))
    note(OwnFunction(KIND, name, measure, partial(add_metric, direction=direction, range=range)))


def metric_name(measure: object) -> str:
    """The name of a metric that was handed over as a function. Raises a NasError where it can have none."""
    return hand_over(KIND, measure, dict(METRICS), add_metric)


def check_metric(name: str, labels: npt.NDArray[np.int64], classes: int) -> None:
    """Tries a metric on guesses for these labels (N,). Raises SearchError where it gives no number."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), len(labels))
    shapes = f"probabilities {probabilities.shape} and labels {labels.shape}"
    try:
        value: object = METRICS.find(name)(probabilities, labels)
    except Exception as problem:  # whatever a function of others can do
        reason = " ".join(str(problem).split())
        raise SearchError(
            f"metric '{name}': {type(problem).__name__} for {shapes}: {shorten(reason, 120)}"
        ) from problem
    try:
        finite = bool(np.isfinite(float(value)))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        finite = False
    if not finite:
        raise SearchError(f"metric '{name}': must give a finite number, not {shorten(value)}, for {shapes}")


def _own(name: str) -> Callable[[Measure], Measure]:
    """Adds a metric of nas itself, whose objective stands in `nas.objectives`."""
    return adder(METRICS, name, lambda measure: measure)


@_own("balanced_accuracy")
def _balanced_accuracy(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    from sklearn.metrics import recall_score

    there = np.unique(labels)
    return float(recall_score(labels, probabilities.argmax(1), labels=there, average="macro", zero_division=0))


@_own("macro_f1")
def _macro_f1(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    from sklearn.metrics import f1_score

    there = np.unique(labels)
    return float(f1_score(labels, probabilities.argmax(1), labels=there, average="macro", zero_division=0))


@_own("auc")
def _auc(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Area under the receiver operating characteristic, each class against all others, mean over the classes that are there."""
    from sklearn.metrics import roc_auc_score

    there = [label for label in np.unique(labels) if (labels != label).any()]
    return float(np.mean([roc_auc_score(labels == label, probabilities[:, label]) for label in there]))


@_own("log_loss")
def _log_loss(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    from sklearn.metrics import log_loss

    return float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))


@_own("calibration_error")
def _calibration_error(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Expected difference of confidence and accuracy in 15 bins (Guo et al. 2017, On Calibration, equation 3)."""
    confidence = probabilities.max(1)
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    right = probabilities.argmax(1) == labels
    gaps = np.bincount(bins, right, BINS) - np.bincount(bins, confidence, BINS)
    return float(np.abs(gaps).sum() / len(labels))
