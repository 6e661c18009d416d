"""Opening a database: what can be wrong is one line; reading makes no file."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from nas.errors import StorageError
from nas.store import Store, connection
from tests.store.filling import fill, make_study, start
from tests.store.processes import open_at_once


def refusal(url: str, create: bool = False) -> str:
    with pytest.raises(StorageError) as caught:
        Store.open(url, create=create)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named_and_not_made(tmp_path: Path) -> None:
    assert f"no such file {tmp_path}/nas.db" in refusal(f"sqlite:///{tmp_path}/nas.db")
    assert not list(tmp_path.iterdir())


def test_reading_changes_nothing_in_the_folder(store: Store, tmp_path: Path) -> None:
    fill(store, make_study(store), 3)
    store.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as reader:
        assert len(reader.trials("first")) == 3
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_opening_again_finds_the_studies(store: Store, url: str) -> None:
    make_study(store)
    with Store.open(url, create=True) as again:
        assert again.study("first").objectives == ("accuracy", "parameters")


@pytest.mark.long
def test_processes_may_make_the_database_at_once(url: str) -> None:
    open_at_once(url, create=True)
    with Store.open(url) as store:
        assert len(store.studies()) == 0


def test_a_database_that_another_process_makes_is_waited_for(url: str, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "nas.db", check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # SQLite does not wait for it to change the journal
    timer = threading.Timer(0.5, other.rollback)
    timer.start()
    with Store.open(url, create=True) as store:
        assert store.studies() == []
    timer.join()
    other.close()


class Cut(BaseException):
    """Stands for a kill."""


@contextmanager
def cut_at(place: int) -> Iterator[None]:
    """Of the statements that change something, the one at this place, from 1, is not executed."""
    places = itertools.count(1)

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.lstrip().startswith(("SELECT", "PRAGMA")) and next(places) == place:
            raise Cut

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_a_database_whose_making_was_cut_short_is_made_whole(tmp_path: Path) -> None:
    def content(file: Path) -> frozenset[str]:
        with sqlite3.connect(file) as database:
            return frozenset(database.iterdump())

    left: dict[frozenset[str], Path] = {}  # most statements lie in the middle of a transaction and leave nothing new
    for place in itertools.count(1):
        file = tmp_path / f"{place}.db"
        try:
            with cut_at(place):
                Store.open(f"sqlite:///{file}", create=True).close()
        except Cut:
            left.setdefault(content(file), file)
        else:
            break
    assert place > 20
    assert len(left) > 3
    for cut in left.values():
        Store.open(f"sqlite:///{cut}", create=True).close()
        assert content(cut) == content(file)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nas.db", "must be a database URL; did you mean 'sqlite:///nas.db'?"),
        ("sqllite:///nas.db", "no database 'sqllite'; there are sqlite and postgresql; did you mean 'sqlite'?"),
        ("mysql://me:hunter2@host/nas", "no database 'mysql'"),
        ("sqlite://nas.db", "a file needs three slashes; did you mean 'sqlite:///nas.db'?"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("postgresql://me:hunter2@host:port/nas", "not a URL of the form postgresql://user:password@host"),
    ],
)
def test_urls_that_are_none(url: str, says: str) -> None:
    message = refusal(url)
    assert says in message
    assert "hunter2" not in message


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    assert "is a folder" in refusal(f"sqlite:///{tmp_path}", create=True)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    assert f"the folder {tmp_path}/runs does not exist" in refusal(f"sqlite:///{tmp_path}/runs/nas.db", create=True)


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    assert "no permission to write" in refusal(f"sqlite:///{tmp_path}/nas.db", create=True)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to have a header " * 10)
    for create in (False, True):
        assert "is not an SQLite database" in refusal(f"sqlite:///{tmp_path}/notes.txt", create)
    assert (tmp_path / "notes.txt").read_text().startswith("not a database, but")


def test_a_database_of_something_else(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE orders (id INTEGER)")
    assert "no table nas_schema" in refusal(f"sqlite:///{tmp_path}/shop.db")
    assert "has the table 'orders'" in refusal(f"sqlite:///{tmp_path}/shop.db", create=True)
    assert sqlite3.connect(tmp_path / "shop.db").execute("SELECT name FROM sqlite_master").fetchall() == [("orders",)]


def test_a_database_that_optuna_made_is_joined(url: str) -> None:
    import optuna

    optuna.create_study(storage=url, study_name="theirs")
    with Store.open(url, create=True) as store:
        with pytest.raises(StorageError, match="Optuna has a study 'theirs' here that nas did not make"):
            make_study(store, "theirs")
        make_study(store, "ours")
        assert optuna.get_all_study_names(store.optuna_storage()) == ["theirs", "ours"]


@pytest.mark.parametrize(("version", "remedy"), [(7, "upgrade nas"), (0, "use the nas that wrote it")])
def test_another_version_of_the_tables(store: Store, url: str, tmp_path: Path, version: int, remedy: str) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.execute("UPDATE nas_schema SET version = ?", (version,))
    for create in (False, True):
        message = refusal(url, create)
        assert f"its tables have version {version}, this nas reads version 4" in message
        assert remedy in message


def test_tables_of_another_optuna(store: Store, url: str, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v9.9.9.a'")
    message = refusal(url, create=True)
    assert "optuna" in message
    assert "no longer compatible" in message


def test_a_locked_database(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_study(store)
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.2)
    store.patience.seconds = 0
    store.close()  # so that new connections have the shorter patience
    locker = sqlite3.connect(tmp_path / "nas.db")
    locker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="was locked by another process"), store.claim("first"):
        pass
    locker.rollback()
    with store.claim("first"):
        pass


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        message = refusal(f"{scheme}://me:hunter2@127.0.0.1:1/nas")
        assert "postgresql+psycopg://me:***@127.0.0.1:1/nas" in message
        assert "refused" in message
        assert "hunter2" not in message


def test_braces_in_a_path(tmp_path: Path) -> None:
    (tmp_path / "{runs}%").mkdir()
    with Store.open(f"sqlite:///{tmp_path}/{{runs}}%25/nas.db".replace("%25", "%"), create=True) as store:
        make_study(store)
    assert (tmp_path / "{runs}%" / "nas.db").is_file()


def test_a_study_that_is_not_there(store: Store) -> None:
    with pytest.raises(StorageError, match="no study 'frist'; it holds none"):
        store.study("frist")
    make_study(store)
    make_study(store, "digits-small")
    with pytest.raises(StorageError, match="no study 'frist'; did you mean 'first'?"):
        store.study("frist")
    with pytest.raises(StorageError, match="no study 'zzz'; there are first, digits-small"):
        store.trials("zzz")


def test_a_study_cannot_be_made_twice_or_with_strange_objectives(store: Store) -> None:
    make_study(store)
    for name, changes, says in (
        ("first", {}, "there is a study 'first' already"),
        ("", {}, "must not be empty"),
        ("x", {"objectives": ["accuracy", "flops"]}, "no objective 'flops'; there are accuracy, parameters"),
        ("x", {"objectives": []}, "one or more"),
        ("x", {"objectives": ["accuracy", "accuracy"]}, "different"),
    ):
        with pytest.raises(StorageError, match=says):
            make_study(store, name, **changes)


def test_many_threads_write(store: Store) -> None:
    import random

    make_study(store)
    with store.claim("first"):
        problems: list[Exception] = []

        def work(seed: int) -> None:
            try:
                for _ in range(5):
                    start(store, "first", random.Random(seed))
            except StorageError as problem:
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems
        assert store.running("first") == 20
