"""From a table of images with several labels to a model to use, as a user types it: real digits, two or none on an image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import nas
from tests.conftest import Run

SHOWN = 4
"""Digits that there are, from 0 on."""


def write_table(folder: Path, images: int = 240, tested: int = 80) -> Path:
    """Images of 16 by 16 pixels, in each quarter of which a digit may stand; the digits that do are its labels."""
    rng = np.random.default_rng(0)
    digits = load_digits()
    pixels = (digits.images * (255 / 16)).round().astype(np.uint8)
    is_test = np.arange(len(pixels)) % 4 == 0
    rows = ["path,tags,split"]
    for place in range(images + tested):
        part = "test" if place >= images else "train"
        pool = np.flatnonzero((is_test == (part == "test")) & (digits.target < SHOWN))
        picture, said = np.zeros((16, 16), np.uint8), set()
        for quarter in rng.permutation(4)[: rng.integers(0, 3)]:
            one = rng.choice(pool)
            top, left = 8 * (quarter // 2), 8 * (quarter % 2)
            picture[top : top + 8, left : left + 8] = pixels[one]
            said.add(f"digit {digits.target[one]}")
        Image.fromarray(picture).save(folder / f"{place}.png")
        rows.append(f"{place}.png,{'|'.join(sorted(said))},{part}")
    (folder / "tags.csv").write_text("\n".join(rows))
    return folder / "tags.csv"


@pytest.mark.long
def test_a_table_of_several_labels_becomes_a_model_with_a_verdict(run: Run, tmp_path: Path) -> None:
    table = write_table(tmp_path)
    options = (
        "--max-parameters",
        "30k",
        "--max-macs",
        "2M",
        "--trials",
        "2",
        "--steps",
        "60",
        "--references",
        "resnet8",
    )
    code, out, err = run("fit", str(table), *options)
    assert code == 0, err
    assert "4 labels: digit 0, digit 1, digit 2, digit 3; an image has 1." in out
    assert re.search(
        r"240 images to learn from \(\d+ to \d+ of a label\); 80 images to test \(as the table says\)", out
    )
    assert re.search(r"Take .*: [\d,]+ parameters", out)
    assert "(mean average precision; standard error " in out
    word = re.search(r"predict +nas predict (\S+) photo.jpg", out)
    assert word is not None
    folder = tmp_path / "tags-fit"
    page, card = (folder / "verdict.html").read_text(), (folder / "README.md").read_text()
    for text in (page, card):
        assert "digit 3" in text
        assert "average precision" in text
        assert "nan" not in text.lower()
    assert "<svg" in page
    assert 'model.labels("photo.jpg")' in card
    assert "each class alike" not in out + page + card

    code, out, err = run("fit", str(table), *options, "--json")
    assert code == 0, err
    assert "epoch 1/" not in err, "what is trained is not trained again"
    record = json.loads(out)
    assert record["chosen"] == word[1]
    for one in record["networks"]:
        _check_network(one)

    _check_predictions(run, folder, word[1], tmp_path / "300.png")
    trial = next(one["network"] for one in record["networks"] if not one["reference"])
    number = trial.rpartition(":")[2]
    code, out, err = run("retrain", "--study", "tags", "--trial", number, "--seeds", "2", "--json")
    assert code == 0, err
    (again,) = json.loads(out)
    assert (again["metric"], again["trained"], again["seeds"]) == ("mean_average_precision", [], 2)
    assert again["kept"]["chosen_by"] == "validation mean average precision"
    pictures = {Path(file).name for file in again["files"] if file.endswith(".png")}
    assert pictures == {"curves.png", "gradcam.png"}, "an image of several labels is in no row of a confusion matrix"
    code, out, err = run("choose", "--study", "tags", "--max-parameters", "30k")
    assert code == 0, err
    assert re.match(r"\S+  mean average precision \d+\.\d ± \d+\.\d % validation", out)
    code, out, err = run("compare", "--study", "tags", "--references", "resnet8", "--json")
    assert code == 0, err
    assert json.loads(out)["networks"] == record["networks"]
    code, out, err = run("report", "--study", "tags", "-o", "page.html")
    assert code == 0, err
    assert "best validation mean average precision" in Path("page.html").read_text()
    code, out, err = run("study", "pareto", "tags", "-o", "front.png")
    assert code == 0, err
    Image.open("front.png").verify()
    fitted = nas.fit(table, max_parameters=30_000, max_macs=2e6, trials=2, steps=60, references=["resnet8"])
    assert fitted.chosen is not None
    assert (fitted.chosen.metric, fitted.chosen.accuracy) == ("mean_average_precision", None)
    assert 0 < fitted.chosen.value <= 1
    assert "<svg" in fitted._repr_html_()


def _check_network(one: dict[str, Any]) -> None:
    assert (one["metric"], one["retrained"]) == ("mean_average_precision", True)
    test = one["test"]
    assert test["images"] == 80
    assert 0.3 < test["mean_average_precision"] <= 1
    for metric in ("mean_average_precision", "macro_f1", "exact_match"):
        assert 0 < test["standard_errors"][metric] < 0.2
    values = [label["average_precision"] for label in test["classes"]]
    assert [label["class"] for label in test["classes"]] == [f"digit {place}" for place in range(SHOWN)]
    assert test["mean_average_precision"] == pytest.approx(sum(values) / SHOWN)


def _check_predictions(run: Run, folder: Path, word: str, photo: Path) -> None:
    """What is exported says what nas says, on its own."""
    code = (
        f"import sys, json; sys.path.insert(0, {str(folder)!r}); import model; path = {str(photo)!r}; "
        "print(json.dumps([model.predict(path), model.labels(path)]))"
    )
    alone = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    shares, said = json.loads(alone.stdout)
    ended, out, err = run("predict", word, str(photo), "--json")
    assert ended == 0, err
    (found,) = json.loads(out)
    assert {one["class"]: one["probability"] for one in found["classes"]} == pytest.approx(shares, abs=1e-5)
    assert sorted(found["said"]) == sorted(said)
    assert said == [name for name, share in shares.items() if share > 0.5]
    typed = subprocess.run(
        [sys.executable, "-I", folder / "model.py", photo], capture_output=True, text=True, check=True
    )
    assert (said[0] if said else "none above 50%") in typed.stdout
