"""A study on disk, and its dashboard on a free port."""

from __future__ import annotations

import json
import random
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nas.dashboard import Dashboard
from nas.store import Store
from tests.store.filling import INPUT, curve, fill, finish, make_study, start

TASK = {"dataset": "digits", "input": list(INPUT), "classes": 10, "validation": 0.2, "seed": 0}


def fill_study(store: Store, name: str = "first", trials: int = 12) -> None:
    """Complete and diverged trials, one stopped early, one published network, one reason that would be HTML."""
    make_study(store, name, task=TASK)
    fill(store, name, trials)
    rng = random.Random(99)
    with store.claim(name):
        finish(store, start(store, name, rng), None, "failed", reason="<b>bold</b> | **loud** ![x](http://x.example/)")
        finish(store, start(store, name, rng), 0.4, "stopped_early", epochs=curve(0.4, 2))
        finish(store, start(store, name, rng, published="kong_aim"), 0.97)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dashboard") / "nas.db"
    with Store.open(f"sqlite:///{path}", create=True) as opened:
        fill_study(opened)
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Iterator[Store]:
    """A study of one's own."""
    with Store.open(f"sqlite:///{shutil.copy(filled, tmp_path / 'nas.db')}") as opened:
        yield opened


@contextmanager
def serving(store: Store, study: str | None = None) -> Iterator[str]:
    """Runs the dashboard; gives its address, without a path."""
    dashboard = Dashboard(store, study, port=0)
    thread = threading.Thread(target=dashboard.serve)
    thread.start()
    try:
        yield dashboard.url.partition("/dashboard")[0]
    finally:
        dashboard.stop()
        thread.join()


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    with serving(store) as found:
        yield found


def ask(
    address: str, *, method: str = "GET", data: object = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body."""
    body = None if data is None else json.dumps(data).encode()
    sent = {"Content-Type": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    request = urllib.request.Request(address, data=body, method=method, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.read()


def detail(address: str, after: int = 0, study: int = 1) -> dict[str, Any]:
    status, body = ask(f"{address}/api/studies/{study}?after={after}")
    assert status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found
