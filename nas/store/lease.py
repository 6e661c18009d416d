"""One driver per study: who runs it, and whether that process still lives.

The owner stands in the row of the study (a file lock would not reach a PostgreSQL server): a token, host, process and
a heartbeat by the clock of the database. A claim is taken over at once when the owner's process is gone from this very
host (its number may be another's now: the token says when the process began) or its heart has not beaten for
`STALE_SECONDS`. Of a process on another host, or of a clock that was ahead, nothing is known: there the heart is
listened to, until it beats or has been silent for as long. A driver that was suspended finds at its next write that the
token is no longer its own, and stops.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final, NamedTuple

from sqlalchemy import Engine, Float, cast, func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from nas.errors import StorageError
from nas.store.connection import is_sqlite, reading, writing
from nas.store.schema import Base, Study
from nas.system.processes import process_begin, process_exists

BEAT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0
STALE_SECONDS: Final = 60.0

_LIVE: set[str] = set()
"""Tokens of claims held by this process."""

_log = logging.getLogger(__name__)


def now(engine: Engine) -> ColumnElement[float]:
    """Seconds since 1970 by the clock of the database."""
    if is_sqlite(engine.url):
        return (func.julianday("now") - 2440587.5) * 86400.0
    return cast(func.extract("epoch", func.clock_timestamp()), Float)


class Owner(NamedTuple):
    """What the row of a study says about the process that runs it."""

    host: str | None
    pid: int | None
    token: str | None
    beat: float | None
    """Seconds since 1970, by the clock of the database then."""
    age: float | None
    """Seconds since the last beat, by the clock of the database now: below 0 where it was ahead."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def lives(self) -> bool | None:
        """Whether it can be running its study; None where only its heart can tell."""
        if self.token is None or self.age is None or self.age > STALE_SECONDS:
            return False
        if self.host != socket.gethostname() or self.pid is None:
            return None
        if self.pid == os.getpid():  # ours, or of a dead process that had our number (a restarted container)
            return self.token in _LIVE
        if not process_exists(self.pid):
            return False
        begun, now_there = self.token.partition(".")[2], process_begin(self.pid)
        return begun == now_there if begun and now_there else None


def read_owner(session: Session, engine: Engine, study: int, *, lock: bool = False) -> Owner:
    """The owner of a study; with `lock` nobody else changes it before the end of the transaction."""
    columns = (Study.owner_host, Study.owner_pid, Study.owner_token, Study.owner_beat, now(engine) - Study.owner_beat)
    query = select(*columns).where(Study.id == study)
    return Owner(*session.execute(query.with_for_update() if lock else query).one())


class Heart:
    """The claim of this process on one study, with the thread that renews it."""

    def __init__(self, engine: Engine, study: int, name: str, check: Callable[[], None] = lambda: None) -> None:
        """`check` is called before each beat, and raises StorageError when the database is not the one that was opened."""
        self._engine = engine
        self._check = check
        self._study = study
        self._name = name
        self._token = f"{uuid.uuid4().hex}.{process_begin(os.getpid()) or ''}"
        self._silent: Owner | None = None
        studies = Base.metadata.tables[Study.__tablename__]  # the mapper would take longer than the database
        self._renewal = (
            studies.update()
            .where(studies.c.id == study, studies.c.owner_token == self._token)
            .values(owner_beat=now(engine))
            .returning(studies.c.id)
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"claim on study {name}", daemon=True)

    def listen(self, notify: Callable[[str], None]) -> None:
        """Waits until the owner is known to be dead, where only its heart can tell; says so by `notify` first.

        Raises StorageError when it beats.
        """
        with reading(self._engine) as session:
            owner = read_owner(session, self._engine, self._study)
        if owner.lives is not None:
            return
        left = STALE_SECONDS - max(owner.age or 0.0, 0.0)
        notify(f"study '{self._name}': {owner} ran it and may be dead; waiting up to {left:.0f} s for a sign of life")
        end = time.monotonic() + left
        while time.monotonic() < end:
            time.sleep(min(LOOK_SECONDS, left))
            with reading(self._engine) as session:
                current = read_owner(session, self._engine, self._study)
            if current.token != owner.token:
                return
            if current.beat != owner.beat:
                raise self._taken(current)
        self._silent = owner

    def take(self) -> None:
        """Becomes the owner. Raises StorageError that names the owner when another process may be running the study."""
        with writing(self._engine) as session:
            owner = read_owner(session, self._engine, self._study, lock=True)
            silent = self._silent is not None and self._silent[:4] == owner[:4]
            if owner.lives or (owner.lives is None and not silent):
                raise self._taken(owner)
            session.execute(
                update(Study)
                .where(Study.id == self._study)
                .values(
                    owner_token=self._token,
                    owner_host=socket.gethostname(),
                    owner_pid=os.getpid(),
                    owner_beat=now(self._engine),
                )
            )
        _LIVE.add(self._token)
        self._thread.start()

    def beat(self, session: Session) -> None:
        """Renews the claim as part of a write. Raises StorageError when another process has taken the study over."""
        renewed = session.connection().execute(self._renewal).scalar_one_or_none()
        if renewed is None:
            raise StorageError(
                f"study '{self._name}': another process has taken it over, because this one gave no sign of life for "
                f"more than {STALE_SECONDS:.0f} s"
            )

    def stop(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join()
        _LIVE.discard(self._token)

    def leave(self, session: Session) -> bool:
        """Gives the claim up. Returns whether it was still ours."""
        left = session.execute(
            update(Study)
            .where(Study.id == self._study, Study.owner_token == self._token)
            .values(owner_token=None, owner_host=None, owner_pid=None, owner_beat=None)
            .returning(Study.id)
        ).scalar_one_or_none()
        return left is not None

    def _taken(self, owner: Owner) -> StorageError:
        return StorageError(
            f"study '{self._name}': {owner} is running it (last sign of life {max(owner.age or 0.0, 0.0):.0f} s ago); "
            "wait for it, stop it, or name another --study"
        )

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self._check()
                with writing(self._engine) as session:
                    self.beat(session)
            except StorageError as problem:
                # The next write of the driver meets the same trouble and says so to the user; this thread tries on.
                _log.debug("%s", problem)
