"""From a database URL to an engine, and from any database trouble to one line."""

from __future__ import annotations

import itertools
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from nas.errors import NasError, StorageError, nearest
from nas.store.damaged import Damaged
from nas.text.formatting import shorten
from nas.text.sanitize import one_line

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

DEFAULT_URL: Final = "sqlite:///nas.db"
DRIVERS: Final = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
BUSY_SECONDS: Final = 30.0
"""How long a write waits for another process (SQLite)."""
CONNECT_SECONDS: Final = 10
SILENT_SECONDS: Final = 60
"""How long a server may be cut off before a query fails (PostgreSQL)."""
RACES: Final = 5


def parse(text: str) -> URL:
    """The URL with the driver that we use for its kind of database. Raises StorageError."""
    if not isinstance(text, str):
        raise StorageError(f"storage: must be a database URL such as '{DEFAULT_URL}', not {shorten(text)}")
    scheme, colon, rest = text.partition("://")
    if not colon:
        raise StorageError(f"storage '{text}': must be a database URL; did you mean 'sqlite:///{text}'?")
    if scheme not in DRIVERS:
        place = rest.partition("?")[0]
        masked = f"{scheme}://{place}" if "@" not in place else f"{scheme}://…@{place.rpartition('@')[2]}"
        raise StorageError(
            f"storage '{masked}': no database '{scheme}'; "
            f"there are sqlite and postgresql{nearest(scheme, ('sqlite', 'postgresql'))}"
        )
    try:
        url = make_url(f"{DRIVERS[scheme]}://{rest}")
    except (ArgumentError, ValueError):
        raise StorageError(f"storage: not a URL of the form {scheme}://{_FORMS[DRIVERS[scheme]]}") from None
    for word, encoding in ((url.database or "", "utf-8"), (url.host or "", "idna")):
        try:
            word.encode(encoding)
        except UnicodeError:
            what = "a host" if encoding == "idna" else "a database"
            raise StorageError(f"storage: {shorten(word)} is no name of {what}") from None
    if is_sqlite(url):
        if url.host:
            path = f"{url.host}/{url.database}" if url.database else url.host
            raise StorageError(f"storage '{text}': a file needs three slashes; did you mean 'sqlite:///{path}'?")
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise StorageError(f"storage '{text}': a study database must be a file, such as '{DEFAULT_URL}'")
    return url


_FORMS: Final = {"sqlite": "/path/to/nas.db", "postgresql+psycopg": "user:password@host:5432/database"}


def is_sqlite(url: URL) -> bool:
    """Whether the database is one file."""
    return url.get_backend_name() == "sqlite"


