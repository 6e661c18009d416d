"""A database that is damaged, edited by hand, deleted or replaced: one line, and nothing of it lost."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from nas.errors import NasError, StorageError
from nas.store import Store
from tests.conftest import Run
from tests.store.filling import fill, finish, make_study, start

TASK = {"dataset": "digits", "root": None, "validation": 0.2, "seed": 0, "input": [3, 32, 32], "classes": 10}
COMMANDS = (["study", "show", "first"], ["why", "--study", "first"], ["study", "export", "first", "-o", "t.csv"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of eight trials in one file."""
    path = tmp_path_factory.mktemp("whole") / "nas.db"
    with Store.open(f"sqlite:///{path}", create=True) as store:
        make_study(store, task=TASK, recipe={"epochs": 3, "seed": 0, "lr": 0.1, "optimizer": "sgd", "batch_size": 8})
        fill(store, "first", 8)
    return path


@pytest.fixture
def database(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "nas.db"))


TEXTS = ["{", "5", "[1e999]", "[" * 50_000, "\x00", None]
EDITS = {
    "nas_studies": {
        "task": [*TEXTS, '{"classes": "x"}', '{"input": 5}', '{"input": [1e999, 1, 1]}', '{"dataset": 5}'],
        "recipe": [*TEXTS, '{"epochs": "many"}', '{"epochs": 1e999}', '{"batch_size": []}'],
        "objectives": [*TEXTS, '["speed"]', "[]"],
        "constraints": TEXTS,
        "created_at": ["soon", 5],
        "owner_beat": ["now"],
    },
    "nas_trials": {
        "assignment": [*TEXTS, '{"a": [1]}', '{"a": {"b": 1}}', '{"a": null}'],
        "accuracy": ["high", b"\xff"],
        "parameters": ["many", 1.5, None],
        "macs": ["many"],
        "state": ["gone"],
        "number": ["first"],
        "started_at": ["soon"],
        "reason": [b"\xff\xfe"],
        "epochs": ["x"],
    },
    "nas_architectures": {"json": [*TEXTS, '{"nodes": [], "output": "x"}']},
    "nas_environments": {"json": TEXTS},
    "nas_epochs": {"accuracy": ["high"]},
    "nas_choices": {"options": TEXTS},
}


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, columns in EDITS.items() for column in columns]
)
def test_a_row_edited_by_hand_is_one_line(table: str, column: str, whole: Path, run: Run, tmp_path: Path) -> None:
    refused = 0
    for place, value in enumerate(EDITS[table][column]):
        path = shutil.copy(whole, tmp_path / "nas.db")
        with sqlite3.connect(path) as edited, suppress(sqlite3.IntegrityError):
            edited.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT max(rowid) FROM {table})", (value,))
        edited.close()
        for number in {place % 3, 1 if column == "json" else 0}:
            arguments = COMMANDS[number]
            code, _, err = run(*arguments)
            assert code in (0, 2), (value, arguments, err)
            assert len(err.splitlines()) == (code == 2), (value, arguments, err)
            assert err.isascii() or "…" in err
            refused += code == 2
        with suppress(NasError), Store.open(f"sqlite:///{path}", create=True) as store, store.claim("first"):
            finish(store, start(store, "first", random.Random(9)))
    assert refused or (table, column) in {("nas_studies", "owner_beat"), ("nas_choices", "options")}


def test_flipped_bits_are_one_line_or_unnoticed(whole: Path, run: Run, tmp_path: Path) -> None:
    rng = random.Random(3)
    content = whole.read_bytes()
    noticed = 0
    for _ in range(15):
        damaged = bytearray(content)
        for _ in range(12):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        (tmp_path / "nas.db").write_bytes(damaged)
        for arguments in COMMANDS[:2]:
            code, _, err = run(*arguments)
            assert code in (0, 2), (arguments, err)
            noticed += code == 2
        with (
            suppress(NasError),
            Store.open(f"sqlite:///{tmp_path / 'nas.db'}", create=True) as store,
            store.claim("first"),
        ):
            finish(store, start(store, "first", random.Random(9)))
    assert noticed


