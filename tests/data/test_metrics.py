"""Metrics of a search: by name, as scikit-learn has them, measured only where somebody asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

import nas
from nas.data import Batches, Task, load
from nas.data.metrics import METRICS
from nas.data.task_type import CLASSIFICATION, Classification
from nas.errors import NasError, SearchError
from nas.objectives import OBJECTIVES
from nas.searches.options import SearchOptions
from nas.train import evaluate
from tests.conftest import Run


def _answers(classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (300, classes))
    labels = np.where(rng.random(300) < 0.6, logits.argmax(1), rng.integers(0, classes, 300))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels


def test_metrics_are_those_of_scikit_learn() -> None:
    p, y = _answers()
    said = p.argmax(1)
    expected = {
        "balanced_accuracy": balanced_accuracy_score(y, said),
        "macro_f1": f1_score(y, said, average="macro"),
        "auc": roc_auc_score(y, p, multi_class="ovr"),
        "log_loss": log_loss(y, p),
    }
    for name, value in expected.items():
        assert METRICS[name](p, y) == pytest.approx(value)
    p, y = _answers(2)
    assert METRICS["auc"](p, y) == pytest.approx(roc_auc_score(y, p[:, 1]))


def test_the_calibration_error_is_what_confidence_and_accuracy_differ_by() -> None:
    sure = np.array([[0.95, 0.05]] * 10 + [[0.6, 0.4]] * 10)
    labels = np.array([0] * 5 + [1] * 5 + [0] * 6 + [1] * 4)
    assert METRICS["calibration_error"](sure, labels) == pytest.approx((10 * 0.45 + 0) / 20)


def test_a_class_without_an_image_counts_in_none() -> None:
    p, y = _answers(4)
    some = y != 2
    for name, measure in METRICS.items():
        assert np.isfinite(measure(p[some], y[some])), name
    said = p[some].argmax(1)
    recalls = [(said[y[some] == label] == label).mean() for label in (0, 1, 3)]
    assert METRICS["balanced_accuracy"](p[some], y[some]) == pytest.approx(np.mean(recalls))


def test_they_are_measured_where_somebody_asks() -> None:
    data = load(Task("digits"))
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
    batches = Batches(data.validation, data, 100)
    plain = evaluate(model, batches)
    asked = evaluate(model, batches, task_type=CLASSIFICATION.reporting(["accuracy", "macro_f1", "log_loss", "top5"]))
    assert set(plain) == {"accuracy", "top5", "loss"}
    assert set(asked) == {*plain, "macro_f1", "log_loss"}
    assert asked["log_loss"] == pytest.approx(plain["loss"], abs=1e-5)
    assert {name: asked[name] for name in plain} == plain


def test_the_metric_takes_the_place_of_accuracy() -> None:
    assert SearchOptions("plain", metric="macro_f1, auc").objectives == ("macro_f1", "parameters")
    assert SearchOptions("plain", metric="accuracy,auc").objectives == ("accuracy", "parameters")
    assert SearchOptions("plain", objectives=("macs", "macro_f1"), metric="macro_f1").objectives == ("macs", "macro_f1")
    for metric in ("macs", "makro_f1"):
        with pytest.raises(SearchError, match=rf"metric: must be one of accuracy, .*, not '{metric}'"):
            SearchOptions("plain", metric=metric)
    with pytest.raises(SearchError, match="data 'digits': a training reports loss, accuracy, top5, and no exact_match"):
        nas.search("nas_bench_macro", metric="exact_match", trials=1)


def test_a_metric_of_ones_own_is_known_by_its_name() -> None:
    @nas.register_metric("worst_class")
    def worst_class(probabilities: np.ndarray, labels: np.ndarray) -> float:
        right = probabilities.argmax(1) == labels
        return float(min(right[labels == label].mean() for label in np.unique(labels)))

    try:
        assert SearchOptions("plain", metric="worst_class").objectives == ("worst_class", "parameters")
        assert isinstance(CLASSIFICATION.reporting(["worst_class"]), Classification)
        assert "worst_class" in CLASSIFICATION.reporting(["worst_class"]).reported()
        with pytest.raises(NasError, match="exists already|nas has one of that name"):
            nas.register_metric("macro_f1")(worst_class)
    finally:
        METRICS.remove("worst_class")
        del OBJECTIVES["worst_class"]


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_a_search_by_a_metric_ends_with_a_front_of_it(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\ninput: [1, 16, 16]\ngraph:\n  stem: {block: conv, channels: {choose: [4, 8, 16]}, stride: 2}\n"
        "  head: {block: classifier}\n"
    )
    options = ("--space", "tiny.yaml", "--trials", "2", "--steps", "120")
    code, out, err = run("search", *options, "--study", "before")
    assert code == 0, err
    code, out, err = run("search", *options, "--metric", "macro_f1,calibration_error")
    assert code == 0, err
    assert "macro f1" in out
    assert (tmp_path / "tiny-digits.png").is_file()  # the picture is of this metric
    assert err.count("calibration error") == 2  # what was measured by accuracy alone is measured again
    trials = nas.load_study("tiny-digits", "sqlite:///nas.db").trials()
    assert trials[["macro_f1", "calibration_error", "accuracy"]].notna().all(axis=None)
    code, out, err = run("study", "pareto", "tiny-digits")
    assert code == 0, err
    assert "macro f1" in out
