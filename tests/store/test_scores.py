"""What retrained networks are worth, as it is stored: by metric and class, and as older versions wrote it."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest

from nas.errors import StorageError
from nas.statistics.scores import ClassScore, Estimate, Score
from nas.store import Store
from tests.store.filling import finish, make_study, measure, start

TEST = Score(
    {"mean_average_precision": Estimate(0.62, 0.03), "loss": Estimate(0.4), "macro_f1": Estimate(0.5, 0.02)},
    120,
    (ClassScore(0.7, 0.05, 30), ClassScore(None, None, 0)),
    "average_precision",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        make_study(store, objectives=["mean_average_precision", "parameters"])
        with store.claim("first"):
            number = start(store, "first", random.Random(0))
            finish(store, number, None, values={"mean_average_precision": 0.6})
    return tmp_path / "nas.db"


def test_scores_are_read_as_they_were_written(file: Path) -> None:
    with Store.open(f"sqlite:///{file}") as store:
        measure(store, "first", 0, "retrain", scores={"test": TEST, "validation": TEST})
        (row,) = store.measurements().to_dict("records")
    assert row["scores"] == {"test": TEST, "validation": TEST}
    assert row["metric"] == "mean_average_precision"
    assert row["accuracy"] != row["accuracy"], "the task has none"
    assert row["loss"] == 0.4


def test_right_answers_of_an_older_version_are_accuracies(file: Path) -> None:
    with Store.open(f"sqlite:///{file}", create=True) as store:
        measure(store, "first", 0, "replay", scores={})
    with sqlite3.connect(file) as database:
        database.execute(
            "INSERT INTO nas_scores (measurement_id, part, right, images) VALUES (1, 'test', ?, ?)",
            (json.dumps([8, 3]), json.dumps([10, 4])),
        )
    with Store.open(f"sqlite:///{file}") as store:
        (row,) = store.measurements().to_dict("records")
    assert row["scores"] == {"test": Score.of_counts((8, 3), (10, 4))}
    assert row["metric"] == "accuracy"


def test_a_version_before_that_has_its_accuracy_alone(file: Path) -> None:
    with Store.open(f"sqlite:///{file}") as store:
        measure(store, "first", 0, "replay", scores={})
    with sqlite3.connect(file) as database:
        database.execute("UPDATE nas_measurements SET accuracy = 0.75")
        database.execute("DROP TABLE nas_score_values")
        database.execute("DROP TABLE nas_scores")
    with Store.open(f"sqlite:///{file}") as store:
        (row,) = store.measurements().to_dict("records")
    assert row["scores"] == {"test": Score({"accuracy": Estimate(0.75)})}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("value = 'much'", "loss holds something that is no number"),
        ("images = -1", "are no count: -1"),
        ("place = 7 WHERE place = 1", "lacks class 1"),
    ],
)
def test_a_row_edited_by_hand_is_one_line(file: Path, change: str, says: str) -> None:
    with Store.open(f"sqlite:///{file}") as store:
        measure(store, "first", 0, "retrain", scores={"test": TEST})
    with sqlite3.connect(file) as database:
        database.execute(f"UPDATE nas_score_values SET {change}")
    with Store.open(f"sqlite:///{file}") as store, pytest.raises(StorageError) as refused:
        store.measurements()
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
