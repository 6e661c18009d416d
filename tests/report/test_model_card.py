"""The card beside a model: front matter that can be read, every class, and names of others that stay text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from nas.config.recipe import Recipe
from nas.data import Dataset, Split, Task
from nas.data.overview import Overview
from nas.errors import NasError
from nas.export.int8 import Quantized
from nas.fits.choice import Candidate, Choice
from nas.network.model_selection import Retrained
from nas.report.model_card import card_path, model_card, write_card
from nas.report.verdict import seen_lines
from nas.statistics.scores import Score

NAMES = ("plum", "a | b `c` <script>", "Zwetschge ü")


def _card() -> str:
    scores = {
        "validation": Score.of_counts((8, 7, 9), (10, 10, 10)),
        "test": Score.of_counts((80, 70, 90), (100, 100, 100)),
    }
    kept = {"scores": scores, "seed": 1, "recipe": Recipe(epochs=3), "weights": "w"}
    way = Retrained(4, "f" * 32, 1_234, 99_000, kept, "accuracy", (0.8,), (0.8,))
    chosen = Candidate("trial 4", "s:4", 1_234, 99_000, 0.8, 0.07, way)
    empty = Split(np.zeros((3, 3, 8, 8), np.uint8), np.arange(3))
    data = Dataset(Task("imagefolder:x"), empty, empty, NAMES, (0.5,) * 3, (0.2,) * 3)
    seen = Overview(NAMES, (30, 30, 30), None, (100, 100, 100), False, {(8, 8): 90}, None)
    int8 = Quantized("accuracy", 0.8, 0.79, 300, 90, 4_000, 2_000)
    return model_card(
        "my: study\n---\nlicense: none", seen, Choice(chosen, None, None, None), [chosen], data,
        ["model.py", "model.safetensors", "model.onnx"], ["a note"], int8,
    )  # fmt: skip


def test_the_front_matter_is_yaml_and_holds_the_result() -> None:
    _, front, _ = _card().split("---\n", 2)
    read = yaml.safe_load(front)
    assert set(read) == {"library_name", "pipeline_tag", "tags", "metrics", "model-index"}, "a name adds no key"
    (result,) = read["model-index"][0]["results"]
    assert [metric["value"] for metric in result["metrics"]] == [0.8, 0.8]
    assert "onnx" in read["tags"]
    assert "license" not in read


def test_every_class_has_its_accuracy_and_names_stay_text() -> None:
    text = _card()
    assert "| plum | 80.0 ± " in text
    assert "<script>" not in text
    assert "a \\| b \\`c\\` \\<script\\>" in text
    assert "INT8: accuracy 79.0 ± 2.4 % on 300 test images" in text.replace("\\", "")
    assert 'model.predict("photo.jpg")' in text
    assert "epochs: 3" in text


def test_a_readme_of_a_person_stays(tmp_path: Path) -> None:
    assert card_path(tmp_path).name == "README.md"
    (tmp_path / "README.md").write_text(_card())
    assert card_path(tmp_path).name == "README.md", "the card of an earlier run is written anew"
    (tmp_path / "README.md").write_text("# My project\n")
    assert card_path(tmp_path).name == "MODEL_CARD.md"


def test_a_card_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    way = Candidate("trial 4", "s:4", 1, 1, 0.8, None, None)
    empty = Split(np.zeros((3, 3, 8, 8), np.uint8), np.arange(3))
    data = Dataset(Task("imagefolder:x"), empty, empty, NAMES, (0.5,) * 3, (0.2,) * 3)
    seen = Overview(NAMES, (30, 30, 30), None, (100, 100, 100), False, {(8, 8): 90}, None)
    with pytest.raises(NasError, match=r"README.md: cannot be written: Is a directory"):
        write_card(tmp_path / "README.md", "s", seen, Choice(way, None, None, None), [way], data, [], [])


def test_a_line_of_what_is_in_a_folder_stays_one_whatever_a_class_is_called() -> None:
    seen = Overview(("a\nb", "\x1b[31mc"), (3, 3), None, (1, 1), True, {(8, 8): 6}, None)
    assert seen_lines(seen)[0] == "2 classes: a\\nb, \\x1b[31mc"
