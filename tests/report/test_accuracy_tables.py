"""What a person reads about retrained weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nas.data import Dataset, Task
from nas.data.task import make_dataset
from nas.network.model_selection import Retrained, of_way
from nas.report.accuracy_tables import print_worth, remarks, worth_record
from nas.statistics.scores import Score
from nas.text.terminal import Terminal


def photos(*images: int) -> Dataset:
    """So many training images of each class, a quarter of them held out."""
    y = np.repeat(np.arange(len(images)), images)
    x = np.arange(len(y), dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 4), dtype=np.uint8)
    return make_dataset(
        Task("imagefolder:photos", validation=0.25), x, y, tuple(f"kind {place}" for place in range(len(images)))
    )


def way(validation: Score | None, test: Score, seeds: int = 3) -> Retrained:
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        scores = {"test": test} if validation is None else {"test": test, "validation": validation}
        facts = {"trial": 7, "hash": "h", "key": "k", "parameters": 10, "macs": 20, "weights": "seed.safetensors"}
        rows.append({**facts, "id": seed, "seed": seed, "state": "complete", "metric": "accuracy", "scores": scores})
    found = of_way(pd.DataFrame(rows))
    assert found is not None
    return found


def shown(retrained: Retrained, data: Dataset) -> str:
    console = Terminal(width=120)
    with console.capture() as captured:
        print_worth(console, retrained, data)
    return captured.get()


def test_validation_and_test_of_the_same_weights_stand_beside_each_other_class_by_class() -> None:
    data = photos(40, 40)
    text = shown(way(Score.of_counts((9, 7), (10, 10)), Score.of_counts((80, 75), (100, 100))), data)
    (line,) = [line for line in text.splitlines() if "kind 1" in line]
    assert line.split() == ["kind", "1", "70.0", "±", "14.9", "%", "10", "75.0", "±", "4.4", "%", "100"]
    assert "seed 0, the best of 3 on the validation images" in text
    assert "which is chance" in text
    assert "other shares" not in text


def test_a_difference_beyond_chance_is_said() -> None:
    data = photos(400, 400)
    (line,) = remarks(way(Score.of_counts((90, 38), (100, 100)), Score.of_counts((80, 14), (100, 100))), data)
    assert line.startswith("validation and test differ by 17.0 points, more than by chance (two standard errors: 9.")
    assert line.endswith("believe the test")


def test_test_images_of_another_mix_are_said_and_the_balanced_accuracy_does_not_follow_it() -> None:
    data = photos(300, 100)
    retrained = way(Score.of_counts((72, 10), (75, 25)), Score.of_counts((96, 40), (100, 100)))
    lines = remarks(retrained, data)
    assert (
        "the test images have other shares of the classes than the training images: kind 0 is 75% of the training images and 50% "
        "of the test images (1 more class likewise); compare by the balanced accuracy"
    ) in lines
    record = worth_record(retrained, data)
    assert round(record["test"]["balanced_accuracy"], 2) == record["test"]["accuracy"] == 0.68
    assert (record["validation"]["accuracy"], round(record["validation"]["balanced_accuracy"], 2)) == (0.82, 0.68)


def test_of_many_classes_the_worst_are_shown() -> None:
    data = photos(*[8] * 30)
    test = Score.of_counts(tuple(range(30)), (40,) * 30)
    text = shown(way(Score.of_counts((2,) * 30, (2,) * 30), test), data)
    assert "kind 0 " in text
    assert "kind 29" not in text
    assert "the 10 worst of 30 classes" in text


def test_without_a_validation_part_nothing_is_compared() -> None:
    data = photos(40, 40)
    text = shown(way(None, Score.of_counts((80, 75), (100, 100))), data)
    assert "no image was held out, so that nothing is chosen by validation" in text
    assert "validation and test differ" not in text
