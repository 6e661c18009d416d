"""Test accuracies over seeds: mean, standard deviation, and which networks cannot be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nas.statistics.welch import welch

if TYPE_CHECKING:
    import pandas as pd

    from nas.store.deviations import Deviation

SIGNIFICANCE: Final = 0.05
"""Below this p-value of Welch's t-test two test accuracies count as different."""


@dataclass(frozen=True)
class Summary:
    """Trainings of one network in one way, which differ in the seed alone."""

    kind: str
    published: str | None
    study: str | None
    trial: int | None
    hash: str
    parameters: int
    macs: int
    data: str
    epochs: int
    """Epochs of the recipe."""
    fraction: float
    accuracies: tuple[float, ...]
    """Test accuracies in [0, 1] of the seeds that completed."""
    top5: float | None
    """Mean top-5 accuracy."""
    seeds: int
    """Trained, whatever their end."""
    states: tuple[str, ...]
    deviations: tuple[Deviation | str, ...]
    """Sentences where an older version wrote them."""
    device: str

    @property
    def mean(self) -> float | None:
        """Mean of the test accuracies."""
        return float(np.mean(self.accuracies)) if self.accuracies else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the test accuracies (of a sample: n - 1); None for fewer than two."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None

    def record(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return {
            "data": self.data,
            "epochs": self.epochs,
            "fraction": self.fraction,
            "seeds": self.seeds,
            "accuracies": list(self.accuracies),
            "accuracy": self.mean,
            "std": self.deviation,
            "top5": self.top5,
            "states": list(self.states),
            "deviations": [str(deviation) for deviation in self.deviations],
            "device": self.device,
        }


def summaries(measured: pd.DataFrame) -> list[Summary]:
    """One summary for each key of `Store.measurements`, in the order of their first measurement."""
    import pandas as pd

    found = []
    for _, group in measured.groupby("key", sort=False):
        first = group.iloc[0]
        complete = group[group["state"] == "complete"]
        top5 = complete["top5"].mean()
        found.append(
            Summary(
                kind=str(first["kind"]),
                published=_text(first["published"]),
                study=_text(first["study"]),
                trial=None if first["study"] is pd.NA else int(first["trial"]),
                hash=str(first["hash"]),
                parameters=int(first["parameters"]),
                macs=int(first["macs"]),
                data=first["task"].dataset,
                epochs=first["recipe"].epochs,
                fraction=float(first["fraction"]),
                accuracies=tuple(map(float, complete["accuracy"])),
                top5=None if math.isnan(top5) else float(top5),
                seeds=len(group),
                states=tuple(map(str, group["state"])),
                deviations=tuple(first["deviations"]),
                device=str(group.iloc[-1]["device"]),
            )
        )
    return found


def accuracy_text(record: Mapping[str, Any], *, short: bool = False) -> str:
    """``88.10 ± 0.31 % (3 seeds)``, ``88.10 % (1 seed)``, or the states of what did not complete; `short`: ``(3)``."""
    accuracies = record["accuracies"]
    failed = [state for state in record["states"] if state != "complete"]
    if not accuracies:
        return ", ".join(sorted(set(failed)))
    mean, deviation = record["accuracy"], record["std"]
    text = f"{mean * 100:.2f} %" if deviation is None else f"{mean * 100:.2f} ± {deviation * 100:.2f} %"
    text += f" ({len(accuracies)})" if short else f" ({len(accuracies)} seed{'' if len(accuracies) == 1 else 's'})"
    return f"{text}, {', '.join(failed)}" if failed else text


def differ(first: Sequence[float], second: Sequence[float]) -> bool | None:
    """Whether two networks differ in test accuracy, by Welch's two-sided t-test at `SIGNIFICANCE`; None with one seed."""
    if min(len(first), len(second)) < 2:
        return None
    if np.ptp(first) == 0 and np.ptp(second) == 0:  # no spread at all: the test would divide by zero
        return bool(first[0] != second[0])
    return welch(first, second) < SIGNIFICANCE


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None  # a missing value is pandas.NA
