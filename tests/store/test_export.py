"""Trials with one column a choice."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from nas.store import Store, export
from tests.store.filling import fill, make_study


@pytest.fixture
def trials() -> pd.DataFrame:
    assignments: list[dict[str, object]] = [
        {"op": "conv", "op.channels": 8, "gate": True, "mixed": 1},
        {"op": "none", "gate": False, "mixed": "x2"},
        {"op": "conv", "op.channels": 16, "gate": True, "mixed": True},
        {"op": "max, with a comma", "gate": True, "mixed": 1.0},
    ]
    return pd.DataFrame({"trial": range(4), "accuracy": [0.1, 0.2, float("nan"), 0.4], "assignment": assignments})


def test_csv_has_words_and_numbers_as_a_space_file_has(trials: pd.DataFrame, tmp_path: Path) -> None:
    export.write(trials, tmp_path / "t.csv")
    found = pd.read_csv(tmp_path / "t.csv", dtype=str)
    assert found.columns.tolist() == [
        "trial",
        "accuracy",
        "choice.op",
        "choice.op.channels",
        "choice.gate",
        "choice.mixed",
    ]
    assert found["choice.op"].tolist() == ["conv", "none", "conv", "max, with a comma"]
    assert found["choice.op.channels"].fillna("").tolist() == ["8", "", "16", ""]
    assert found["choice.gate"].tolist() == ["true", "false", "true", "true"]
    assert found["choice.mixed"].tolist() == ["1", "x2", "true", "1.0"]
    assert found["accuracy"].isna().tolist() == [False, False, True, False]


def test_parquet_has_json(trials: pd.DataFrame, tmp_path: Path) -> None:
    export.write(trials, tmp_path / "t.parquet")
    found = pd.read_parquet(tmp_path / "t.parquet")
    assert found["choice.op"].tolist() == ['"conv"', '"none"', '"conv"', '"max, with a comma"']
    assert found["choice.op.channels"].isna().tolist() == [False, True, False, True]
    assert found["choice.mixed"].tolist() == ["1", '"x2"', "true", "1.0"]
    assert found["trial"].dtype == "int64"


def test_a_study_comes_back_whole(store: Store, tmp_path: Path) -> None:
    make_study(store)
    fill(store, "first", 8)
    frame = store.trials("first")
    export.write(frame, tmp_path / "t.csv")
    found = pd.read_csv(tmp_path / "t.csv", parse_dates=["started_at", "finished_at"])
    assert found["hash"].tolist() == frame["hash"].tolist()
    assert found["state"].tolist() == frame["state"].tolist()
    assert found["finished_at"].tolist() == frame["finished_at"].tolist()
    for name in frame["assignment"][0]:
        assert found[f"choice.{name}"].tolist() == [assignment[name] for assignment in frame["assignment"]]
    empty = tmp_path / "empty.csv"
    export.write(frame.head(0), empty)
    assert empty.read_text().startswith('"trial","id"')
