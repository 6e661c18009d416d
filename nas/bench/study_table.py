"""A finished study as a table of trained networks."""

from __future__ import annotations

from typing import Any

from blocks.base import Shape
from nas.errors import BenchError
from nas.objectives import before_training
from nas.space.space import Space
from nas.states import COMPLETE
from nas.store import DEFAULT_URL, Store

CURVE = "epoch_{epoch}"
"""The columns of what networks were worth in the middle of their trainings."""


def read_study(
    name: str, storage: str | None, space: Space
) -> tuple[list[dict[str, Any]], Shape | None, int | None, int | None]:
    """A row for each complete trial, the shape of the images, the number of classes, and the epochs of a training.

    The last is None where nothing was measured before the end.

    Raises BenchError for a study of another space, or one without complete trials; StorageError for one that is not there.
    """
    with Store.open(storage or DEFAULT_URL) as store:
        study = store.study(name)
        frame, epochs = store.trials(name), store.epochs(name)
    if study.space_fingerprint != space.fingerprint:
        raise BenchError(f"study '{name}' searched the space {study.space_name}, not this {space.name}")
    frame = frame[frame["state"] == COMPLETE]
    if frame.empty:
        raise BenchError(f"study '{name}' has no complete trial, so that it is no table")
    known = [column for column in ("accuracy", *before_training(), "seconds") if column in frame.columns]
    rows = [
        {
            **assignment,
            **{column: None if value != value else value for column, value in zip(known, values, strict=True)},
        }
        for assignment, *values in zip(frame["assignment"], *[frame[column] for column in known], strict=True)
    ]
    middle = epochs[epochs["trial"].isin(frame["trial"]) & (epochs["epoch"] < study.recipe.epochs)]
    middle = middle[middle["accuracy"].notna()]
    curves: dict[int, dict[str, float]] = {}
    for trial, epoch, value in zip(middle["trial"], middle["epoch"], middle["accuracy"], strict=True):
        curves.setdefault(int(trial), {})[CURVE.format(epoch=epoch)] = float(value)
    rows = [{**row, **curves.get(int(trial), {})} for row, trial in zip(rows, frame["trial"], strict=True)]
    # One row says which columns there are.
    names = dict.fromkeys(name for row in rows for name in row)
    records = [{name: row.get(name) for name in names} for row in rows]
    return records, study.task.input, study.task.classes, study.recipe.epochs if curves else None
