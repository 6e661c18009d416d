"""A table of trained networks, network by network: what stands in for training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blocks.base import Shape
from nas.bench.table_files import Mapping, metric_columns, read_assignments, read_number, read_records
from nas.errors import AssignmentError, BenchError, Infeasible
from nas.objectives import ACCURACY, OBJECTIVES, before_training, exact
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
    """In [0, 1]."""
    costs: dict[str, npt.NDArray[np.float64]]
    """What is exact: from the table where it has it, else from the cost model; and what the table has of what is measured."""
    seconds: npt.NDArray[np.float64] | None
    """What training takes, when the table says so."""
    rows: int
    """Of the file; more than networks when several assignments build the same one."""
    columns: dict[str, str]
    """Where each metric comes from."""

    @classmethod
    def load(
        cls, path: Path, space: Space, *, mapping: Mapping | None = None, input: Shape | None = None, classes: int = 10
    ) -> Table:
        """Reads a table of `space`. Raises BenchError; for a table that lacks a network of a small space as well."""
        input = input or space.input
        mapping = mapping or Mapping()
        records = read_records(path)
        columns = metric_columns(path, records, mapping)
        index: dict[str, int] = {}
        values: list[dict[str, list[float]]] = []
        assignments: set[tuple[tuple[str, Any], ...]] = set()
        for place, assignment in enumerate(read_assignments(path, records, space, mapping)):
            try:
                built = space.resolve(space.plan(assignment), input, classes)
            except (AssignmentError, Infeasible) as problem:
                raise BenchError(f"{path}: row {place + 1}: {problem}") from None
            assignments.add(tuple(sorted(assignment.items())))
            price = built.cost
            if space.violation(price) is not None:
                continue
            row = index.setdefault(built.architecture.hash, len(values))
            if row == len(values):
                values.append({name: [float(price[name])] for name in exact() if name not in columns})
            for metric, column in columns.items():
                values[row].setdefault(metric, []).append(read_number(path, place, column, records[place].get(column)))
        if not values:
            raise BenchError(f"{path}: no row of the table meets the constraints of {space.name}")
        arrays = {name: np.array([np.mean(row[name]) for row in values]) for name in values[0]}
        table = cls(
            space,
            input,
            classes,
            index,
            _accuracy(arrays),
            {name: arrays[name] for name in before_training() if name in arrays},
            arrays.get("seconds"),
            len(records),
            columns | {name: "cost model" for name in exact() if name not in columns},
        )
        if len(assignments) < space.size <= ENUMERABLE:
            table._check_complete(path)
        return table

    def losses(self, objectives: Sequence[str]) -> npt.NDArray[np.float64]:
        """(networks, objectives), less is better, each scaled to [0, 1] by its range over the whole table.

        Raises BenchError for a cost that has to be measured and has no column.
        """
        for name in objectives:
            if name != ACCURACY.name and name not in self.costs:
                raise BenchError(f"the table has no column of {name}; name one with --metric {name}=COLUMN")
        columns = [self.accuracy if name == ACCURACY.name else self.costs[name] for name in objectives]
        maximized = [OBJECTIVES[name].is_maximized for name in objectives]
        values = np.where(maximized, 1 - np.column_stack(columns), np.column_stack(columns))
        low, high = values.min(axis=0), values.max(axis=0)
        scaled: npt.NDArray[np.float64] = (values - low) / np.where(high > low, high - low, 1)
        return scaled

    def row(self, hash: str, assignment: Assignment) -> int:
        """The row of a network. Raises BenchError when the table lacks it."""
        if hash not in self.networks:
            raise BenchError(f"the table lacks an architecture that was proposed: {json.dumps(assignment)}")
        return self.networks[hash]

    def _check_complete(self, path: Path) -> None:
        missing = 0
        first: Assignment | None = None
        for assignment in self.space.enumerate():
            try:
                built = self.space.resolve(self.space.plan(assignment), self.input, self.classes)
            except Infeasible:
                continue
            if self.space.violation(built.cost) is None and built.architecture.hash not in self.networks:
                missing += 1
                first = first or assignment
        if missing:
            raise BenchError(
                f"{path}: the table lacks {missing:,} of the {self.space.size:,} architectures of {self.space.name}, "
                f"such as {json.dumps(first)}"
            )


def _accuracy(arrays: dict[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Accuracy in [0, 1]: a column with a value above 1 is in percent."""
    values = arrays["accuracy"] if "accuracy" in arrays else arrays["error"]
    if values.max() > 1:
        values = values / 100
    return values if "accuracy" in arrays else 1 - values
