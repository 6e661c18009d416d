"""From the tables of an older nas to those of this one: one step a version, all in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine, inspect, select, text, update
from sqlalchemy.orm import Session

from nas.errors import StorageError
from nas.store.connection import writing
from nas.store.schema import VERSION, Base, EpochRow, EpochValueRow, ObjectiveRow, ReadingRow, Schema, Study, ValueRow


def _counting_rules(session: Session) -> None:
    # Older costs came from PyTorch's formulas, which depend on its version: NULL, since nobody knows which they were.
    _add_column(session, Study, "counting_rules", "INTEGER")


def _train_accuracy(session: Session) -> None:
    # Every epoch measured it, and it was lost on its way here.
    _add_column(session, EpochRow, "train_accuracy", "DOUBLE PRECISION")


def _values_by_name(session: Session) -> None:
    # Latencies had a table of their own, which a database got with its first one; of two rows of a trial the last counted.
    Base.metadata.create_all(session.connection(), tables=[table.__table__ for table in NEW_IN_4])  # type: ignore[misc]
    if not inspect(session.connection()).has_table("nas_latencies"):
        return
    session.execute(
        text(
            "INSERT INTO nas_readings (name, trial_id, hash, input, classes, device, settings, value, low, high, runs, version, "
            "measured_at) SELECT 'latency', trial_id, hash, input, classes, device, "
            "'{\"batch\"\\:' || batch || ',\"threads\"\\:' || threads || '}', milliseconds, low, high, runs, torch, measured_at "
            "FROM nas_latencies ORDER BY id"
        )
    )
    session.execute(
        text(
            "INSERT INTO nas_values (trial_id, name, value) SELECT trial_id, 'latency', milliseconds FROM nas_latencies "
            "WHERE id IN (SELECT max(id) FROM nas_latencies WHERE trial_id IS NOT NULL GROUP BY trial_id)"
        )
    )
    session.execute(text("DROP TABLE nas_latencies"))


def _add_column(session: Session, table: type[Base], name: str, kind: str) -> None:
    columns = [column["name"] for column in inspect(session.connection()).get_columns(table.__tablename__)]
    if name not in columns:
        session.execute(text(f"ALTER TABLE {table.__tablename__} ADD COLUMN {name} {kind}"))


NEW_IN_4: Final = (ValueRow, EpochValueRow, ObjectiveRow, ReadingRow)
STEPS: Final[dict[int, Callable[[Session], None]]] = {1: _counting_rules, 2: _train_accuracy, 3: _values_by_name}
"""From each version to the next one."""


def is_older(version: int | None) -> bool:
    """Whether tables of this version can be made those of this nas."""
    return version in STEPS


def upgrade(engine: Engine) -> None:
    """Makes the tables those of this nas; a process that comes second finds it done.

    Raises StorageError where the database cannot be written; then nothing has changed.
    """
    try:
        with writing(engine) as session:
            version = session.scalars(select(Schema.version).with_for_update()).one()
            while version in STEPS:
                STEPS[version](session)
                version += 1
            session.execute(update(Schema).values(version=version))
    except StorageError as problem:
        raise StorageError(
            f"{problem}; an older nas wrote it, and its tables have to be brought to version {VERSION}"
        ) from problem.__cause__
