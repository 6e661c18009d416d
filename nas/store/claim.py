"""One driver per study: who runs it, and whether that process still lives.

The owner stands in the row of the study (a file lock would not reach a PostgreSQL server): a token, host, process and
a heartbeat by the clock of the database. A claim is taken over at once when the owner's process is gone from this very
host, and otherwise when its heart has not beaten for `STALE_SECONDS`. A driver that was suspended for that long
finds at its next write that the token is no longer its own, and stops.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from typing import Final

from sqlalchemy import Engine, Float, cast, func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from nas.errors import StorageError
from nas.store.connection import is_sqlite, writing
from nas.store.schema import Study

BEAT_SECONDS: Final = 10.0
STALE_SECONDS: Final = 60.0

_LIVE: set[str] = set()
"""Tokens of claims held by this process."""

_log = logging.getLogger(__name__)


def now(engine: Engine) -> ColumnElement[float]:
    """Seconds since 1970 by the clock of the database."""
    if is_sqlite(engine.url):
        return (func.julianday("now") - 2440587.5) * 86400.0
    return cast(func.extract("epoch", func.clock_timestamp()), Float)


def owner_alive(host: str | None, pid: int | None, token: str | None, age: float | None) -> bool:
    """Whether the process that this row names can still be running its study."""
    if token is None or age is None or age > STALE_SECONDS:
        return False
    if host != socket.gethostname() or pid is None:
        return True
    if pid == os.getpid():  # ours, or of a dead process that had our number (a restarted container)
        return token in _LIVE
    return _process_exists(pid)


class Heart:
    """The claim of this process on one study, with the thread that renews it."""

    def __init__(self, engine: Engine, study: int, name: str) -> None:
        self._engine = engine
        self._study = study
        self._name = name
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"claim on study {name}", daemon=True)

    def take(self) -> None:
        """Becomes the owner. Raises StorageError that names the owner when a living process runs the study."""
        with writing(self._engine) as session:
            row = session.execute(
                select(Study.owner_host, Study.owner_pid, Study.owner_token, Study.owner_beat, now(self._engine))
                .where(Study.id == self._study)
                .with_for_update()
            ).one()
            host, pid, token, beat, moment = row
            age = None if beat is None else moment - beat
            if owner_alive(host, pid, token, age):
                raise StorageError(
                    f"study '{self._name}': process {pid} on {host} is running it (last sign of life "
                    f"{max(age or 0.0, 0.0):.0f} s ago); wait for it, stop it, or name another --study"
                )
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
        renewed = session.execute(
            update(Study)
            .where(Study.id == self._study, Study.owner_token == self._token)
            .values(owner_beat=now(self._engine))
            .returning(Study.id)
        ).scalar_one_or_none()
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

    def _run(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                with writing(self._engine) as session:
                    self.beat(session)
            except StorageError as problem:
                # The next write of the driver meets the same trouble and says so to the user; this thread tries on.
                _log.debug("%s", problem)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
