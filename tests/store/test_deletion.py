"""A study that is renamed or deleted: Optuna's copy follows, and other studies lose nothing."""

from __future__ import annotations

import random

import optuna
import pytest

from nas.errors import StorageError, StudyExists
from nas.store import Memory, Store
from tests.conftest import Run
from tests.store.filling import fill, finish, make_study, measure, start


def names(store: Store) -> tuple[list[str], list[str]]:
    theirs = optuna.get_all_study_names(store.optuna_storage())
    return [study["study"] for study in store.studies()], sorted(theirs)


def test_a_renamed_study_is_the_same_study(store: Store) -> None:
    make_study(store)
    make_study(store, "second")
    fill(store, "first", 4)
    before = store.trials("first")
    with pytest.raises(StudyExists, match="there is a study 'second' already"):
        store.rename_study("first", "second")
    with pytest.raises(StorageError, match="holds no '/'"):
        store.rename_study("first", "a/b")
    store.rename_study("first", "flowers")
    assert names(store) == (["flowers", "second"], ["flowers", "second"])
    assert store.trials("flowers").equals(before)
    with store.claim("flowers"):
        finish(store, start(store, "flowers", random.Random(5)))
    assert len(optuna.load_study(study_name="flowers", storage=store.optuna_storage()).trials) == 5


def test_a_deleted_study_is_gone_and_others_keep_what_they_took_over(store: Store) -> None:
    make_study(store)
    make_study(store, "second")
    fill(store, "first", 4)
    row = store.trial("first", 0)
    measure(store, "first", 0, "retrain")
    with store.claim("second"):
        taken = start(store, "second", random.Random(0))  # the network of trial 0
        past = store.find_result("second", row.hash)
        assert past is not None
        store.take_over(taken, past)
    store.add_memory(Memory(row.row, 1, 2, 1.0))
    curve = store.epochs("second")
    assert len(curve) == 3
    assert store.delete_study("first") == 4
    assert names(store) == (["second"], ["second"])
    assert store.epochs("second").equals(curve)
    assert store.trials("second")["source"].isna().all()
    assert store.find_result("second", row.hash) is not None  # it stands on its own now
    kept = store.measurements()
    assert kept[["kind", "hash"]].to_numpy().tolist() == [["retrain", row.hash]]
    assert kept["study"].isna().all()
    make_study(store)
    fill(store, "first", 2)
    with pytest.raises(StorageError, match="no study 'third'"):
        store.delete_study("third")


def test_a_study_that_runs_is_left_alone(store: Store, url: str) -> None:
    make_study(store)
    with store.claim("first"), Store.open(url, create=True) as other:
        for change in (lambda: other.delete_study("first"), lambda: other.rename_study("first", "x")):
            with pytest.raises(StorageError, match="is running it"):
                change()
    assert names(store) == (["first"], ["first"])


def test_the_commands(store: Store, url: str, run: Run) -> None:
    make_study(store)
    fill(store, "first", 3)
    assert run("study", "rename", "first", "flowers", "--storage", url)[:2] == (
        0,
        "study first is called flowers now\n",
    )
    code, _, err = run("study", "delete", "flowers", "--storage", url)
    assert (code, err) == (2, "nas: error: study flowers has 3 trials; say --yes to delete it\n")
    assert run("study", "delete", "flowers", "--yes", "--storage", url)[:2] == (
        0,
        "study flowers is deleted (3 trials)\n",
    )
    assert store.studies() == []
    code, _, err = run("study", "delte", "x")
    assert code == 2
    assert (
        "no command 'delte'; known: delete, export, list, pareto, recount, rename, show; did you mean 'delete'?" in err
    )
    code, _, err = run("study", "delete", "x", "--yes", "--storage", "sqlite:///absent.db")
    assert code == 2
    assert "no such file absent.db" in err