def shown(url: URL) -> str:
    """The URL as users may see it: passwords are masked, those behind its question mark too."""
    secret = {key: "***" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(secret).render_as_string(hide_password=True).replace("=%2A%2A%2A", "=***")


def connect(url: URL, *, create: bool) -> Engine:
    """An engine whose database file is there, or may be made when `create`. Nothing is written yet."""
    if is_sqlite(url):
        _check_file(url, create)
    try:
        engine = create_engine(url, connect_args=_connect_args(url))
    except (NoSuchModuleError, ImportError):
        raise StorageError(
            f"storage '{shown(url)}': needs the package psycopg: pip install 'psycopg[binary]'"
        ) from None
    if is_sqlite(url):
        event.listen(engine, "connect", _tune_writer if create else _tune_reader)
    return engine


def optuna_storage(url: URL) -> RDBStorage:
    """Optuna's view of the same database, with its tables made when they are not there. Raises StorageError."""
    import optuna

    with explained(url):
        try:
            storage = optuna.storages.RDBStorage(
                # Optuna fills {…} in a URL, and a path may have braces.
                url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
                engine_kwargs={"connect_args": _connect_args(url)},
            )
        except RuntimeError as problem:  # tables of another version of Optuna
            raise StorageError(f"storage '{shown(url)}': {_first_line(problem)}") from None
    if is_sqlite(url):
        event.listen(storage.engine, "connect", _tune_writer)
        storage.engine.dispose()  # connections from before the listener
    return storage


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Any trouble of the database inside becomes a StorageError of one line without the password."""
    from sqlite3 import Error as SqliteError

    try:
        yield
    except NasError:
        raise
    except Exception as problem:
        trouble: BaseException = problem
        if not isinstance(trouble, SQLAlchemyError | SqliteError) and trouble.__cause__ is not None:
            trouble = trouble.__cause__  # Optuna wraps what SQLAlchemy raises
        if isinstance(trouble, UnicodeDecodeError):  # flipped bits in a name of SQLite's own tables
            raise StorageError(
                f"storage '{shown(url)}': is damaged: it holds bytes that are no text; a backup may have it whole"
            ) from trouble
        if not isinstance(trouble, SQLAlchemyError | SqliteError):
            raise
        raise StorageError(f"storage '{shown(url)}': {_explain(url, trouble)}") from trouble


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """One transaction that writes; nothing of it is kept when an error leaves the block."""
    with _undamaged(engine.url), explained(engine.url), Session(engine) as session, session.begin():
        if is_sqlite(engine.url):
            # A transaction that reads first and writes later fails at once when another connection wrote in between,
            # whatever the busy timeout; one that announces the write waits its turn.
            session.connection().exec_driver_sql("BEGIN IMMEDIATE")
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session to read from. What a row holds that cannot be read becomes a StorageError too."""
    with _undamaged(engine.url, (ValueError, TypeError)), explained(engine.url), Session(engine) as session:
        yield session


@contextmanager
def _undamaged(url: URL, kinds: tuple[type[Exception], ...] = (Damaged,)) -> Iterator[None]:
    """Errors of these kinds, which what a row holds can cause, become StorageErrors."""
    try:
        yield
    except UnicodeEncodeError as problem:
        raise StorageError(f"storage '{shown(url)}': {shorten(problem.object)} is no text") from None
    except kinds as problem:
        cause = shorten(str(problem), 200)[1:-1]
        raise StorageError(
            f"storage '{shown(url)}': a row is damaged: {cause}; a backup may have it whole"
        ) from problem


def check_pages(engine: Engine) -> None:
    """Raises StorageError when a page of an SQLite file is damaged: 0.06 s for 45 MiB.

    Otherwise it is found when it is read, perhaps hours later, or never: bits that flip inside a value leave no trace.
    """
    if not is_sqlite(engine.url):
        return
    with reading(engine) as session:
        found = str(session.connection().exec_driver_sql("PRAGMA quick_check(1)").scalar())
    if found != "ok":
        path = engine.url.database
        raise StorageError(
            f"storage '{shown(engine.url)}': {path} is damaged ({one_line(_first_line(ValueError(found)))}); take a backup of "
            f"it, or save what can be read: sqlite3 {shlex.quote(str(path))} .recover | sqlite3 mended.db"
        )


def retry_race(url: URL, make_tables: Callable[[], None]) -> None:
    """Calls `make_tables` again when another process made the same ones meanwhile, or makes them.

    SQLite waits for a lock, but not to change its journal or to write after it has read: that it refuses at once.
    """
    began = time.monotonic()
    for attempt in itertools.count(1):
        try:
            with explained(url):
                make_tables()
        except StorageError as problem:
            cause = problem.__cause__
            lost = isinstance(cause, IntegrityError) or "already exists" in str(cause)
            locked = "is locked" in str(cause) and time.monotonic() - began < BUSY_SECONDS
            if not (lost and attempt < RACES) and not locked:
                raise
        else:
            return
        time.sleep(min(0.1 * attempt, 1.0))


def _connect_args(url: URL) -> dict[str, Any]:
    if is_sqlite(url):
        return {"timeout": BUSY_SECONDS}
    return {
        "connect_timeout": CONNECT_SECONDS,
        "client_encoding": "utf8",  # without it SQL_ASCII servers send bytes
        # A server that vanishes from the network says nothing; by default a query waits 15 min to 2 h for its answer.
        "keepalives_idle": SILENT_SECONDS // 2,
        "keepalives_interval": SILENT_SECONDS // 6,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENT_SECONDS * 1000,
    }


def _tune_reader(connection: Any, _record: object) -> None:
    # A reader changes nothing in the file; a database that a search made is in WAL mode already.
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")


def _tune_writer(connection: Any, _record: object) -> None:
    _tune_reader(connection, _record)
    connection.execute("PRAGMA journal_mode = WAL")  # readers (Optuna Dashboard) never wait for the writer
    connection.execute("PRAGMA synchronous = NORMAL")  # no fsync per commit; safe against a crash of the process
    connection.execute("PRAGMA foreign_keys = ON")


def _check_file(url: URL, create: bool) -> None:
    path = Path(url.database or "")
    place = f"storage '{shown(url)}'"
    if path.is_dir():
        raise StorageError(f"{place}: {path} is a folder, not a database file")
    if path.exists() and not path.is_file():
        raise StorageError(f"{place}: {path} is no file")
    if not path.exists():
        if not create:
            raise StorageError(f"{place}: no such file {path}; `nas search` makes it, --storage names another")
        if not path.absolute().parent.is_dir():
            raise StorageError(f"{place}: the folder {path.absolute().parent} does not exist; make it first")
    if create and not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise StorageError(f"{place}: no permission to write {path}")


def _explain(url: URL, problem: Exception) -> str:
    original = problem.orig if isinstance(problem, DBAPIError) and problem.orig is not None else problem
    text = _first_line(original)
    for secret in [url.password, *(value for key, value in url.query.items() if "password" in key.lower())]:
        if secret:
            text = text.replace(str(secret), "***")
    if getattr(original, "sqlstate", None) == "53100":
        return f"the disk of the server is full ({text}); make room and run the same command again: nothing finished is lost"
    for sign, meaning in _SQLITE_MEANINGS.items():
        if is_sqlite(url) and sign in text:
            return meaning.format(path=url.database)
    return text


_SQLITE_MEANINGS: Final = {
    "not a database": "{path} is not an SQLite database",
    "malformed": "{path} is damaged (the SQLite database is malformed)",
    "is locked": f"{{path}} was locked by another process for {BUSY_SECONDS:.0f} s; end that process or try again",
    "readonly": "{path} cannot be written: no permission for the file or its folder",
    "unable to open": "{path} cannot be opened: no permission for the file or its folder",
    "disk is full": "the disk that holds {path} is full; make room and run the same command again: nothing finished is lost",
    "disk I/O error": "{path} could not be written: the disk failed, or a quota or limit of file size is reached; mend that "
    "and run the same command again: nothing finished is lost",
}


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0].strip() if lines else type(problem).__name__
