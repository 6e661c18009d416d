"""How long networks take: one row for each time that a network was timed on a device."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass, field, fields
from typing import Final

from sqlalchemy import Connection, Table, insert, inspect, select
from sqlalchemy.orm import Session

from blocks.base import Shape
from nas.store import damaged
from nas.store.schema import LatencyRow, Trial, utc_now


@dataclass(frozen=True)
class Timed:
    """One network, timed on one device with batches of one size."""

    hash: str
    input: Shape
    classes: int
    device: str
    """As `nas.train.device_name` says it."""
    threads: int
    """Of PyTorch on a CPU; 0 on other devices."""
    batch: int
    milliseconds: float
    """Median of one forward pass of the batch in float32."""
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    runs: int
    torch: str
    """Version."""
    row: int | None = None
    """Of the trial whose objective it is; None for one measured on its own."""
    measured_at: datetime.datetime = field(default_factory=utc_now)
    """Naive UTC."""

    @property
    def images_per_second(self) -> float:
        """Throughput at the median."""
        return self.batch * 1000 / self.milliseconds


COLUMNS: Final = {field.name: "trial_id" if field.name == "row" else field.name for field in fields(Timed)}
"""Where each field stands in `nas_latencies`."""


def record(session: Session, timed: Timed) -> None:
    """Adds a row; the table is made in a database that has none yet."""
    table = LatencyRow.__table__
    assert isinstance(table, Table)
    table.create(session.connection(), checkfirst=True)
    values = {column: getattr(timed, name) for name, column in COLUMNS.items()} | {"input": json.dumps(timed.input)}
    session.execute(insert(LatencyRow).values(**values))


def of_trials(connection: Connection, study: int) -> dict[int, float]:
    """Milliseconds by the row of the trial, for the trials of a study whose objective it is."""
    if not inspect(connection).has_table(LatencyRow.__tablename__):
        return {}
    rows = connection.execute(
        select(LatencyRow.trial_id, LatencyRow.milliseconds)
        .join(Trial, Trial.id == LatencyRow.trial_id)
        .where(Trial.study_id == study)
        .order_by(LatencyRow.id)
    )
    return {int(row or 0): float(milliseconds) for row, milliseconds in rows}


def devices(session: Session, study: int) -> list[tuple[str, int]]:
    """Devices, and threads on each, that the trials of a study were timed on."""
    if not inspect(session.connection()).has_table(LatencyRow.__tablename__):
        return []
    rows = session.execute(
        select(LatencyRow.device, LatencyRow.threads)
        .join(Trial, Trial.id == LatencyRow.trial_id)
        .where(Trial.study_id == study)
        .distinct()
    )
    return [(str(device), int(threads)) for device, threads in rows]


def of(session: Session, digest: str) -> list[Timed]:
    """Every row of a network, the latest first; none where the database has no such table."""
    if not inspect(session.connection()).has_table(LatencyRow.__tablename__):
        return []
    rows = session.scalars(select(LatencyRow).where(LatencyRow.hash == digest).order_by(LatencyRow.id.desc()))
    found = []
    for row in rows:
        values = {name: getattr(row, column) for name, column in COLUMNS.items()}
        found.append(Timed(**values | {"input": tuple(damaged.sequence(row.input, "input"))}))
    return found