def test_a_search_looks_at_every_page_before_it_begins(database: Path) -> None:
    with sqlite3.connect(database) as opened:
        pages, size = (opened.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        root = opened.execute("SELECT rootpage FROM sqlite_master WHERE name = 'nas_epochs'").fetchone()[0]
    opened.close()
    assert pages > 20
    with database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\x05" * size)
    with Store.open(f"sqlite:///{database}", create=True) as store:
        store.study("first")  # what a search reads first lies elsewhere
        with pytest.raises(StorageError, match="is damaged .*recover"), store.claim("first"):
            pass


def removed(path: Path) -> None:
    for file in path.parent.glob("nas.db*"):
        file.unlink()


def removed_alone(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    with Store.open(f"sqlite:///{path.parent / 'other.db'}", create=True) as other:
        make_study(other, "other")
    (path.parent / "other.db").replace(path)


def moved(path: Path) -> None:
    path.rename(path.parent / "elsewhere.db")


@pytest.mark.parametrize("happens", [removed, removed_alone, replaced, moved])
def test_a_database_that_is_taken_away_is_saved(
    happens: Callable[[Path], None], database: Path, tmp_path: Path
) -> None:
    def search() -> None:
        with Store.open(f"sqlite:///{database}", create=True) as store, store.claim("first"):
            finish(store, start(store, "first", rng), 0.97)
            running = start(store, "first", rng)
            happens(database)
            finish(store, running, 0.98)

    rng = random.Random(7)
    with pytest.raises(StorageError, match=r"nas.db was (deleted|replaced).* all that it held is saved in") as problem:
        search()
    assert len(str(problem.value).splitlines()) == 1
    saved = tmp_path / "nas-saved.db"
    assert str(saved) in str(problem.value)
    with Store.open(f"sqlite:///{saved}", create=True) as store, store.claim("first") as repaired:
        assert repaired.interrupted == 1
        trials = store.trials("first")
        assert len(trials) == 10
        assert trials["accuracy"].max() == 0.97
        finish(store, start(store, "first", rng))
    if happens is replaced:
        with Store.open(f"sqlite:///{database}") as other:
            assert [study["study"] for study in other.studies()] == ["other"]
    elif happens is moved:
        with Store.open(f"sqlite:///{tmp_path / 'elsewhere.db'}") as other:
            assert len(other.trials("first")) == 9
    with sqlite3.connect(saved) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    opened.close()


def test_the_heart_notices_it_while_nothing_is_written(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from nas.store import lease

    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    with suppress(StorageError), Store.open(f"sqlite:///{database}", create=True) as store, store.claim("first"):
        database.unlink()
        deadline = time.monotonic() + 10
        while not (tmp_path / "nas-saved.db").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert (tmp_path / "nas-saved.db").exists()
    assert not os.path.lexists(tmp_path / "nas-saved2.db")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *[("nas_outlines.values", text) for text in ('{"stages": 1e999}', '{"stages": "x"}', '{"stages": 0}', '{"x": 1}', "{")],
        *[
            ("nas_outline_parameters.options", text)
            for text in ("[]", "[[1]]", '{"low": 5, "high": 1, "log": false}', '{"low": 0, "high": 9, "log": true}', b"\xff")
        ],
    ],
)  # fmt: skip
def test_outlines_that_no_network_has_are_one_line(column: str, value: str | bytes, tmp_path: Path) -> None:
    path, (table, name) = tmp_path / "nas.db", column.split(".")
    with Store.open(f"sqlite:///{path}", create=True) as store:
        make_study(store, outlined=True)
        fill(store, "first", 2)
    with sqlite3.connect(path) as database:
        database.execute(f'UPDATE {table} SET "{name}" = ?', (value,))
        for emptied in ("trials", "trial_params", "trial_values", "trial_user_attributes"):  # Optuna's are made anew
            database.execute(f"DELETE FROM {emptied}")
    database.close()
    with (
        Store.open(f"sqlite:///{path}") as store,
        pytest.raises(StorageError, match="a row is damaged") as problem,
        store.claim("first"),
    ):
        pass
    assert "\n" not in str(problem.value)
