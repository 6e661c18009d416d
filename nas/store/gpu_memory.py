"""How much device memory trainings needed: one row for each trial that ran on a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Table, delete, insert, inspect, select
from sqlalchemy.orm import Session

from nas.store.schema import MemoryRow, Trial


@dataclass(frozen=True)
class Memory:
    """What one trial took."""

    row: int
    """Primary key of the trial in `nas_trials`."""
    predicted_bytes: int
    peak_bytes: int
    """Most that PyTorch held of the device at once; a trial that ran out of memory would have needed more."""
    gpus: float
    """The share of a device that it had."""


def record(session: Session, memory: Memory) -> None:
    """Adds or replaces the row of a trial; the table is made in a database that has none yet."""
    table = MemoryRow.__table__
    assert isinstance(table, Table)
    table.create(session.connection(), checkfirst=True)
    session.execute(delete(MemoryRow).where(MemoryRow.trial_id == memory.row))
    values = {"trial_id": memory.row, "predicted_bytes": memory.predicted_bytes, "peak_bytes": memory.peak_bytes}
    session.execute(insert(MemoryRow).values(**values, gpus=memory.gpus))


def of_study(session: Session, study: int) -> list[Memory]:
    """Every row of the study's trials, in their order; none where the database has no such table."""
    if not inspect(session.connection()).has_table(MemoryRow.__tablename__):
        return []
    rows = session.scalars(
        select(MemoryRow)
        .join(Trial, Trial.id == MemoryRow.trial_id)
        .where(Trial.study_id == study)
        .order_by(MemoryRow.trial_id)
    )
    return [Memory(row.trial_id, row.predicted_bytes, row.peak_bytes, row.gpus) for row in rows]
