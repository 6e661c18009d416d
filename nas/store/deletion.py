"""Removes a study without taking anything from others that share its database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, func, insert, inspect, literal_column, select, update
from sqlalchemy.orm import Session

from nas.store import checkpoint_folders
from nas.store.schema import (
    Base,
    ChoiceRow,
    EpochRow,
    EpochValueRow,
    Measurement,
    MemoryRow,
    OutlineParameterRow,
    OutlineRow,
    ReadingRow,
    Study,
    StudyBlockRow,
    Trial,
    ValueRow,
)


def delete_study(session: Session, study: int) -> tuple[int, list[Path]]:
    """Removes a study with its trials and their learning curves. Returns how many trials it had, and folders of checkpoints.

    Networks, test accuracies and what was measured of networks before their training stay: they are true of a network,
    whatever study met it.
    """
    ours = select(Trial.id).where(Trial.study_id == study)
    count = session.execute(select(func.count()).where(Trial.study_id == study)).scalar_one()
    _hand_over(session, study)
    for table in (Measurement, ReadingRow, MemoryRow, StudyBlockRow, OutlineParameterRow, OutlineRow):
        if inspect(session.connection()).has_table(table.__tablename__):
            _forget(session, table, study)
    for curve in (EpochRow, EpochValueRow, ValueRow):
        session.execute(delete(curve).where(curve.trial_id.in_(ours)))
    folders = checkpoint_folders.forget(session, session.get_one(Study, study))
    session.execute(update(Trial).where(Trial.study_id == study).values(source=None))
    session.execute(delete(Trial).where(Trial.study_id == study))
    session.execute(delete(ChoiceRow).where(ChoiceRow.study_id == study))
    session.execute(delete(Study).where(Study.id == study))
    return count, folders


def _hand_over(session: Session, study: int) -> None:
    """Trials of other studies that took over a result get the learning curve that it came with, and stand on their own."""
    ours = select(Trial.id).where(Trial.study_id == study)
    takers = (Trial.source.in_(ours), Trial.study_id != study)
    for curve in (EpochRow, EpochValueRow):
        epochs = curve.__table__
        assert isinstance(epochs, Table)
        names = [column.name for column in epochs.columns if column.name != "trial_id"]
        curves: Any = (
            select(Trial.id, *(literal_column(f"{curve.__tablename__}.{name}") for name in names))
            .join(curve, curve.trial_id == Trial.source)
            .where(*takers)
        )
        session.execute(insert(curve).from_select(["trial_id", *names], curves))
    session.execute(update(Trial).where(*takers).values(source=None))


def _forget(session: Session, table: type[Base], study: int) -> None:
    ours = select(Trial.id).where(Trial.study_id == study)
    if table is Measurement:
        session.execute(update(Measurement).where(Measurement.study_id == study).values(study_id=None, trial=None))
    elif table is ReadingRow:
        session.execute(update(ReadingRow).where(ReadingRow.trial_id.in_(ours)).values(trial_id=None))
    elif table is StudyBlockRow or table is OutlineParameterRow:
        session.execute(delete(table).where(table.study_id == study))
    elif table is MemoryRow or table is OutlineRow:
        session.execute(delete(table).where(table.trial_id.in_(ours)))
