"""What a user does first, in whatever versions this environment has: `make versions` runs it in the lowest and the newest.

With `tests/blocks/test_counting.py`, which compares the costs of every block with those recorded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.export import EXPORTERS
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the database of a search."""
    folder = tmp_path_factory.mktemp("versions")
    search(folder, "sqlite:///nas.db")
    return folder


def nas(folder: Path, *arguments: str) -> str:
    """What `nas …` prints to standard output; it ends well."""
    done = subprocess.run(
        [sys.executable, "-m", "nas", *arguments], cwd=folder, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def search(folder: Path, storage: str) -> None:
    """Five trials; they train."""
    output = nas(
        folder,
        *("search", "--space", "attn_cnn", "--data", "digits", "--max-parameters", "200000", "--seed-points", "none"),
        *("--trials", "5", "--epochs", "1", "--storage", storage, "--json"),
    )
    found = json.loads(output)
    assert sum(found["states"].values()) == 5, found["states"]
    assert found["states"]["complete"] >= 3, found["states"]


def test_a_search(folder: Path) -> None:
    summary = json.loads(nas(folder, "study", "show", "--json"))
    assert len(summary["front"]) >= 1
    assert max(member["accuracy"] for member in summary["front"]) > 0.15, "better than chance"


def test_a_search_on_postgresql(postgres: PostgresServer, tmp_path: Path) -> None:
    address = postgres.database()
    search(tmp_path, address)
    assert json.loads(nas(tmp_path, "study", "pareto", "--storage", address, "--json"))


@pytest.mark.parametrize("format", EXPORTERS)
def test_an_export(folder: Path, format: str) -> None:
    """It is run and compared before it counts."""
    done = json.loads(nas(folder, "export", "best", "--format", format, "--json"))
    assert done["check"]
    assert all((folder / path).stat().st_size > 1000 for path in done["files"])


def test_every_published_network(tmp_path: Path) -> None:
    nas(tmp_path, "replay", "--all", "--check")


@pytest.fixture
def dashboard(folder: Path) -> Iterator[str]:
    """Its address."""
    command = [sys.executable, "-m", "nas", "dashboard", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=os.environ.copy()) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_the_first_answer_of_the_dashboard(dashboard: str) -> None:
    with urllib.request.urlopen(dashboard, timeout=60) as page:
        assert b"Optuna Dashboard" in page.read()
    root = dashboard.partition("/dashboard")[0]
    with urllib.request.urlopen(f"{root}/api/studies/1", timeout=60) as answer:
        found = json.load(answer)
    assert len(found["trials"]) == 5
