"""What TensorBoard, MLflow and a tracker of a user's own are told of a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas.architecture.cost import Cost
from nas.errors import SearchError
from nas.searches.options import SearchOptions
from nas.searches.progress import EndedTrial, Progress
from nas.searches.trackers import TRACKERS, Tracker, register_tracker
from nas.searches.tracking import tracked
from nas.train import Epoch

FIRST, SECOND = "a" * 64, "b" * 64


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def _search(progress: Progress) -> None:
    """Two trials, the second of which is cut off, and a retraining."""
    progress.begin("s", pd.DataFrame({"state": []}), ("accuracy", "parameters"), 2, None)
    for epoch in (1, 2):
        for network in (FIRST, SECOND):
            told = Epoch(epoch, 1.0 / epoch, float("nan"), 0.4 * epoch, 0.9, 1.0, 100.0, 0.1)
            progress.epoch(network, told, 3)
    cost = Cost(parameters=1234, macs=5678, activation_bytes=9)
    progress.finished(EndedTrial(0, FIRST, cost, "kong_aim", "complete", 0.8, seconds=2.0), 1)
    progress.end()
    trainings = progress.of_trainings()
    trainings.begin("trial 0 seed 1", 2, 0)
    trainings.epoch("trial 0 seed 1", Epoch(1, 1.0, 0.5, 0.75, 0.9, 1.0, 100.0, 0.1))
    trainings.end("trial 0 seed 1")


def test_tensorboard_has_a_curve_of_each_training(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    _search(tracked(Progress(), [f"tensorboard:{tmp_path / 'runs'}"], "a study/ü"))
    [study] = (tmp_path / "runs").iterdir()
    curves = {}
    for folder in study.iterdir():
        found = events.EventAccumulator(str(folder)).Reload()
        curves[folder.name] = {
            name: [(point.step, round(point.value, 5)) for point in found.Scalars(name)]
            for name in ("accuracy", "train_loss")
        }
        assert "loss" not in found.Tags()["scalars"] or folder.name.startswith("trial"), "a NaN is no point"
    assert (
        curves[FIRST[:8]] == curves[SECOND[:8]] == {"accuracy": [(1, 0.4), (2, 0.8)], "train_loss": [(1, 1), (2, 0.5)]}
    )
    assert [curve["accuracy"] for name, curve in curves.items() if name.startswith("trial")] == [[(1, 0.75)]]


@pytest.mark.long
def test_mlflow_has_a_run_of_each_training(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    _search(tracked(Progress(), [f"mlflow:{uri}"], "s"))
    client = mlflow.MlflowClient(uri)
    runs = {run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("s").experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {
        FIRST[:8]: "FINISHED",
        SECOND[:8]: "KILLED",
        "trial 0 seed 1": "FINISHED",
    }
    first = runs[FIRST[:8]]
    assert first.data.params == {
        "trial": "0", "hash": FIRST, "state": "complete", "published": "kong_aim",
        "parameters": "1234", "macs": "5678", "activation_bytes": "9",
    }  # fmt: skip
    assert first.data.metrics["final_accuracy"] == 0.8
    curve = client.get_metric_history(first.info.run_id, "accuracy")
    assert [(point.step, point.value) for point in curve] == [(1, 0.4), (2, 0.8)]


def test_a_tracker_of_ones_own_that_breaks_is_told_of_and_ends_no_search() -> None:
    told: list[str] = []

    @register_tracker("mine")
    class Mine(Tracker):
        def __init__(self, study: str, place: str) -> None:
            told.append(f"{study} {place}")

        def epoch(self, training: str, epoch: int, values: Mapping[str, Any]) -> None:
            told.append(f"{training} {epoch}")
            if epoch == 2:
                raise OSError("no room\nat all")

    try:
        notes = Notes()
        _search(tracked(notes, ["mine:over:there"], "s"))
    finally:
        TRACKERS.remove("mine")  # type: ignore[attr-defined]
    assert told == ["s over:there", f"{FIRST[:8]} 1", f"{SECOND[:8]} 1", f"{FIRST[:8]} 2"]
    assert notes.notes == ["mine is not told of this search any more: no room at all"]


def test_what_cannot_work_is_refused_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(
        SearchError, match="no tracker 'tensorbord'; known: tensorboard, mlflow; did you mean 'tensorboard'?"
    ):
        SearchOptions("attn_cnn", track=["tensorbord:x"])
    with pytest.raises(SearchError, match="leave user and password out, and set MLFLOW_TRACKING_USERNAME"):
        tracked(Progress(), ["mlflow:https://me:secret@host/x"], "s")
    (tmp_path / "file").write_text("")
    with pytest.raises(SearchError, match="cannot be written"):
        tracked(Progress(), [f"tensorboard:{tmp_path / 'file'}"], "s")
