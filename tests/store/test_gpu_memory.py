"""What trials took of a GPU's memory."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import text

from nas.store import Memory, Store
from tests.store.filling import finish, make_study, start


@pytest.mark.parametrize("old", [False, True], ids=["new database", "made before the table was"])
def test_each_trial_has_one_row_and_other_studies_none(store: Store, old: bool) -> None:
    if old:
        with store._engine.begin() as connection:
            connection.execute(text("DROP TABLE nas_memories"))
    make_study(store)
    make_study(store, "second")
    assert store.memories("first") == []
    with store.claim("first"):
        trial_id = start(store, "first", random.Random(0))
        store.add_memory(Memory(trial_id, 100, 90, 0.25))
        store.add_memory(Memory(trial_id, 100, 120, 1.0))  # a second attempt
        finish(store, trial_id, 0.5)
    assert store.memories("first") == [Memory(trial_id, 100, 120, 1.0)]
    assert store.memories("second") == []
