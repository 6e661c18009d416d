"""Trials from start to finish, and how they are read back."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import event

from nas.errors import StorageError
from nas.space.space import Space
from nas.states import FINISHED, State
from nas.store import Store
from tests.store.filling import ENVIRONMENT, INPUT, curve, draw, fill, finish, make_study, start


def test_the_states_are_those_of_training() -> None:
    assert set(FINISHED) == {str(state) for state in State}


def test_numbers_are_the_order_of_finishing(store: Store) -> None:
    rng = random.Random(0)
    make_study(store)
    with store.claim("first"):
        ids = [start(store, "first", rng) for _ in range(4)]
        assert store.running("first") == 4
        assert store.trials("first").empty
        order = [ids[2], ids[0], ids[3], ids[1]]
        assert [finish(store, trial_id) for trial_id in order] == [0, 1, 2, 3]
        assert store.trials("first")["id"].tolist() == order
        assert store.running("first") == 0


def test_a_trial_comes_back_as_it_was(store: Store) -> None:
    space = Space.load("nas_bench_macro")
    assignment, _, architecture = draw(space, random.Random(3))
    make_study(store)
    with store.claim("first"):
        trial_id = start(store, "first", random.Random(3), published="kong_aim_cam")
        finish(store, trial_id, 0.875, epochs=curve(0.875))
    frame = store.trials("first")
    row: dict[str, Any] = frame.iloc[0].to_dict()
    assert row["assignment"] == assignment
    assert [type(value) for value in row["assignment"].values()] == [type(value) for value in assignment.values()]
    assert row["hash"] == architecture.hash
    assert store.architecture(row["hash"]).hash == architecture.hash
    assert (row["trial"], row["state"], row["accuracy"], row["published"]) == (0, "complete", 0.875, "kong_aim_cam")
    assert (row["epochs"], row["seconds"], row["device"]) == (3, 1.5, "cpu")
    assert frame["reason"].isna().all()
    assert frame["parameters"].dtype == np.int64
    assert store.environments("first") == {row["environment"]: ENVIRONMENT}
    learning = store.epochs("first")
    assert learning["epoch"].tolist() == [1, 2, 3]
    assert learning["accuracy"].tolist() == pytest.approx([0.875 / 3, 0.875 * 2 / 3, 0.875])


def test_frames_of_an_empty_study_have_their_columns_and_types(store: Store) -> None:
    make_study(store)
    empty = store.trials("first")
    fill(store, "first", 6)
    assert empty.columns.tolist() == store.trials("first").columns.tolist()
    assert empty["accuracy"].dtype == store.trials("first")["accuracy"].dtype
    assert "assignment" not in store.trials("first", assignments=False)


def test_epochs_are_kept_as_they_come_and_never_doubled(store: Store) -> None:
    make_study(store)
    with store.claim("first"):
        trial_id = start(store, "first", random.Random(0))
        for epochs in (curve(0.1)[:1], curve(0.6)[:2]):
            store.record_epochs("first", {trial_id: epochs})
        assert store.epochs("first")["trial"].isna().tolist() == [True, True]
        finish(store, trial_id, 0.6, epochs=curve(0.6))
    assert store.epochs("first")["epoch"].tolist() == [1, 2, 3]
    assert store.trials("first")["epochs"].tolist() == [3]


def test_numbers_that_are_not_finite_are_missing(store: Store) -> None:
    make_study(store)
    with store.claim("first"):
        trial_id = start(store, "first", random.Random(0))
        store.record_epochs("first", {trial_id: [{"epoch": 1, "loss": math.nan, "train_loss": math.inf}]})
        finish(store, trial_id, math.nan, "diverged", epochs=[], loss=math.inf, top5=None, reason="nan")
    row = store.trials("first").iloc[0]
    assert np.isnan(row["accuracy"])
    assert np.isnan(row["loss"])
    assert store.epochs("first")[["loss", "train_loss"]].isna().all(axis=None)


def test_what_a_finish_refuses_leaves_the_trial_running(store: Store) -> None:
    make_study(store)
    with store.claim("first"):
        trial_id = start(store, "first", random.Random(0))
        for says, wrong in (
            ("finite accuracy", {"accuracy": math.nan}),
            ("ends in one of", {"state": "done"}),
            ("holds numbers", {"epochs": [{"epoch": 1, "loss": "low"}]}),
        ):
            with pytest.raises(ValueError, match=says):
                finish(store, trial_id, **{"accuracy": 0.5, "epochs": [], **wrong})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no trial in row 99"):
            finish(store, 99)
        assert store.running("first") == 1
        assert store.epochs("first").empty
        assert finish(store, trial_id) == 0
        with pytest.raises(ValueError, match="is not running"):
            finish(store, trial_id)
    assert len(store.trials("first")) == 1


def test_a_choice_has_the_same_options_in_all_of_a_study(store: Store) -> None:
    space = Space.load("nas_bench_macro")
    assignment, options, architecture = draw(space, random.Random(0))
    name = next(iter(assignment))
    from nas.architecture.cost import cost

    known = {"architecture": architecture, "cost": cost(architecture, INPUT, 10), "assignment": assignment}
    make_study(store)
    with store.claim("first"):
        store.start_trial("first", options=options, **known)
        with pytest.raises(StorageError, match=f"the choice '{name}' had the options"):
            store.start_trial("first", options={**options, name: (*options[name], "more")}, **known)
        with pytest.raises(ValueError, match="none of the options"):
            store.start_trial("first", options=options, **{**known, "assignment": {**assignment, name: "other"}})
    with store.claim("first"), pytest.raises(StorageError, match="a changed space needs a new --study"):
        store.start_trial("first", options={**options, name: tuple(reversed(options[name]))}, **known)


def test_a_result_is_found_across_studies_under_the_same_task_and_recipe(store: Store) -> None:
    make_study(store, "first")
    make_study(store, "same", seed=7, objectives=["accuracy", "macs"])
    make_study(store, "longer", recipe={"epochs": 30, "seed": 0, "lr": 0.1})
    with store.claim("first"):
        trial_id = start(store, "first", random.Random(0))
        digest = draw(Space.load("nas_bench_macro"), random.Random(0))[2].hash
        assert store.find_result("same", digest) is None
        finish(store, trial_id, 0.7)
    found = store.find_result("same", digest)
    assert found is not None
    assert (found.study, found.number, found.values["accuracy"], found.row) == ("first", 0, 0.7, trial_id)
    assert store.find_result("longer", digest) is None
    with store.claim("same"):
        copied = start(store, "same", random.Random(0))
        store.take_over(copied, found)
    row: dict[str, Any] = store.trials("same").iloc[0].to_dict()
    assert (row["source"], row["state"], row["accuracy"], row["seconds"]) == (trial_id, "complete", 0.7, 0.0)
    assert (row["epochs"], row["device"], row["reason"]) == (3, "cpu", "the result of trial 0 of study 'first'")
    assert store.epochs("same")["accuracy"].tolist() == store.epochs("first")["accuracy"].tolist()
    assert store.environments("same") == store.environments("first")
    assert store.find_result("first", digest) == found  # never the copy


def test_where_the_data_lie_counts_only_without_a_fingerprint(store: Store) -> None:
    task: dict[str, object] = {"dataset": "imagefolder", "root": "/a", "validation": 0.2}
    rows = [
        store.study(make_study(store, name, task={**task, **change}))
        for name, change in (
            ("a", {}),
            ("b", {"root": "/b"}),
            ("c", {"fingerprint": "f"}),
            ("d", {"root": "/b", "fingerprint": "f"}),
        )
    ]
    keys = [row.key("h") for row in rows]
    assert keys[0] != keys[1]
    assert keys[2] == keys[3] != keys[0]


def test_the_list_of_studies(store: Store) -> None:
    assert store.studies() == []
    make_study(store)
    fill(store, "first", 12)
    make_study(store, "second", "attn_cnn", objectives=["accuracy", "macs"])
    row = store.studies()[0]
    assert (row["study"], row["space"], row["data"], row["trials"], row["complete"]) == (
        "first",
        "nas_bench_macro",
        "digits",
        12,
        10,
    )
    assert row["best_accuracy"] == store.trials("first")["accuracy"].max()
    assert [study["objectives"] for study in store.studies()] == [["accuracy", "parameters"], ["accuracy", "macs"]]


def test_reading_many_trials_takes_few_statements(store: Store) -> None:
    """5,000 trials, by copying rows."""

    from sqlalchemy import text

    make_study(store)
    fill(store, "first", 10)
    with store._engine.begin() as connection:
        columns = [row[1] for row in connection.execute(text("PRAGMA table_info(nas_trials)")) if row[1] != "id"]
        chosen = ", ".join("number + 10 * n" if name == "number" else name for name in columns)
        connection.execute(
            text(
                "WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < 499) "
                f"INSERT INTO nas_trials ({', '.join(columns)}) SELECT {chosen} FROM nas_trials, counter"
            )
        )
    statements: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    frame = store.trials("first")
    assert len(statements) < 20, "as many for 5,000 trials as for ten"
    assert len(frame) == 5000
    assert frame["trial"].is_monotonic_increasing


def test_the_front_is_that_of_all_trials(store: Store) -> None:
    from nas.pareto import pareto

    make_study(store)
    fill(store, "first", 40)
    everything = pareto(store.trials("first"), ("accuracy", "parameters"))
    assert 1 < len(everything) < 40
    pd.testing.assert_frame_equal(store.front("first").reset_index(drop=True), everything.reset_index(drop=True))
    make_study(store, "empty")
    assert store.front("empty").columns.tolist() == everything.columns.tolist()
