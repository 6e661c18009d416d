"""Values of trials by the names of objectives, and what the database says of objectives that were registered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from nas.errors import NasError, StorageError
from nas.objectives import ACCURACY, BUILT_IN, COUNTED, OBJECTIVES, Objective, adopt, learned
from nas.states import COMPLETE
from nas.store import damaged
from nas.store.schema import Base, EpochValueRow, ObjectiveRow, Trial, ValueRow, dump, finite

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (ACCURACY.name, *COUNTED, "top5", "loss")
"""Values that `nas_trials` has a column for; all others are rows of their own."""
EPOCH_COLUMNS = (ACCURACY.name, "top5", "loss")
"""The same of `nas_epochs`."""

_EPOCH_VALUES = Base.metadata.tables[EpochValueRow.__tablename__]
_DELETE_VALUES = _EPOCH_VALUES.delete().where(
    _EPOCH_VALUES.c.trial_id == bindparam("row"), _EPOCH_VALUES.c.epoch == bindparam("number")
)


def write(session: Session, row: int, values: Mapping[str, float | None]) -> None:
    """Gives a trial these values, in the place of older ones of the same names; those that are no number are left out."""
    known = {
        name: number for name, value in values.items() if name not in COLUMNS and (number := finite(value)) is not None
    }
    if known:
        session.execute(delete(ValueRow).where(ValueRow.trial_id == row, ValueRow.name.in_(known)))
        stored = [{"trial_id": row, "name": name, "value": value} for name, value in known.items()]
        session.execute(insert(ValueRow), stored)


def of_trial(session: Session, row: int) -> dict[str, float]:
    """What is stored so of the trial in this row."""
    found = session.execute(select(ValueRow.name, ValueRow.value).where(ValueRow.trial_id == row))
    return {str(name): float(value) for name, value in found}


def learned_by(session: Session, study: int) -> tuple[str, ...]:
    """The names of what a complete trial of the study has stored so that a training reports."""
    complete = select(Trial.id).where(Trial.study_id == study, Trial.number.is_not(None), Trial.state == COMPLETE)
    first = complete.order_by(Trial.number).limit(1).scalar_subquery()  # by the index: a study may have 100,000
    names = session.scalars(select(ValueRow.name).where(ValueRow.trial_id == first).order_by(ValueRow.name))
    return learned(name for name in names if name in OBJECTIVES)


def of_trials(connection: Connection, study: int) -> dict[str, dict[int, float]]:
    """Values by name, and by the row of the trial: all that is stored so of the trials of a study."""
    stored = connection.execute(
        select(ValueRow.name, ValueRow.trial_id, ValueRow.value)
        .join(Trial, Trial.id == ValueRow.trial_id)
        .where(Trial.study_id == study)
        .order_by(ValueRow.name)
    )
    found: dict[str, dict[int, float]] = {}
    for name, row, value in stored:
        found.setdefault(str(name), {})[int(row)] = float(value)
    return found


def add_columns(
    frame: pd.DataFrame, connection: Connection, study: int, objectives: Iterable[str], after: str | None = None
) -> None:
    """Adds a column for each value of the study's trials that has none yet, by the column `id`, behind the column `after`.

    What the study optimizes has a column even where no trial has a value.
    """
    found = of_trials(connection, study)
    names = [*(name for name in objectives if name not in frame.columns), *(name for name in found)]
    place = len(frame.columns) if after is None else int(frame.columns.get_loc(after)) + 1
    for name in dict.fromkeys(names):
        if name not in frame.columns:
            frame.insert(place, name, frame["id"].map(found.get(name, {})).astype("float64"))
            place += 1


def of_epochs(connection: Connection, study: int, at: Iterable[int]) -> dict[tuple[int, int], dict[str, float]]:
    """Values by the row of a trial and an epoch of these: what else was measured then, for all that the study's trials rest on."""
    trained = select(func.coalesce(Trial.source, Trial.id)).where(Trial.study_id == study)
    stored = connection.execute(
        select(EpochValueRow.trial_id, EpochValueRow.epoch, EpochValueRow.name, EpochValueRow.value).where(
            EpochValueRow.trial_id.in_(trained), EpochValueRow.epoch.in_(list(at))
        )
    )
    found: dict[tuple[int, int], dict[str, float]] = {}
    for row, epoch, name, value in stored:
        found.setdefault((int(row), int(epoch)), {})[str(name)] = float(value)
    return found


def write_epochs(session: Session, epochs: Mapping[tuple[int, int], Mapping[str, float]]) -> None:
    """Adds what else was measured after epochs, by the row of a trial and their number, in the place of what was known of them."""
    connection = session.connection()
    connection.execute(_DELETE_VALUES, [{"row": row, "number": epoch} for row, epoch in epochs])
    stored = [
        {"trial_id": row, "epoch": epoch, "name": name, "value": number}
        for (row, epoch), values in epochs.items()
        for name, value in values.items()
        if (number := finite(value)) is not None
    ]
    if stored:
        connection.execute(_EPOCH_VALUES.insert(), stored)


def define(session: Session, objectives: Iterable[str]) -> None:
    """Keeps the rows of those of these objectives that were registered. Raises StorageError where another one is kept."""
    for name in objectives:
        if name in BUILT_IN:
            continue
        text = dump(OBJECTIVES[name].to_dict())
        kept = session.scalar(select(ObjectiveRow.row).where(ObjectiveRow.name == name))
        if kept is None:
            session.execute(insert(ObjectiveRow).values(name=name, row=text))
        elif damaged.mapping(kept, "objective") != json.loads(text):
            raise StorageError(
                f"objective '{name}': the database has another one of that name; register it under another name, or use "
                "another --storage"
            )


def definitions(session: Session) -> None:
    """Makes the objectives that the database keeps known in this process, where they are not."""
    for text in session.scalars(select(ObjectiveRow.row)):
        try:
            adopt(Objective.from_dict(damaged.mapping(text, "objective")))
        except NasError as problem:
            raise damaged.Damaged(str(problem)) from None
