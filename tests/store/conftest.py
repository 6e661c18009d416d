from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a study: to make one takes longer than to copy it."""
    path = tmp_path_factory.mktemp("empty") / "nas.db"
    Store.open(f"sqlite:///{path}", create=True).close()
    return path


@pytest.fixture
def store(url: str, empty: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(empty, tmp_path / "nas.db")
    with Store.open(url, create=True) as opened:
        yield opened
