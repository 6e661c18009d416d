"""Which version of a user's own blocks a study was begun with. The source itself is not kept: data name nothing to run."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Table, insert, inspect, select
from sqlalchemy.orm import Session

from nas.config.block_files import Origin
from nas.store.schema import StudyBlockRow


def record(session: Session, study: int, blocks: Mapping[str, Origin]) -> None:
    """Adds a row for each block; the table is made in a database that has none yet."""
    table = StudyBlockRow.__table__
    assert isinstance(table, Table)
    table.create(session.connection(), checkfirst=True)
    for name, origin in blocks.items():
        session.execute(
            insert(StudyBlockRow).values(study_id=study, name=name, place=origin.place, digest=origin.digest)
        )


def of(session: Session, study: int) -> dict[str, Origin]:
    """The blocks of a study by name; none where the database has no such table."""
    if not inspect(session.connection()).has_table(StudyBlockRow.__tablename__):
        return {}
    rows = session.scalars(select(StudyBlockRow).where(StudyBlockRow.study_id == study).order_by(StudyBlockRow.name))
    return {row.name: Origin(row.place, row.digest) for row in rows}
