"""What answers are worth: metrics by name, class by class, and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

import nas
from nas.data.metrics import METRICS
from nas.data.multi_label import MULTI_LABEL
from nas.data.task_type import CLASSIFICATION
from nas.objectives import OBJECTIVES
from nas.statistics.bootstrap import resampled, spread
from nas.statistics.proportion import standard_error
from nas.statistics.scores import Score
from nas.train.scoring import score
from tests.test_segmentation import Segmentation


def answers(images: int, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are right more often than not, and the classes."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (images,), generator=generator)
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), y] += 1.5
    return logits, y


def labels(images: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (images, 3), generator=generator)
    return torch.randn(images, 3, generator=generator) + 1.5 * y, y


def test_accuracies_have_the_errors_of_the_formula() -> None:
    logits, y = answers(200)
    found = score(CLASSIFICATION.reporting(["balanced_accuracy"]), logits, y)
    right = torch.bincount(y[logits.argmax(1) == y], minlength=4).tolist()
    counted = Score.of_counts(right, torch.bincount(y, minlength=4).tolist())
    for metric in ("accuracy", "balanced_accuracy"):
        assert found.value(metric) == pytest.approx(counted.value(metric))
        assert found.error(metric) == pytest.approx(counted.error(metric))
    assert found.classes == counted.classes
    assert (found.images, found.class_metric) == (200, "accuracy")
    assert found.value("loss") == pytest.approx(float(torch.nn.functional.cross_entropy(logits, y)), rel=1e-5)


def test_what_has_no_formula_has_the_error_of_the_bootstrap() -> None:
    """Log loss is a mean, so that there is a formula to compare with."""
    logits, y = answers(200, classes=3)
    found = score(CLASSIFICATION.reporting(["log_loss", "macro_f1", "auc"]), logits, y)
    losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    assert found.error("log_loss") == pytest.approx(float(losses.std()) / math.sqrt(200), rel=0.15)
    assert found.value("macro_f1") == pytest.approx(f1_score(y, logits.argmax(1), average="macro"))
    for metric in ("macro_f1", "auc"):
        assert 0 < (found.error(metric) or 0) < 0.05
    logged = CLASSIFICATION.reporting(["log_loss"])
    assert score(logged, logits, y) == score(logged, logits, y), "it is seeded"


def test_several_labels_have_an_average_precision_each() -> None:
    logits, y = labels(200)
    found = score(MULTI_LABEL, logits, y)
    assert found.class_metric == "average_precision"
    for place, one in enumerate(found.classes):
        assert one.value == pytest.approx(average_precision_score(y[:, place], logits[:, place]))
        assert one.images == int(y[:, place].sum())
        assert 0 < (one.error or 0) < 0.1
    mean = "mean_average_precision"
    assert found.value(mean) == pytest.approx(average_precision_score(y, logits))
    assert found.value("macro_f1") == pytest.approx(f1_score(y, logits > 0, average="macro"), abs=1e-6)
    assert found.error("exact_match") == standard_error(found.value("exact_match"), 200)
    assert (found.error(mean) or 0) < min(one.error or 0 for one in found.classes), "a mean is surer than its parts"
    few = score(MULTI_LABEL, logits[:50], y[:50])
    assert 1.4 < (few.error(mean) or 0) / (found.error(mean) or 1) < 2.9, "about twice, on a quarter of the images"


def test_a_label_that_no_image_has_is_left_out() -> None:
    logits, y = labels(60)
    y[:, 1] = 0
    found = score(MULTI_LABEL, logits, y)
    assert (found.classes[1].value, found.classes[1].error, found.classes[1].images) == (None, None, 0)
    kept = [found.of(place)[0] or 0 for place in (0, 2)]
    assert found.value("mean_average_precision") == pytest.approx(sum(kept) / 2)


def test_labels_in_the_image_have_metrics_and_no_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 2, (40, 6, 6), generator=generator)
    logits = torch.randn(40, 2, 6, 6, generator=generator)
    logits.scatter_add_(1, y[:, None], torch.full((40, 1, 6, 6), 1.0))
    found = score(Segmentation(), logits, y)
    said = logits.argmax(1)
    ious = [float(((said == one) & (y == one)).sum() / ((said == one) | (y == one)).sum()) for one in (0, 1)]
    assert found.value("iou") == pytest.approx(sum(ious) / 2)
    assert 0 < (found.error("iou") or 0) < 0.05
    assert (found.classes, found.class_metric) == ((), "")


def test_a_metric_that_resamples_break_has_no_error() -> None:
    def brittle(probabilities: np.ndarray, y: np.ndarray) -> float:
        if len(np.unique(probabilities[:, 0])) < len(y):
            raise ValueError("an image stands there twice")
        return float(probabilities[:, 0].mean())

    nas.register_metric("brittle")(brittle)
    try:
        logits, y = answers(50)
        found = score(CLASSIFICATION.reporting(["brittle"]), logits, y)
    finally:
        METRICS.remove("brittle")
        del OBJECTIVES["brittle"]
    assert found.value("brittle") == pytest.approx(float(logits.double().softmax(1)[:, 0].mean()))
    assert found.error("brittle") is None


def test_resamples_draw_with_replacement_and_from_a_seed() -> None:
    first, second = (list(resampled(30, 7, 20)) for _ in range(2))
    assert all((one == two).all() for one, two in zip(first, second, strict=True))
    assert all(len(one) == 30 for one in first)
    assert any(len(np.unique(one)) < 30 for one in first)
    values = np.array([[1.0, np.nan, 1.0], [2.0, np.nan, 1.0], [3.0, 5.0, 1.0], [np.nan, np.nan, 1.0]])
    found = spread(values)
    assert found[0] == pytest.approx(1.0)
    assert math.isnan(found[1])
    assert math.isnan(found[2]), "what is the same in every sample is not certain"
