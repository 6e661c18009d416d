"""A database that is away for a while, is gone for good, or has no room left."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from nas.errors import StorageError
from nas.store import Store, connection, retry
from tests.postgres import PostgresServer
from tests.store.filling import curve, finish, make_study, start


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.05)


@contextmanager
def _locked(store: Store) -> Iterator[Callable[[], None]]:
    """Another process's lock on the file, until the end of the block or until what it gives is called."""
    other = sqlite3.connect(str(store.url.database), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def unlock() -> None:
        if other.in_transaction:
            other.execute("ROLLBACK")

    try:
        yield unlock
    finally:
        unlock()
        other.close()


def test_a_locked_database_is_waited_for_and_nothing_is_lost(url: str) -> None:
    notes: list[str] = []
    with Store.open(url, create=True) as store:
        make_study(store)

        def waited_for(write: Callable[[], int | None]) -> int | None:
            with _locked(store) as unlock:
                store.patience.notify = lambda note: (notes.append(note), unlock())[0]
                return write()

        with store.claim("first"):
            for place in range(3):  # while a trial starts, learns, finishes
                steps: list[Callable[[Callable[[], int | None]], int | None]] = [lambda write: write()] * 3
                steps[place] = waited_for
                trial_id = steps[0](lambda place=place: start(store, "first", random.Random(place)))  # type: ignore[misc]
                assert trial_id is not None
                steps[1](lambda trial_id=trial_id: store.record_epochs("first", {trial_id: curve(0.6)[:1]}))  # type: ignore[misc]
                assert steps[2](lambda trial_id=trial_id: finish(store, trial_id, 0.6)) == place  # type: ignore[misc]
        assert store.trials("first")["state"].tolist() == ["complete"] * 3
        assert len(store.epochs("first")) == 9
    assert len(notes) == 3
    assert all("was locked by another process" in note and "trying again for up to 10 min" in note for note in notes)


def test_patience_ends_with_one_line_and_the_next_writes_do_not_wait_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(url, create=True) as store:
        make_study(store)
        with store.claim("first"):
            trial_id = start(store, "first", random.Random(0))
            store.patience.seconds = 0.3
            with _locked(store):
                with pytest.raises(StorageError, match="was locked by another process"):
                    finish(store, trial_id)
                with monkeypatch.context() as context:
                    context.setattr(store.patience, "_sleep", lambda seconds: pytest.fail("it waits again"))
                    with pytest.raises(StorageError, match="was locked"):
                        finish(store, trial_id)
            finish(store, trial_id)
        assert store.trials("first")["state"].tolist() == ["complete"]


def test_who_asks_for_the_end_need_not_wait(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "HURRY_SECONDS", 0.2)
    with Store.open(url, create=True) as store:
        make_study(store)
        with store.claim("first"):
            trial_id = start(store, "first", random.Random(0))
            store.patience.hurried = lambda: True  # Ctrl-C; else it would wait for 10 minutes
            with _locked(store), pytest.raises(StorageError, match="was locked by another process"):
                finish(store, trial_id)
        assert store.trials("first")["state"].tolist() == ["interrupted"]


def test_a_full_disk_is_one_clear_line_and_the_study_goes_on_later(url: str) -> None:
    def full(engine: Engine) -> None:
        @event.listens_for(engine, "begin")
        def limit(opened: object) -> None:
            pages = opened.exec_driver_sql("PRAGMA page_count").scalar()  # type: ignore[attr-defined]
            opened.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    notes: list[str] = []
    with Store.open(url, create=True) as store:
        make_study(store)
        with store.claim("first"):
            finish(store, start(store, "first", random.Random(0)))

    def fill_up() -> None:
        with Store.open(url, create=True) as store:
            full(store._engine)
            store.patience.notify = notes.append
            with store.claim("first"):
                for number in range(1, 100):
                    finish(store, start(store, "first", random.Random(number)))

    with pytest.raises(StorageError, match=r"the disk that holds .*nas.db is full; make room") as caught:
        fill_up()
    assert "\n" not in str(caught.value)
    assert notes == []  # a full disk is not waited for
    with Store.open(url, create=True) as store:
        before = len(store.trials("first"))
        assert 1 <= before < 100
        with store.claim("first") as repaired:
            assert repaired.interrupted <= 1
            finish(store, start(store, "first", random.Random(200)))
        assert store.running("first") == 0
        assert len(store.trials("first")) == before + repaired.interrupted + 1


@pytest.mark.long
def test_a_server_that_restarts_is_waited_for(postgres: PostgresServer) -> None:
    if not postgres.ours:
        pytest.skip("stops the server: only done to one of its own")
    address = postgres.database()
    notes: list[str] = []
    with Store.open(address, create=True) as store:
        make_study(store)
        store.patience.notify = notes.append
        with store.claim("first"):
            trial_id = start(store, "first", random.Random(0))
            postgres.stop()
            thread = threading.Timer(1.0, postgres.start)
            thread.start()
            assert finish(store, trial_id, 0.7) == 0
            thread.join()
            finish(store, start(store, "first", random.Random(1)), 0.8)
        assert store.trials("first")["accuracy"].tolist() == [0.7, 0.8]
    assert len(notes) == 1
    assert "s3cret" not in notes[0]


def test_what_was_committed_before_the_connection_broke_is_not_written_twice(store: Store) -> None:
    make_study(store)
    with store.claim("first"):
        lost = {"commits": 0}

        @event.listens_for(store._engine, "commit")
        def break_after(opened: object) -> None:
            if lost["commits"] > 0:
                lost["commits"] -= 1
                opened.connection.dbapi_connection.commit()  # type: ignore[attr-defined]
                raise sqlite3_busy()

        lost["commits"] = 1
        trial_id = start(store, "first", random.Random(0))
        lost["commits"] = 1
        assert finish(store, trial_id, 0.7) == 0
        assert store.running("first") == 0
    assert store.trials("first")["state"].tolist() == ["complete"]


def sqlite3_busy() -> Exception:
    from sqlalchemy.exc import OperationalError

    problem = sqlite3.OperationalError("database is locked")
    problem.sqlite_errorname = "SQLITE_BUSY"
    return OperationalError("COMMIT", None, problem)
