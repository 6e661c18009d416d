"""Databases of before the counting rules were recorded: upgraded when they are opened, and counted again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import optuna
import pytest
from sqlalchemy import inspect, text

from blocks.counting import COUNTING_RULES
from nas.architecture.cost import cost
from nas.errors import StorageError
from nas.store import Store
from tests.conftest import Run
from tests.postgres import PostgresServer
from tests.store.filling import fill, make_study, measure
from tests.store.processes import open_at_once

VERSION_1 = Path(__file__).parent / "version_1.sql"
"""Written by nas at table version 1 under PyTorch 2.14, which did not count the attention of gated_self_attention."""


@pytest.fixture
def old(tmp_path: Path, url: str) -> str:
    """A database that an older nas wrote: study 'old', accuracy against MACs, of which at most 300,000."""
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.executescript(VERSION_1.read_text())
    return url


def test_a_new_study_says_by_which_rules_it_counts(store: Store) -> None:
    make_study(store)
    study = store.study("first")
    assert study.counting_rules == COUNTING_RULES
    assert study.outdated_costs is None


@pytest.mark.parametrize("create", [False, True])
def test_an_older_database_is_upgraded_by_opening_it(old: str, create: bool) -> None:
    for _ in range(2):
        with Store.open(old, create=create) as store:
            assert len(store.trials("old")) == 4
            assert store.study("old").counting_rules is None
            assert "counted by rules that were not recorded" in (store.study("old").outdated_costs or "")
    with Store.open(old, create=True) as store:
        make_study(store, "new")
        assert store.study("new").counting_rules == COUNTING_RULES


def test_several_processes_upgrade_it_at_once(old: str) -> None:
    open_at_once(old, create=False)
    with Store.open(old) as store:
        assert store.study("old").counting_rules is None


def test_an_upgrade_that_is_cut_short_changes_nothing(
    old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nas.store import migration

    def cut(session: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(migration, "STEPS", {1: migration.STEPS[1], 2: cut})
    with pytest.raises(KeyboardInterrupt):
        Store.open(old)
    with sqlite3.connect(tmp_path / "nas.db") as database:
        assert database.execute("SELECT version FROM nas_schema").fetchall() == [(1,)]
        assert "counting_rules" not in str(database.execute("PRAGMA table_info(nas_studies)").fetchall())


def test_a_database_that_cannot_be_written_says_what_it_needs(old: str, tmp_path: Path) -> None:
    locker = sqlite3.connect(tmp_path / "nas.db")
    locker.execute("BEGIN IMMEDIATE")
    from nas.store import connection

    with pytest.MonkeyPatch.context() as context:
        context.setattr(connection, "BUSY_SECONDS", 0.1)
        with pytest.raises(
            StorageError, match="was locked .*; an older nas wrote it, and its tables have to be brought"
        ):
            Store.open(old)
    locker.close()


def test_a_server_is_upgraded(postgres: PostgresServer) -> None:
    address = postgres.database()
    with Store.open(address, create=True) as store:
        make_study(store)
        with store._engine.begin() as session:
            session.execute(text("ALTER TABLE nas_studies DROP COLUMN counting_rules"))
            session.execute(text("ALTER TABLE nas_epochs DROP COLUMN train_accuracy"))
            session.execute(text("UPDATE nas_schema SET version = 1"))
    with Store.open(address) as store:
        assert store.study("first").counting_rules is None
        assert "counting_rules" in {column["name"] for column in inspect(store._engine).get_columns("nas_studies")}
        assert "train_accuracy" in {column["name"] for column in inspect(store._engine).get_columns("nas_epochs")}
        with pytest.raises(StorageError, match="task names no input"), store.claim("first"):
            store.recount("first")


def test_counting_again_mends_every_place_where_a_cost_stands(old: str) -> None:
    with Store.open(old, create=True) as store:
        before = store.trials("old")
        with pytest.raises(StorageError, match="only the process that has claimed it"):
            store.recount("old")
        with store.claim("old"):
            found = store.recount("old")
        after = store.trials("old")
        networks = [store.architecture(digest) for digest in after["hash"]]
        right = [cost(network, (3, 16, 16), 10).macs for network in networks]
        assert before["macs"].tolist() != right
        assert after["macs"].tolist() == right
        assert after["parameters"].tolist() == before["parameters"].tolist()
        assert found.trials == 4
        assert [(after["trial"] == number).idxmax() for number in found.changed] == [1, 3], "those with attention"
        assert found.outside == (3,), "528,544 MACs, and 266,400 without its attention"
        trials = optuna.load_study(study_name="old", storage=store.optuna_storage()).trials
        assert [trial.values[1] for trial in trials] == right
        assert [trial.values[0] for trial in trials] == before["accuracy"].tolist()
        assert [trial.user_attrs["macs"] for trial in trials] == right
        assert store.measurements()["macs"].tolist() == [right[3]]
        assert store.study("old").outdated_costs is None
        with store.claim("old") as repaired:
            assert repaired.projected == 0, "Optuna's trials are ours"
            assert store.recount("old").changed == ()


def test_a_network_that_cannot_be_counted_changes_nothing(old: str) -> None:
    with Store.open(old, create=True) as store:
        with store._engine.begin() as session:
            session.execute(text("UPDATE nas_architectures SET json = replace(json, 'gated_self_attention', 'gone')"))
        with pytest.raises(StorageError, match="study 'old': network .* cannot be counted: .*gone"), store.claim("old"):
            store.recount("old")
        assert store.study("old").counting_rules is None


def test_the_commands_say_so_and_mend_it(old: str, run: Run) -> None:
    for command in (["study", "show"], ["study", "pareto"], ["study", "export", "-o", "trials.csv"]):
        code, _, errors = run(*command, "--storage", old)
        assert code == 0
        assert "Note: study 'old': its costs were counted by rules that were not recorded" in errors
        assert "`nas study recount old` counts them again" in errors
    search = ("search", "--storage", old, "--study", "old", "--space", "nas_bench_macro")
    code, _, errors = run(*search)
    assert code == 2
    assert "was begun with norm_images 0, as every study of an older version" in errors  # recounting would not help it
    with Store.open(old, create=True) as store, store._engine.begin() as session:
        session.execute(text("UPDATE nas_studies SET recipe = json_set(recipe, '$.norm_images', 2048)"))
    code, _, errors = run(*search)
    assert code == 2
    assert "its costs were counted by rules" in errors
    code, output, _ = run("study", "recount", "--storage", old)
    assert code == 0
    assert output.splitlines() == [
        f"study old: 2 of 4 trials have other costs by version {COUNTING_RULES} of the rules",
        "1 complete trials break a constraint of the study now: 3",
    ]
    code, _, errors = run("study", "show", "--storage", old)
    assert (code, errors) == (0, "")
    code, output, _ = run("study", "recount", "--storage", old, "--json")
    assert f'"counting_rules": {COUNTING_RULES}' in output


def test_replays_of_published_networks_are_counted_again(store: Store, url: str, run: Run) -> None:
    make_study(store)
    fill(store, "first", 3)
    images = {"dataset": "digits", "input": [3, 32, 32], "classes": 10}
    right = cost(store.architecture(store.trial("first", 0).hash), (3, 32, 32), 10)
    measure(store, "first", 0, "replay", task=images, macs=1)
    measure(store, "first", 0, "replay", task=images, seed=1, parameters=right.parameters, macs=right.macs)
    measure(store, "first", 1, "replay", macs=2)  # nobody says for which images
    other = store.trial("first", 1).hash
    store.delete_study("first")
    code, output, errors = run("study", "recount", "--storage", url)
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        f"1 of 3 replays have other costs by version {COUNTING_RULES} of the rules",
        f"networks that this nas cannot count, left as they are: {other[:8]}",
    ]
    kept = store.measurements().sort_values("id")
    assert kept["macs"].tolist() == [right.macs, right.macs, 2]
    assert kept["parameters"].tolist()[:2] == [right.parameters] * 2
    code, output, _ = run("study", "recount", "--storage", url, "--json")
    assert json.loads(output)["replays"] == {"measured": 3, "changed": 0, "uncounted": [other]}
    code, _, errors = run("study", "recount", "absent", "--storage", url)
    assert (code, "no study 'absent'" in errors) == (2, True)
