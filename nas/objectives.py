"""The objectives of a search: one row for each, and what follows from the rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from nas.errors import NasError

Known = Literal["learned", "exact", "measured"]
"""How a value is known: by training, exactly from the graph, or measured before the training."""

RESERVED: Final = (
    *(
        "assignment",
        "device",
        "environment",
        "epoch",
        "epochs",
        "finished_at",
        "hash",
        "id",
        "images_per_second",
        "key",
        "lr",
    ),
    *("number", "published", "reason", "seconds", "source", "started_at", "state", "study"),
    *("train_accuracy", "train_loss", "trial"),
)
"""Columns of trials and learning curves, which no objective may be called."""


@dataclass(frozen=True)
class Objective:
    """What a study may optimize; `nas.register_objective` adds one.

    A value is ``learned`` (each epoch of a training reports one of this name), ``exact`` (`count` makes it of the network) or
    ``measured`` before the training (by the probe of this name: see `nas.register_probe`). What is not learned may also
    be bounded by a constraint.
    """

    name: str
    direction: Literal["minimize", "maximize"]
    known: Known
    range: tuple[float, float]
    """The values that count as best and worst, or the other way round, when hypervolume is computed: fixed, so that studies
    compare. On a logarithmic scale a smaller value counts as the first of them."""
    scale: Literal["linear", "logarithmic"] = "logarithmic"
    label: str = ""
    """On an axis; by default the name."""
    short: str = ""
    """Where there is little room; the unit stands in it. By default the label."""
    heading: str = ""
    """Over a column of a table; by default the name."""
    unit: str = ""
    """Behind a value in a text."""
    form: Literal["grouped", "short", "digits"] = "digits"
    """How a value is written: ``1,234,567``, ``1.23M`` or ``1.23``."""
    columns: tuple[str, ...] = ()
    """How tables of others call it, the likeliest first; by default the name."""
    count: Callable[[Any, tuple[int, ...], int], float] | None = field(default=None, compare=False, repr=False)
    """The value of an exact one from an `Architecture`, the shape of an image and the number of classes. It is called for
    every candidate, so that it must be quick."""

    def __post_init__(self) -> None:
        """Fills in what follows from the name. Raises NasError for a value that cannot be."""
        _check(self)
        label = self.label or self.name.replace("_", " ")
        filled = {
            "label": label,
            "short": self.short or label,
            "heading": self.heading or self.name.replace("_", " "),
            "columns": tuple(self.columns) or (self.name,),
            "range": (float(self.range[0]), float(self.range[1])),
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)

    @property
    def is_maximized(self) -> bool:
        """Whether more is better."""
        return self.direction == "maximize"

    @property
    def sign(self) -> int:
        """What a value is multiplied by so that more is better."""
        return 1 if self.is_maximized else -1

    @property
    def is_share(self) -> bool:
        """Whether values lie between 0 and 1 and are shown in per cent."""
        return self.known == "learned" and self.scale == "linear" and self.range == (0.0, 1.0)

    def on_axis(self, value: float) -> float:
        """Where a value stands on an axis: a logarithmic one has no room below `range`."""
        return max(value, self.range[0]) if self.scale == "logarithmic" else value

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: all but `count`."""
        return {
            item.name: list(value) if isinstance(value := getattr(self, item.name), tuple) else value
            for item in fields(self)
            if item.name != "count"
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Objective:
        """What `to_dict` gave. Raises NasError for anything else."""
        try:
            return cls(**{**data, "range": tuple(data["range"]), "columns": tuple(data["columns"])})
        except (TypeError, KeyError, ValueError) as problem:
            raise NasError(f"objective: {problem}") from None


def _check(objective: Objective) -> None:
    name, known = objective.name, ("learned", "exact", "measured")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise NasError(f"objective: a name has small letters, digits and _, such as energy_joules, not {name!r}")
    if name in RESERVED:
        raise NasError(f"objective '{name}': trials have a column of that name; choose another")
    for what, value, options in (
        ("direction", objective.direction, ("minimize", "maximize")),
        ("known", objective.known, known),
        ("scale", objective.scale, ("linear", "logarithmic")),
        ("form", objective.form, ("grouped", "short", "digits")),
    ):
        if value not in options:
            raise NasError(f"objective '{name}': {what} must be one of {', '.join(options)}, not {value!r}")
    low, high = objective.range
    if not (low < high and (low > 0 or objective.scale == "linear")):
        rule = "from a smaller to a larger number" + (", both above 0" if objective.scale == "logarithmic" else "")
        raise NasError(f"objective '{name}': range must be {rule}, not {low:g} to {high:g}")


ACCURACY: Final = Objective(
    "accuracy",
    "maximize",
    "learned",
    (0.0, 1.0),
    "linear",
    "accuracy on validation images",
    "validation accuracy (0 to 1)",
    columns=("accuracy", "mean_acc", "test_acc", "test_accuracy", "val_acc", "valid_acc", "acc"),
)
LATENCY: Final = Objective(
    "latency",
    "minimize",
    "measured",
    (1e-6, 1e6),
    label="latency in milliseconds for one image",
    short="latency of one image (ms)",
    heading="latency ms",
    unit="ms",
    columns=("latency", "latency_ms"),
)
MEAN_AVERAGE_PRECISION: Final = Objective(
    "mean_average_precision",
    "maximize",
    "learned",
    (0.0, 1.0),
    "linear",
    "mean average precision on validation images",
    "validation mAP (0 to 1)",
    "mAP",
    columns=("mean_average_precision", "map"),
)
MACRO_F1: Final = Objective(
    "macro_f1",
    "maximize",
    "learned",
    (0.0, 1.0),
    "linear",
    "macro F1 on validation images",
    "validation macro F1",
    "macro F1",
)
BALANCED_ACCURACY: Final = Objective(
    "balanced_accuracy",
    "maximize",
    "learned",
    (0.0, 1.0),
    "linear",
    "mean accuracy of the classes on validation images",
)
_METRICS = (
    BALANCED_ACCURACY,
    Objective(
        "top5", "maximize", "learned", (0.0, 1.0), "linear", "top-5 accuracy on validation images", heading="top-5"
    ),
    Objective(
        "auc",
        "maximize",
        "learned",
        (0.0, 1.0),
        "linear",
        "area under the ROC curve on validation images",
        heading="AUC",
    ),
    Objective("log_loss", "minimize", "learned", (1e-3, 10.0), label="log loss on validation images"),
    Objective(
        "calibration_error",
        "minimize",
        "learned",
        (0.0, 1.0),
        "linear",
        "expected calibration error on validation images",
    ),
)
EXACT_MATCH: Final = Objective(
    "exact_match",
    "maximize",
    "learned",
    (0.0, 1.0),
    "linear",
    "share of validation images without a mistake",
    "validation images without a mistake (share)",
)
_ROWS = (
    ACCURACY,
    Objective(
        "parameters",
        "minimize",
        "exact",
        (1, 1e9),
        label="parameters",
        form="grouped",
        columns=("parameters", "params"),
    ),
    Objective(
        "macs",
        "minimize",
        "exact",
        (1, 1e12),
        label="multiply-accumulates (MACs) for one image",
        short="MACs for one image",
        heading="MACs",
        unit="MACs",
        form="short",
        columns=("macs", "flops"),  # others call multiply-accumulates FLOPs
    ),
    Objective(
        "activation_bytes",
        "minimize",
        "exact",
        (1, 1e12),
        label="peak activation bytes for one image",
        short="peak activations for one image (bytes)",
        unit="bytes",
        form="short",
    ),
    LATENCY,
    MEAN_AVERAGE_PRECISION,
    MACRO_F1,
    EXACT_MATCH,
    *_METRICS,
)
OBJECTIVES: Final = {row.name: row for row in _ROWS}
"""Every objective by its name."""
BUILT_IN: Final = frozenset(OBJECTIVES)
"""Those that nobody had to register."""
COUNTED: Final = tuple(row.name for row in _ROWS if row.known == "exact")
"""The costs that the cost model counts; the study database has a column for each."""


def register_objective(objective: Objective) -> None:
    """Makes an objective known in this process, under its name; one that was registered before may be replaced.

    A study keeps the row beside its values, so that it can be shown and exported where the objective was not registered;
    to search for it, register it first. Raises NasError when the name is that of an objective of nas, or an exact one
    has no `count`.
    """
    if objective.name in BUILT_IN:
        raise NasError(f"objective '{objective.name}': nas has one of that name; choose another")
    if objective.known == "exact" and objective.count is None:
        raise NasError(f"objective '{objective.name}': an exact one needs count=, which makes its value of a network")
    OBJECTIVES[objective.name] = objective


def adopt(objective: Objective) -> None:
    """Takes the row that a study database has of an objective which this process has not registered."""
    known = OBJECTIVES.get(objective.name)
    if known is None or (known.known == "exact" and known.count is None and objective.name not in BUILT_IN):
        OBJECTIVES[objective.name] = replace(objective, count=None)


def learned(names: Iterable[str]) -> tuple[str, ...]:
    """Those of these objectives that a training reports."""
    return tuple(name for name in names if OBJECTIVES[name].known == "learned")


def metric_of(names: Iterable[str]) -> Objective:
    """What networks are chosen by where these are the objectives: the first that a training reports; accuracy where none is."""
    return next((OBJECTIVES[name] for name in learned(names)), ACCURACY)


def exact() -> tuple[str, ...]:
    """Every objective that is known exactly from the graph of a network."""
    return tuple(name for name, row in OBJECTIVES.items() if row.known == "exact")


def before_training() -> tuple[str, ...]:
    """Every objective that is known of a network before it is trained: what a constraint may bound."""
    return tuple(name for name, row in OBJECTIVES.items() if row.known != "learned")
