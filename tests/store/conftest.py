from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/nas.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url, create=True) as opened:
        yield opened
