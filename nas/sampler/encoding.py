"""Features of networks as rows of a matrix: which of them are columns, how they are scaled, and which share a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from nas.sampler.features import GROUPS, Features, feature_names

COLUMNS: Final = {"count": 48, "stage": 24, "path2": 64, "path3": 64}
"""Most features of a group, those that vary most."""
OWN_WEIGHT: Final = 24
"""Graph features with a weight of their own, those that vary most; the others share one a group."""

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoding:
    """Columns, chosen by how features vary among some networks; called with features it gives (networks, columns)."""

    columns: Numbers
    groups: Numbers
    """Which group each column belongs to; columns of one group share a weight."""
    mean: Array
    unit: Array
    share: Array

    @classmethod
    def of(cls, features: Sequence[Features]) -> Encoding:
        """Fitted to these networks."""
        whole = _sparse(features).tocsc()
        mean = np.asarray(whole.mean(axis=0))
        variance = np.maximum(np.asarray((whole * whole).mean(axis=0)) - mean**2, 0.0)
        by_group: dict[str, list[str]] = {}
        number_of = {name: number for number, name in enumerate(feature_names()) if variance[number] > 1e-9}
        for name in sorted(number_of):
            by_group.setdefault(name.partition(":")[0], []).append(name)
        chosen: list[list[str]] = []
        singles: list[str] = []
        for group, names in by_group.items():
            names.sort(key=lambda name: (-variance[number_of[name]], name))
            names = names[: COLUMNS.get(group, len(names))]
            if group in GROUPS and not group.startswith("path"):
                singles += names
            else:
                chosen.append(names)
        singles.sort(key=lambda name: (-variance[number_of[name]], name))
        rest: dict[str, list[str]] = {}
        for place, name in enumerate(singles):
            if place < OWN_WEIGHT:
                chosen.append([name])
            else:
                rest.setdefault(name.partition(":")[0], []).append(name)
        chosen += rest.values()
        columns, groups, units, shares = [], [], [], []
        for number, names in enumerate(chosen):
            ids = [number_of[name] for name in names]
            # graph features weigh alike whatever their unit; options by how often they differ
            standard = np.sqrt(variance[ids]) if names[0].partition(":")[0] in GROUPS else np.ones(len(ids))
            total = 2 * float((variance[ids] / standard**2).sum())
            columns += ids
            groups += [number] * len(ids)
            units += list(standard)
            shares += [1 / np.sqrt(total)] * len(ids)
        places = np.array(columns, dtype=np.int64)
        return cls(places, np.array(groups, dtype=np.int64), mean[places], np.array(units), np.array(shares))

    def __call__(self, features: Sequence[Features]) -> Array:
        """Rows of these networks; features that the columns do not know are left out."""
        rows = _sparse(features).tocsc()[:, self.columns].toarray()
        # a feature that is rare among candidates may be tens of deviations away: 4 are enough
        encoded: Array = np.clip((rows - self.mean) / self.unit, -4, 4) * self.share
        return encoded


def _sparse(features: Sequence[Features]) -> sparse.csr_array:
    pointers = np.cumsum([0, *[len(item.numbers) for item in features]])
    numbers = np.concatenate([item.numbers for item in features])
    values = np.concatenate([item.values for item in features])
    return sparse.csr_array((values, numbers, pointers), shape=(len(features), len(feature_names())))
