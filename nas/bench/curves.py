"""Learning curves of a table: what networks were worth after each epoch, read from the columns of a pattern."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.bench.table_files import Mapping, read_seeds
from nas.errors import BenchError

Values = npt.NDArray[np.float64]
EPOCH, SEED = "{epoch}", "{seed}"


@dataclass(frozen=True)
class Curves:
    """What networks were worth in the middle of their trainings."""

    epochs: int
    """Epochs of a whole training, after which the accuracy of the table is measured."""
    values: Dict[int, Values]
    """(networks, trainings) by epoch, as the accuracies of the table; NaN where nothing was measured."""

    def check(self, rungs: Sequence[int]) -> None:
        """Raises BenchError where nothing is known after an epoch."""
        for epoch in rungs:
            if epoch not in self.values:
                there = ", ".join(map(str, self.values))
                raise BenchError(
                    f"the table has no value after epoch {epoch} of {self.epochs}, where trials are compared; it has {there}; "
                    "--min-epochs and --reduction-factor say where they are"
                )

    def at(self, row: int, training: int, epoch: int) -> float:
        """What a network was worth in one of its trainings; NaN where that was not measured."""
        known = self.values[epoch][row]
        return float(known[training if len(known) > 1 else 0])


class CurveColumns:
    """The columns of a pattern, and what the rows of a table have in them, network by network."""

    def __init__(
        self, path: Path, mapping: Mapping, accuracy: Sequence[str], there: Sequence[str], unit: float
    ) -> None:
        """`accuracy` are the columns of the value at the end, `there` all of the table. Raises BenchError."""
        self._path, self._unit = path, unit
        found = _matches(path, mapping, there)
        self.epochs = _whole_training(path, mapping, accuracy, found)
        seeds = _seeds(mapping, accuracy)
        strange = sorted({seed for _, seed in found.values() if seed is not None} - set(seeds))
        if strange:
            names = ", ".join(accuracy)
            raise BenchError(
                f"{path}: curve: '{mapping.curve}' has a training '{strange[0]}', but accuracy has {names}"
            )
        if all(seed is None for _, seed in found.values()):
            seeds = [None]
        by_place = {(epoch, seed): name for name, (epoch, seed) in found.items()}
        middle = sorted({epoch for epoch, _ in found.values() if epoch < self.epochs})
        self._columns = {epoch: tuple(by_place.get((epoch, seed), "") for seed in seeds) for epoch in middle}
        self._rows: dict[str, list[dict[int, list[float]]]] = {}

    def add(self, network: str, place: int, record: dict[str, Any]) -> None:
        """The row at `place` is one of this network. Raises BenchError for what is no number."""
        row = {
            epoch: read_seeds(self._path, place, names, record, self._unit) or [math.nan] * len(names)
            for epoch, names in self._columns.items()
        }
        self._rows.setdefault(network, []).append(row)

    def curves(self, networks: Sequence[str], accuracy: Callable[[Values], Values]) -> Curves:
        """Those of the networks; `accuracy` makes shares of what the columns hold."""
        return Curves(
            self.epochs,
            {
                epoch: accuracy(np.array([mean([row[epoch] for row in self._rows[network]]) for network in networks]))
                for epoch in self._columns
            },
        )


def mean(values: list[list[float]]) -> Values:
    """Column by column over what is known of each; NaN where nothing is."""
    array = np.array(values)
    known = np.isfinite(array)
    total, count = np.where(known, array, 0.0).sum(axis=0), known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _whole_training(
    path: Path, mapping: Mapping, accuracy: Sequence[str], found: Dict[str, tuple[int, str | None]]
) -> int:
    """Epochs as the mapping says, as the columns of the accuracy do where the curve has these, or one more than it has."""
    last = max(epoch for epoch, _ in found.values())
    if mapping.epochs is None:
        ends = {found[column][0] for column in accuracy if column in found}
        return ends.pop() if len(ends) == 1 else last + 1
    if not mapping.epochs.isdecimal() or int(mapping.epochs) < last:
        raise BenchError(f"{path}: epochs: must be a whole number of at least {last}, not '{mapping.epochs}'")
    return int(mapping.epochs)


def _seeds(mapping: Mapping, accuracy: Sequence[str]) -> list[str | None]:
    """What the `*` or `{seed}` of the accuracy stands for in each of its columns."""
    spelled = mapping.metrics.get("accuracy") or mapping.metrics.get("error") or ""
    pattern = re.compile("(.*)".join(map(re.escape, spelled.replace(SEED, "*").split("*"))))
    matches = [pattern.fullmatch(name) for name in accuracy]
    return [None if match is None or not match.groups() else match.group(1) for match in matches]


def _matches(path: Path, mapping: Mapping, there: Sequence[str]) -> dict[str, tuple[int, str | None]]:
    """Epoch and seed of each column of the curve. Raises BenchError where there is none."""
    text = mapping.curve or ""
    spelled = text if EPOCH in text else text.replace("*", EPOCH, 1)
    parts = re.split(r"(\{epoch\}|\{seed\}|\*)", spelled)
    groups = {EPOCH: r"(?P<epoch>\d+)", SEED: "(?P<seed>.+)", "*": "(?P<seed>.+)"}
    try:
        pattern = re.compile("".join(groups.get(part, re.escape(part)) for part in parts))
    except re.error:
        raise BenchError(f"curve: must have {EPOCH} once and {SEED} at most once, not '{text}'") from None
    if EPOCH not in spelled:
        raise BenchError(f"curve: must have {EPOCH} in the place of the number, such as epoch_{EPOCH}, not '{text}'")
    found = {name: match.groupdict() for name in there if (match := pattern.fullmatch(name)) is not None}
    if not found:
        raise BenchError(f"{path}: no column of the curve '{text}'; columns: {', '.join(there)}")
    return {name: (int(groups["epoch"]), groups.get("seed")) for name, groups in found.items()}
