"""A study that was begun before batch norm was measured anew: it can be looked at and retrained, and not be continued."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from nas.store import Store
from tests.conftest import Run

WRITTEN = Path(__file__).parent / "before_measuring.sql"
"""`nas search --space small.yaml --trials 3 --epochs 2` of an older nas, on digits."""
SPACE = """\
name: small
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [4, 8, 16]}, stride: 2}
  body: {block: {choose: [conv, identity]}}
  head: {block: classifier, pool: flatten}
"""


@pytest.fixture
def old(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "old.db") as database:
        database.executescript(WRITTEN.read_text())
    (tmp_path / "small.yaml").write_text(SPACE)
    return f"sqlite:///{tmp_path}/old.db"


def test_it_is_not_continued(old: str, run: Run) -> None:
    code, out, err = run("search", "--space", "small.yaml", "--storage", old, "--trials", "5", "--epochs", "2")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"nas: error: study 'small-digits' in {old} was begun with norm_images 0, as every study of an older version: its "
        "networks were measured before their batch norm knew their weights; its trials do not compare with those of "
        "norm_images 2048, so name another --study"
    ]
    with Store.open(old) as store:
        assert len(store.trials("small-digits")) == 3
        assert store.driver("small-digits") is None


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("study", "list"), "3 of 3"),
        (("study", "show"), "93.62%"),
        (("study", "pareto"), "92.20%"),
        (("why",), "no trial ended badly"),
        (("report", "-o", "page.html"), "page.html"),
    ],
)
def test_it_is_shown_without_an_error_that_nobody_knows(
    old: str, run: Run, command: tuple[str, ...], says: str
) -> None:
    code, out, err = run(*command, "--storage", old)
    assert (code, err) == (0, "")
    assert says in out
    assert "±" not in out


def test_its_records_say_so_too(old: str, run: Run) -> None:
    code, out, _ = run("study", "pareto", "--json", "--storage", old)
    assert code == 0
    assert [member["standard_error"] for member in json.loads(out)] == [None] * 3


def test_it_is_retrained(old: str, run: Run, tmp_path: Path) -> None:
    arguments = (
        "retrain",
        "--study",
        "small-digits",
        "--trial",
        "1",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--storage",
        old,
    )
    code, _, err = run(*arguments, "--output", str(tmp_path / "again"))
    assert code == 0, err
    with Store.open(old) as store:
        measured = store.measurements()
    assert measured["state"].tolist() == ["complete"]
    assert measured["accuracy"][0] > 0.3
