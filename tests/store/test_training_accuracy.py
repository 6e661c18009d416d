"""The accuracy on training images: stored with every epoch, and unknown in a study that a nas wrote which lost it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from nas.store import Store
from tests.store.filling import curve, fill, make_study

VERSION_2 = Path(__file__).parent / "version_2.sql"
"""`nas search --space small.yaml --trials 3 --epochs 2 --objectives accuracy,latency` at table version 2, on digits."""
VERSION_3 = VERSION_2.with_name("version_3.sql")
"""The same at table version 3."""


@pytest.fixture
def old(tmp_path: Path, url: str) -> str:
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.executescript(VERSION_2.read_text())
    return url


def test_a_study_from_before_has_none_and_keeps_the_rest(old: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as database:
        before = database.execute(
            "SELECT epoch, train_loss, accuracy FROM nas_epochs ORDER BY trial_id, epoch"
        ).fetchall()
    for _ in range(2):
        with Store.open(old) as store:
            epochs = store.epochs("small-digits")
            assert store.trials("small-digits")["state"].tolist() == ["complete"] * 3
            assert list(epochs[["epoch", "train_loss", "accuracy"]].itertuples(index=False, name=None)) == before
            assert epochs["train_accuracy"].isna().all()
    with Store.open(old, create=True) as store:  # what is begun in it now has one
        make_study(store)
        fill(store, "first", 2)
        assert store.epochs("first")["train_accuracy"].notna().all()


def test_a_study_of_the_version_before_keeps_it(tmp_path: Path, url: str) -> None:
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.executescript(VERSION_3.read_text())
        before = database.execute("SELECT train_accuracy FROM nas_epochs ORDER BY trial_id, epoch").fetchall()
    with Store.open(url) as store:
        known = store.epochs("small-digits")["train_accuracy"]
    assert [(value,) for value in known] == before
    assert (known > 0.3).all()


def test_it_is_stored_as_it_was_measured(store: Store) -> None:
    make_study(store)
    fill(store, "first", 1)
    known = store.epochs("first")
    (best,) = known.groupby("trial")["accuracy"].max()
    assert known["train_accuracy"].tolist() == [point["train_accuracy"] for point in curve(best)]
