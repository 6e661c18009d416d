"""A table of trained networks, network by network: what stands in for training."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blocks.base import Shape
from nas.bench.curves import CurveColumns, Curves, mean
from nas.bench.table_files import SCORED, Mapping, metric_columns, read_assignments, read_records, read_seeds
from nas.bench.table_space import TableSpace
from nas.errors import AssignmentError, BenchError, Infeasible
from nas.objectives import ACCURACY, OBJECTIVES, before_training, exact
from nas.sampler.acquisition import BUDGET_SCALES, Budgets
from nas.space.feasibility import ENUMERABLE
from nas.space.space import Assignment, Space


@dataclass(frozen=True)
class Table:
    """What is known of every network of a table that meets the constraints of the space."""

    space: Space
    input: Shape
    classes: int
    networks: dict[str, int]
    """Row of the arrays below, by hash."""
    accuracy: npt.NDArray[np.float64]
    """Accuracies in [0, 1], or another metric of which more is better; of several seeds their mean."""
    costs: dict[str, npt.NDArray[np.float64]]
    """What is exact: from the table where it has it, else from the cost model; and what the table has of what is measured."""
    seconds: npt.NDArray[np.float64] | None
    """What training takes, when the table says so."""
    rows: int
    """Rows of the file: more than networks when several assignments build the same one."""
    columns: dict[str, str]
    """Origin of each metric."""

    heard: npt.NDArray[np.float64] | None = None
    """(networks, seeds) accuracies that a search hears of, NaN where there was no training; None: `accuracy`."""
    curves: Curves | None = None
    """What networks were worth in the middle of their trainings, where the table says so."""

    @classmethod
    def load(
        cls,
        path: Path,
        space: Space,
        *,
        mapping: Mapping | None = None,
        input: Shape | None = None,
        classes: int = 10,
        incomplete: bool = False,
    ) -> Table:
        """Reads a table of `space`; see `of`."""
        return cls.of(
            path, read_records(path), space, mapping=mapping, input=input, classes=classes, incomplete=incomplete
        )

    @classmethod
    def of(
        cls,
        path: Path,
        records: list[dict[str, Any]],
        space: Space,
        *,
        mapping: Mapping | None = None,
        input: Shape | None = None,
        classes: int = 10,
        incomplete: bool = False,
    ) -> Table:
        """The table of rows that were read at `path`.

        Of an `incomplete` table only the networks that it has, with all of their values, are proposed. Raises BenchError; for
        another that lacks a network of a small space or a value as well.
        """
        input, whole = input or space.input, space
        mapping = mapping or Mapping()
        columns = metric_columns(path, records, mapping)
        learned = "accuracy" if "accuracy" in columns else "error"
        unit = float(mapping.units.get(learned, 1))
        curves = mapping.curve and CurveColumns(path, mapping, columns[learned], list(records[0]), unit)
        values: dict[str, dict[str, list[list[float]]]] = {}
        prices: dict[str, dict[str, float]] = {}
        listed: dict[str, list[Assignment]] = {}
        for place, assignment in enumerate(read_assignments(path, records, space, mapping)):
            try:
                built = space.resolve(space.plan(assignment), input, classes)
            except (AssignmentError, Infeasible) as problem:
                raise BenchError(f"{path}: row {place + 1}: {problem}") from None
            row = {
                name: read_seeds(path, place, those, records[place], float(mapping.units.get(name, 1)))
                for name, those in columns.items()
            }
            hash = built.architecture.hash
            listed.setdefault(hash, []).append(assignment)
            if curves:
                curves.add(hash, place, records[place])
            prices.setdefault(hash, {name: float(built.cost[name]) for name in exact() if name not in columns})
            for name, numbers in row.items():
                if numbers is None and not incomplete:
                    empty = columns[name][0]
                    raise BenchError(
                        f"{path}: row {place + 1}: '{empty}' must be a number, not {records[place].get(empty)!r}"
                    )
                if numbers is not None:
                    if name in ("seconds", *exact()) and any(number < 0 for number in numbers):
                        raise BenchError(f"{path}: row {place + 1}: {name} must not be below 0")
                    values.setdefault(hash, {}).setdefault(name, []).append(numbers)
        means = {hash: _means(row) for hash, row in values.items() if row.keys() == columns.keys()}
        for hash, row_means in means.items():
            prices[hash] |= {name: float(np.nanmean(row_means[name])) for name in exact() if name in columns}
        own = [name for name in exact() if name in columns]
        kept = tuple(assignment for hash in means for assignment in listed[hash]) if incomplete else None
        if own or incomplete:
            space = TableSpace.of(space, {hash: prices[hash] if own else {} for hash in means}, kept)
        networks = [hash for hash in means if _fits(space, listed[hash][0], input, classes)]
        if not networks:
            raise BenchError(f"{path}: no row of the table meets the constraints of {space.name}")
        arrays = {name: np.array([means[hash][name] for hash in networks]) for name in columns}
        percent = _is_percent(arrays[learned])
        heard = _accuracy(arrays[learned], learned, percent)
        scored = _accuracy(arrays[SCORED], SCORED, _is_percent(arrays[SCORED])) if SCORED in arrays else heard
        costs = {name: np.array([prices[hash][name] for hash in networks]) for name in exact()}
        costs |= {name: np.nanmean(arrays[name], axis=1) for name in before_training() if name in arrays}
        table = cls(
            space,
            input,
            classes,
            {hash: row for row, hash in enumerate(networks)},
            np.nanmean(scored, axis=1),
            {name: costs[name] for name in before_training() if name in costs},
            np.nanmean(arrays["seconds"], axis=1) if "seconds" in arrays else None,
            len(records),
            {name: ", ".join(those) for name, those in columns.items()}
            | {name: "cost model" for name in exact() if name not in columns},
            None if scored is heard and heard.shape[1] == 1 else heard,
            curves.curves(networks, lambda values: _accuracy(values, learned, percent)) if curves else None,
        )
        assignments = {tuple(sorted(assignment.items())) for those in listed.values() for assignment in those}
        if not incomplete and len(assignments) < whole.size <= ENUMERABLE:
            table._check_complete(path, whole)
        return table

    @property
    def chance(self) -> float:
        """The accuracy up to which a network has learned nothing; of what is no share, nothing is."""
        return 1 / self.classes if 0 <= self.accuracy.min() <= self.accuracy.max() <= 1 else -math.inf

    def hears(self, row: int, seed: int, epoch: int | None = None) -> float:
        """The accuracy that a search with this seed hears of: that of one training, where the table has several.

        After an `epoch` of its curve, NaN where nothing was measured then, or None: at the end.
        """
        values = self.accuracy[row : row + 1] if self.heard is None else self.heard[row]
        known = np.flatnonzero(np.isfinite(values))
        training = int(known[seed % len(known)])
        if epoch is None or self.curves is None or epoch == self.curves.epochs:
            return float(values[training])
        return self.curves.at(row, training, epoch)

    def losses(
        self, objectives: Sequence[str], seed: int | None = None, budget_scale: str = "linear"
    ) -> npt.NDArray[np.float64]:
        """(networks, objectives), less is better, each scaled to [0, 1] by its range over the whole table.

        Costs are scaled evenly, evenly on a logarithmic scale, or by the mean of both: as the sampler weighs budgets.
        With a `seed`, those of the accuracies that a search with it hears of, on the same scale. Raises BenchError for a cost
        that has to be measured and has no column.
        """
        for name in objectives:
            if name != ACCURACY.name and name not in self.costs:
                raise BenchError(f"the table has no column of {name}; name one with --metric {name}=COLUMN")
        columns = [self.accuracy if name == ACCURACY.name else self.costs[name] for name in objectives]
        maximized = [OBJECTIVES[name].is_maximized for name in objectives]
        values = np.where(maximized, 1 - np.column_stack(columns), np.column_stack(columns))
        low, high = values.min(axis=0), values.max(axis=0)
        if seed is not None and ACCURACY.name in objectives:
            heard = [1 - self.hears(row, seed) for row in range(len(values))]
            values[:, list(objectives).index(ACCURACY.name)] = heard
        scaled: npt.NDArray[np.float64] = (values - low) / np.where(high > low, high - low, 1)
        costs = [place for place, name in enumerate(objectives) if name != ACCURACY.name]
        if costs and budget_scale != "linear":
            scaled[:, costs] = Budgets.spanning(values[:, costs], BUDGET_SCALES[budget_scale])(values[:, costs])
        return scaled

    def row(self, hash: str, assignment: Assignment) -> int:
        """The row of a network. Raises BenchError when the table lacks it."""
        if hash not in self.networks:
            raise BenchError(f"the table lacks an architecture that was proposed: {json.dumps(assignment)}")
        return self.networks[hash]

    def _check_complete(self, path: Path, space: Space) -> None:
        missing = 0
        first: Assignment | None = None
        for assignment in space.enumerate():
            try:
                built = space.resolve(space.plan(assignment), self.input, self.classes)
            except Infeasible:
                continue
            if space.violation(built.cost) is None and built.architecture.hash not in self.networks:
                missing += 1
                first = first or assignment
        if missing:
            raise BenchError(
                f"{path}: the table lacks {missing:,} of the {space.size:,} architectures of {space.name}, "
                f"such as {json.dumps(first)}; with --incomplete the others are searched"
            )


def _means(rows: dict[str, list[list[float]]]) -> dict[str, npt.NDArray[np.float64]]:
    """The mean of the rows of a network, for each metric seed by seed."""
    return {name: mean(values) for name, values in rows.items()}


def _fits(space: Space, assignment: Assignment, input: Shape, classes: int) -> bool:
    return space.violation(space.resolve(space.plan(assignment), input, classes).cost) is None


def _is_percent(values: npt.NDArray[np.float64]) -> bool:
    """Whether a column holds no shares: one has a value above 1."""
    return bool(np.nanmax(values) > 1)


def _accuracy(values: npt.NDArray[np.float64], metric: str, percent: bool) -> npt.NDArray[np.float64]:
    """(networks, seeds): accuracies, or what else is better when it is more, of a column of accuracies or errors."""
    shares = values / 100 if percent else values
    return 1 - shares if metric == "error" else shares
