"""Where the checkpoints of a study's trials lie: a folder for each study, which goes when the study does.

A database says where that is. Nothing is removed but files that have the names of checkpoints, in a folder that has the name of
this very study: whatever a row of a database says, nothing else is in danger.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Table, delete, inspect, select
from sqlalchemy.orm import Session

from nas.store.schema import CheckpointsRow, Study

NAME = re.compile(r"\.?trial-([0-9]+)\.checkpoint(\..{1,300}\.part)?")


def of_study(base: Path, study: Study) -> Path:
    """The study's own folder in `base`, which other databases may share: no other study has its name."""
    made = f"{study.created_at.isoformat()} {study.space_fingerprint} {study.seed}"
    return base / f"study-{study.id}-{hashlib.sha256(made.encode()).hexdigest()[:12]}"


def file_of(folder: Path, row: int) -> Path:
    """The checkpoint of the trial in this row."""
    return folder / f"trial-{row}.checkpoint"


def record(session: Session, study: int, base: Path) -> None:
    """Takes note that checkpoints of a study lie in `base`; the table is made in a database that has none yet."""
    table = CheckpointsRow.__table__
    assert isinstance(table, Table)
    table.create(session.connection(), checkfirst=True)
    known = session.scalars(select(CheckpointsRow.folder).where(CheckpointsRow.study_id == study)).all()
    if str(base) not in known:
        session.add(CheckpointsRow(study_id=study, folder=str(base)))


def forget(session: Session, study: Study) -> list[Path]:
    """Removes what is known of a study. Returns its folders."""
    if not inspect(session.connection()).has_table(CheckpointsRow.__tablename__):
        return []
    rows = session.scalars(select(CheckpointsRow.folder).where(CheckpointsRow.study_id == study.id)).all()
    session.execute(delete(CheckpointsRow).where(CheckpointsRow.study_id == study.id))
    return [of_study(Path(text), study) for text in rows if "\0" not in text]


def sweep(folder: Path, keep: Iterable[int] = ()) -> None:
    """Removes the checkpoints in a study's folder but those of these rows; and the folder, when nothing is left in it."""
    kept = set(keep)
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        found = NAME.fullmatch(path.name)
        if found and (int(found[1]) not in kept or found[2]) and (path.is_file() or path.is_symlink()):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
