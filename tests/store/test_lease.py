"""One driver per study, whatever happens to the one before."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from nas.errors import StorageError
from nas.store import Reconciled, Store, lease
from nas.store.connection import writing
from nas.store.schema import Study
from tests.store.filling import finish, make_study, start

DRIVER = """
import random, sys, time
from nas.store import Store
from tests.store.filling import finish, start
store = Store.open(sys.argv[1], create=True)
rng = random.Random(1)
with store.claim("first"):
    finish(store, start(store, "first", rng))
    start(store, "first", rng)
    print("ready", flush=True)
    while True:
        finish(store, start(store, "first", rng))
"""


@pytest.fixture
def study(store: Store) -> str:
    return make_study(store)


def owner(store: Store, **values: object) -> None:
    with writing(store._engine) as session:
        session.execute(update(Study).values(**values))


def test_only_who_has_claimed_may_write(store: Store, study: str) -> None:
    with pytest.raises(StorageError, match="study 'first': only the process that has claimed it"):
        start(store, study, random.Random(0))
    with store.claim(study):
        trial_id = start(store, study, random.Random(0))
    with pytest.raises(StorageError, match="only the process that has claimed it"):
        finish(store, trial_id)
    with pytest.raises(StorageError, match="only the process that has claimed it"):
        store.reconcile(study)


def test_a_second_driver_is_refused_and_told_by_whom(store: Store, study: str, url: str) -> None:
    with store.claim(study) as repaired:
        assert repaired == Reconciled(0, 0)
        assert str(os.getpid()) in (store.driver(study) or "")
        with (
            Store.open(url, create=True) as other,
            pytest.raises(StorageError, match=f"study 'first': process {os.getpid()} on .* is running it"),
            other.claim(study),
        ):
            pass
    assert store.driver(study) is None
    with store.claim(study):
        pass


def test_two_studies_of_one_database_run_side_by_side(store: Store, study: str, url: str) -> None:
    make_study(store, "second")
    with store.claim(study), Store.open(url, create=True) as other, other.claim("second"):
        finish(store, start(store, study, random.Random(0)))
        finish(other, start(other, "second", random.Random(0)))
    assert [study["trials"] for study in store.studies()] == [1, 1]


def test_a_killed_driver_is_taken_over_at_once(store: Store, study: str, url: str, repository: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, url], stdout=subprocess.PIPE, text=True, cwd=repository)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "ready\n"
    with pytest.raises(StorageError, match=f"process {driver.pid} on"), store.claim(study):
        pass
    while len(store.trials(study)) < 6 and driver.poll() is None:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)  # at any instant of its loop
    driver.wait()
    assert store.driver(study) is None
    before = store.trials(study)
    assert len(before) > 5
    running = store.running(study)
    assert running >= 1
    with store.claim(study) as repaired:
        assert repaired == Reconciled(running, running)
        after = store.trials(study)
        assert after["trial"].tolist() == list(range(len(before) + running))
        assert after["state"].tolist()[-running:] == ["interrupted"] * running
        assert after["reason"].tolist()[-1] == "the driver was killed"
        import optuna

        trials = optuna.load_study(study_name=study, storage=store.optuna_storage()).trials
        assert [trial.number for trial in trials] == after["trial"].tolist()
        assert [trial.user_attrs["hash"] for trial in trials] == after["hash"].tolist()


@pytest.mark.parametrize(
    "values",
    [
        {"owner_host": "elsewhere", "owner_pid": 1, "owner_beat": Study.owner_beat - 61},
        {"owner_pid": 2**22 + 1},  # no such process here
        {"owner_token": "of a dead process that had our number"},
        {"owner_pid": 1, "owner_token": "token.of a process that began at another time"},  # its number is another's now
        {"owner_beat": Study.owner_beat - 61},  # suspended
    ],
)
def test_who_is_dead_is_followed_at_once(
    store: Store, study: str, url: str, values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE_SECONDS", 60.0)
    monkeypatch.setattr(lease.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with Store.open(url, create=True) as other, store.claim(study):
        trial_id = start(store, study, random.Random(0))
        owner(store, **values)
        with other.claim(study) as repaired:
            assert repaired.interrupted == 1
            with pytest.raises(StorageError, match="another process has taken it over"):
                finish(store, trial_id)
            running = start(other, study, random.Random(1))
            assert other.driver(study) is not None
            finish(other, running)
        assert other.trials(study)["state"].tolist() == ["interrupted", "complete"]


def test_a_process_that_lives_is_not_waited_for(
    store: Store, study: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        begin = lease.process_begin(other.pid)
        assert begin is not None
        assert begin != lease.process_begin(1)
        owner(store, owner_host=socket.gethostname(), owner_pid=other.pid, owner_token=f"t.{begin}")
        with store._engine.begin() as connection:
            connection.execute(update(Study).values(owner_beat=lease.now(store._engine)))
        with pytest.raises(StorageError, match=f"process {other.pid} on .* is running it"), store.claim(study):
            pass
        other.communicate(b"")
    with store.claim(study):
        pass


@pytest.mark.parametrize(
    "values",
    [
        {"owner_host": "elsewhere", "owner_pid": 1, "owner_token": "t"},  # the old driver's machine was replaced
        {"owner_host": socket.gethostname(), "owner_pid": 1, "owner_token": "t"},  # its row does not say when it began
        {
            "owner_host": "elsewhere",
            "owner_pid": 1,
            "owner_token": "t",
            "ahead": 86_400.0,
        },  # the clock was set back since
    ],
)
def test_of_whom_nothing_is_known_is_waited_for_a_sign_of_life(
    store: Store, study: str, url: str, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE_SECONDS", 2.0)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.1)
    values = dict(values)
    ahead = values.pop("ahead", 0.0)
    told: list[str] = []
    store.patience.notify = told.append
    with Store.open(url, create=True) as other:
        owner(other, **values, owner_beat=lease.now(other._engine) + ahead)
        with store.claim(study):
            finish(store, start(store, study, random.Random(0)))
    assert len(told) == 1
    assert re.fullmatch(r"study 'first': process 1 on .* ran it and may be dead; waiting up to \d s for a .*", told[0])


def test_a_heart_that_beats_elsewhere_is_heard(
    store: Store, study: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.3)
    with Store.open(url, create=True) as other, store.claim(study):
        owner(store, owner_host="elsewhere", owner_pid=1)
        with pytest.raises(StorageError, match="process 1 on elsewhere is running it"), other.claim(study):
            pass


def test_the_end_of_a_claim_leaves_no_trial_running(store: Store, study: str) -> None:
    def interrupted_search() -> None:
        with store.claim(study):
            start(store, study, random.Random(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_search()
    frame = store.trials(study)
    assert frame[["state", "reason"]].to_numpy().tolist() == [["interrupted", "the driver ended"]]
    assert store.running(study) == 0


def test_the_heart_beats_while_nothing_is_written(store: Store, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    with store.claim(study):
        owner(store, owner_beat=Study.owner_beat - 50)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            with writing(store._engine) as session:
                age = session.query(lease.now(store._engine) - Study.owner_beat).scalar()
            if age < 10:
                break
            time.sleep(0.05)
        assert age < 10
