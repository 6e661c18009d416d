"""Test values over seeds: mean, standard deviation, and which networks cannot be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nas.objectives import OBJECTIVES
from nas.text.formatting import counted

if TYPE_CHECKING:
    import pandas as pd

    from nas.store.deviations import Deviation

SIGNIFICANCE: Final = 0.05
"""Below this p-value of Welch's t-test the test values of two networks count as different."""


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
    metric: str
    """What its study chooses by."""
    values: tuple[float, ...]
    """Its values on the test images, of the seeds that completed."""
    others: Mapping[str, float]
    """Means of what else was measured on the test images."""
    seeds: int
    """Trained, whatever their end."""
    states: tuple[str, ...]
    deviations: tuple[Deviation | str, ...]
    """Sentences where an older version wrote them."""
    device: str

    @property
    def mean(self) -> float | None:
        """Mean of the test values."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the test values (of a sample: n - 1); None for fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def record(self) -> dict[str, Any]:
        """Plain data, for `--json`."""
        return {
            "data": self.data,
            "epochs": self.epochs,
            "fraction": self.fraction,
            "seeds": self.seeds,
            "metric": self.metric,
            "values": list(self.values),
            **self.others,
            self.metric: self.mean,
            "std": self.deviation,
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
        metric = str(first["metric"])
        tested = [score for row in complete["scores"] if (score := row.get("test")) is not None]
        names = dict.fromkeys(name for score in tested for name in score.metrics if name != metric)
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
                metric=metric,
                values=tuple(score.value(metric) for score in tested if metric in score.metrics),
                others={name: float(np.mean([score.value(name) for score in tested])) for name in names},
                seeds=len(group),
                states=tuple(map(str, group["state"])),
                deviations=tuple(first["deviations"]),
                device=str(group.iloc[-1]["device"]),
            )
        )
    return found


def summary_text(summary: Summary, *, short: bool = False) -> str:
    """``88.10 ± 0.31 % (3 seeds)``, ``88.10 % (1 seed)``, or the states of what did not complete; `short`: ``(3)``."""
    failed = [state for state in summary.states if state != "complete"]
    mean, deviation, seeds = summary.mean, summary.deviation, len(summary.values)
    if mean is None:
        return ", ".join(sorted(set(failed)))
    if OBJECTIVES[summary.metric].is_share:
        text = f"{mean * 100:.2f} %" if deviation is None else f"{mean * 100:.2f} ± {deviation * 100:.2f} %"
    else:
        text = f"{mean:.4g}" if deviation is None else f"{mean:.4g} ± {deviation:.2g}"
    text += f" ({seeds})" if short else f" ({counted(seeds, 'seed')})"
    return f"{text}, {', '.join(failed)}" if failed else text


def differ(first: Sequence[float], second: Sequence[float]) -> bool | None:
    """Whether two networks differ in their test values, by Welch's two-sided t-test at `SIGNIFICANCE`; None with one seed."""
    if min(len(first), len(second)) < 2:
        return None
    if np.ptp(first) == 0 and np.ptp(second) == 0:  # no spread at all: the test would divide by zero
        return bool(first[0] != second[0])
    from scipy.stats import ttest_ind_from_stats

    # From these it warns of nothing where one of both has no spread.
    described = [part for each in (first, second) for part in (np.mean(each), np.std(each, ddof=1), len(each))]
    return bool(ttest_ind_from_stats(*described, equal_var=False).pvalue < SIGNIFICANCE)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None  # a missing value is pandas.NA
