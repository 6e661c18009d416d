from __future__ import annotations

import random
from pathlib import Path

import pytest

from nas.execution.report import REPORT
from nas.searches import pending_epochs
from nas.searches.early_stopping import Rungs
from nas.searches.pending_epochs import PendingEpochs
from nas.searches.trial_checkpoints import TrialCheckpoints
from nas.store import Store
from tests.searches.simulated import SimulatedTune, epoch, report
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


def test_with_checkpoints_what_a_rung_has_to_know_is_written_at_once_and_the_rest_waits(
    storage: str, space_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_epochs, "TICK_SECONDS", 1e9)
    with Store.open(storage, create=True) as store:
        tune = SimulatedTune(
            store,
            space_file,
            epochs=9,
            rungs=Rungs(("accuracy", "parameters"), 9, 3, 3.0),
            checkpoints=TrialCheckpoints(tmp_path, {}),
        )
        written = {}
        with store.claim("tiny"):
            tune.searcher.suggest("a")
            for number in range(1, 6):
                result = {REPORT: report(epoch(number, 0.5), saved=True).to_json()}
                assert tune.searcher.goes_on("a", result[REPORT])
                tune.searcher.on_trial_result("a", result)
                written[number] = store.epochs("tiny")["epoch"].tolist()
            tune.searcher.close()
        assert written == {1: [], 2: [], 3: [1, 2, 3], 4: [1, 2, 3], 5: [1, 2, 3]}
        assert store.epochs("tiny")["epoch"].tolist() == [1, 2, 3, 4, 5]  # with the end of the trial
