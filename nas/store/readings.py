"""What was measured of networks before their training: one row for each time that a probe measured one."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from blocks.base import Scalar, Shape
from nas.store import damaged, values
from nas.store.schema import ReadingRow, Trial, dump, utc_now


@dataclass(frozen=True)
class Reading:
    """One value of one network, measured without training it."""

    name: str
    """Name of the objective."""
    hash: str
    input: Shape
    classes: int
    device: str
    """As `nas.train.device_name` says it; empty for a value that does not hang on it."""
    settings: Mapping[str, Scalar]
    """What else the value hangs on, such as the number of threads."""
    value: float
    low: float | None = None
    """First quartile of its runs, where they differ."""
    high: float | None = None
    """Third quartile."""
    runs: int = 1
    version: str = ""
    """Version of PyTorch, or what else measured it with its version."""
    row: int | None = None
    """Primary key of the trial for which it was measured; None for one measured on its own."""
    measured_at: datetime.datetime = field(default_factory=utc_now)
    """Naive UTC."""

    def is_like(self, other: Reading) -> bool:
        """Whether both measured the same of the same network in the same way."""
        ours, theirs = (
            (one.name, one.hash, tuple(one.input), one.classes, one.device, dict(one.settings)) for one in (self, other)
        )
        return ours == theirs


COLUMNS: Final = {field.name: "trial_id" if field.name == "row" else field.name for field in fields(Reading)}
"""Where each field stands in `nas_readings`."""


def record(session: Session, reading: Reading) -> None:
    """Adds a row, and the value of the trial for which it was measured."""
    stored = {column: getattr(reading, name) for name, column in COLUMNS.items()}
    stored |= {"input": json.dumps(reading.input), "settings": dump(reading.settings)}
    session.execute(insert(ReadingRow).values(**stored))
    if reading.row is not None:
        values.write(session, reading.row, {reading.name: reading.value})


def of(session: Session, digest: str, name: str) -> list[Reading]:
    """Every row of this name of a network, the latest first."""
    query = select(ReadingRow).where(ReadingRow.hash == digest, ReadingRow.name == name)
    return [_reading(stored) for stored in session.scalars(query.order_by(ReadingRow.id.desc()))]


def every(session: Session, name: str) -> list[Reading]:
    """Every row of this name, the latest first."""
    query = select(ReadingRow).where(ReadingRow.name == name).order_by(ReadingRow.id.desc())
    return [_reading(stored) for stored in session.scalars(query)]


def of_study(session: Session, study: int, name: str) -> list[Reading]:
    """From the rows of the study's trials one for each device and settings."""
    first = (
        select(func.min(ReadingRow.id))
        .join(Trial, Trial.id == ReadingRow.trial_id)
        .where(Trial.study_id == study, ReadingRow.name == name)
        .group_by(ReadingRow.device, ReadingRow.settings)
    )
    rows = session.scalars(select(ReadingRow).where(ReadingRow.id.in_(first)).order_by(ReadingRow.id))
    return [_reading(stored) for stored in rows]


def _reading(stored: ReadingRow) -> Reading:
    known = {name: getattr(stored, column) for name, column in COLUMNS.items()}
    shape, settings = damaged.sequence(stored.input, "input"), damaged.mapping(stored.settings, "settings")
    return Reading(**known | {"input": tuple(shape), "settings": settings})
