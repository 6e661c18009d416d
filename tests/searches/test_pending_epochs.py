from __future__ import annotations

import random

import pytest

from nas.searches import pending_epochs
from nas.searches.pending_epochs import PendingEpochs
from nas.store import Store
from tests.store.filling import curve, finish, make_study, start


def test_epochs_of_many_trials_are_written_at_a_tick_or_with_the_end_of_theirs(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    record = Store.record_epochs
    monkeypatch.setattr(
        Store,
        "record_epochs",
        lambda self, study, curves: (written.append(len(curves)), record(self, study, curves))[1],
    )
    with Store.open(storage, create=True) as store:
        make_study(store)
        with store.claim("first"):
            rows = [start(store, "first", random.Random(number)) for number in range(3)]
            pending = PendingEpochs(store, "first")
            for row in rows:
                for epoch in curve(0.6)[:2]:
                    pending.add(row, epoch)
            pending.tick()
            assert store.epochs("first").empty
            finish(store, rows[0], 0.6, epochs=pending.take(rows[0]))
            assert store.epochs("first")["epoch"].tolist() == [1, 2]
            monkeypatch.setattr(pending_epochs, "TICK_SECONDS", 0.0)
            for _ in range(2):
                pending.tick()
            assert store.epochs("first")["epoch"].tolist() == [1, 2] * 3
    assert written == [2]
