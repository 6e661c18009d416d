"""What a study remembers of blocks that are not ours."""

from __future__ import annotations

import sqlalchemy

from nas.config.block_files import Origin
from nas.store import Store
from tests.store.filling import make_study

MINE = {"mine": Origin("my_blocks.py", "ab" * 32), "other": Origin("b.py", "cd" * 32)}


def test_a_study_remembers_which_version_of_a_block_it_was_begun_with(store: Store) -> None:
    make_study(store, blocks=MINE)
    make_study(store, "second")
    assert store.study("first").blocks == MINE
    assert store.study("second").blocks == {}
    store.rename_study("first", "flowers")
    assert store.study("flowers").blocks == MINE


def test_a_result_holds_for_one_version_of_a_block_alone(store: Store) -> None:
    for name, blocks in {
        "first": MINE,
        "same": MINE,
        "changed": {**MINE, "mine": Origin("my_blocks.py", "ef" * 32)},
        "moved": {**MINE, "mine": Origin("elsewhere.py", "ab" * 32)},
        "plain": {},
    }.items():
        make_study(store, name, blocks=blocks)
    keys = {name: store.study(name).key("0123") for name in ("first", "same", "changed", "moved", "plain")}
    assert keys["first"] == keys["same"] == keys["moved"]
    assert len(set(keys.values())) == 3


def test_a_database_of_before_has_no_such_table(store: Store) -> None:
    make_study(store)
    with sqlalchemy.create_engine(store.url).begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE nas_study_blocks"))
    assert store.study("first").blocks == {}
    make_study(store, "second", blocks=MINE)
    assert store.study("second").blocks == MINE
    store.delete_study("first")


def test_a_deleted_study_leaves_nothing_of_them(store: Store) -> None:
    make_study(store, blocks=MINE)
    store.delete_study("first")
    with sqlalchemy.create_engine(store.url).connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM nas_study_blocks")).scalar_one() == 0
    make_study(store, blocks=MINE)
    assert store.study("first").blocks == MINE
