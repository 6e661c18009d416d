"""Replays as a user meets them: real training on digits, killed and continued, told against the paper."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.network.weights import read_weights
from nas.replays.training import read_confusion, write_confusion
from nas.store import Store
from tests.conftest import Run
from tests.replays.conftest import QUICK


def replay(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, _ = run("replay", *arguments, *QUICK, "--json")
    assert code == 0
    records = json.loads(out)
    assert len(records) == 1
    record: dict[str, Any] = records[0]
    return record


def test_a_replay_measures_the_test_set_and_leaves_its_traces(run: Run, config: Path, tmp_path: Path) -> None:
    record = replay(run, str(config), "--epochs", "3", "--seeds", "2")
    assert record["deviations"] == ["3 epochs instead of 8"]
    assert record["states"] == ["complete"] * 2
    assert record["accuracy"] == pytest.approx(sum(record["values"]) / 2)
    assert record["accuracy"] > 0.5  # it has learned something
    claim = record["claims"][0]
    assert (claim["metric"], claim["claimed"], claim["measured"]) == ("accuracy", 97.5, 100 * record["accuracy"])
    for file in record["files"]:
        assert Path(file).exists()
        if file.endswith(".png"):
            Image.open(file).verify()
    assert {Path(file).name for file in record["files"]} == {
        *("seed-0.safetensors", "seed-1.safetensors", "curves.png", "confusion.png", "gradcam.png")
    }
    _, card = read_weights(Path(record["files"][0]))
    assert card is not None
    assert card.facts["test_accuracy"] == record["values"][0]
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        rows = store.measurements()
    assert list(rows["seed"]) == [0, 1]
    assert list(rows["accuracy"]) == record["values"]
    assert [len(curve) for curve in rows["curve"]] == [3, 3]
    assert not list(tmp_path.glob("nas-replays/*/*.checkpoint"))


def test_the_confusion_matrix_counts_every_test_image(run: Run, config: Path, tmp_path: Path) -> None:
    record = replay(run, str(config), "--epochs", "1")
    table = next(tmp_path.glob("nas-replays/*/seed-0-confusion.csv")).read_text().splitlines()
    counts = [[int(cell) for cell in line.split(",")[1:]] for line in table[1:]]
    assert sum(map(sum, counts)) == 1797 - 1433
    right = sum(counts[place][place] for place in range(10))
    assert right / (1797 - 1433) == pytest.approx(record["accuracy"])


def test_names_of_classes_are_no_formulas_in_the_confusion_matrix(tmp_path: Path) -> None:
    path, names = tmp_path / "confusion.csv", ("=cmd|' /C calc'!A0", "@x", "\x1b[31m\n+1", "\udcff")
    write_confusion(path, np.arange(16).reshape(4, 4), names)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["true", "'=cmd|' /C calc'!A0", "'@x", "\\x1b[31m\\n+1", "\\udcff"]
    assert [row[0] for row in rows[1:]] == rows[0][1:]
    assert (read_confusion(path, 4) == np.arange(16).reshape(4, 4)).all()


def test_what_is_measured_is_not_trained_again(run: Run, config: Path) -> None:
    first = replay(run, str(config), "--epochs", "1")
    assert first["trained"] == [0]
    second = replay(run, str(config), "--epochs", "1", "--seeds", "2")
    assert second["trained"] == [1]
    assert second["values"][0] == first["values"][0]
    assert replay(run, str(config), "--epochs", "1", "--again")["trained"] == [0]
    assert replay(run, str(config), "--epochs", "2")["trained"] == [0]


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_several_configs_and_the_list_of_what_was_measured(run: Run, config: Path) -> None:
    other = config.with_name("tiny_two.yaml")
    other.write_text(config.read_text().replace("tiny_net", "tiny_two").replace("channels: 16", "channels: 8"))
    code, out, err = run(
        "replay", str(config), str(other), *QUICK, "--epochs", "1", "--fraction", "0.3", "--max-concurrent", "1"
    )
    assert code == 0
    assert out.index("tiny_net  test accuracy") < out.index("tiny_two  test accuracy")
    assert "deviation    431 of 1,433 training images, the same share of every class" in out
    assert "tiny_two seed 0: epoch 1/1, loss" in err
    together = out.partition("Nobody et al., On nothing\n")[2]  # behind the reports of both
    rows = [line.split() for line in together.splitlines() if line.strip().startswith("tiny_")]
    assert [(row[0], row[1]) for row in rows] == [("tiny_net", "97.5"), ("tiny_two", "97.5")]
    pictures = [line.split()[1] for line in together.splitlines() if line.startswith("  picture ")]
    assert [Path(path).name for path in pictures] == ["comparison.png", "gradcam.png"]
    for path in pictures:
        Image.open(path).verify()
    code, out, _ = run("replay", "--list", str(config), "--json")
    assert code == 0
    (record,) = json.loads(out)
    (way,) = record["measured"]
    assert (way["data"], way["epochs"], way["fraction"], way["seeds"]) == ("digits", 1, 0.3, 1)
    code, out, _ = run("replay", "--list", str(config))
    assert f"{way['accuracy'] * 100:.2f} % (1 seed)" in out


def test_a_published_network_by_its_recipe_on_other_data(run: Run) -> None:
    arguments = ("kong_baseline", "--data", "digits", "--image-size", "16", "--epochs", "1", "--fraction", "0.05")
    record = replay(run, *arguments, "--batch-size", "8")
    assert "data digits instead of cifar10" in record["deviations"]
    assert "1 epoch instead of 100" in record["deviations"]
    assert record["states"] == ["complete"]


def test_claims_of_other_data_are_not_compared(run: Run) -> None:
    arguments = ("kong_baseline", "--data", "digits", "--image-size", "16", "--epochs", "1", "--fraction", "0.05")
    code, out, _ = run("replay", *arguments, *QUICK)
    assert code == 0
    (row,) = [line.split() for line in out.splitlines() if line.strip().startswith("accuracy ")]
    assert (row[1], row[3:5]) == ("77.83", ["other", "data"])
    assert replay(run, *arguments)["claims"][0]["deviation"] is None


@pytest.mark.long
def test_validation_curves_and_the_precision_that_auto_came_to(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.train.precision.cpu_gains_from_bf16", lambda: True)
    arguments = (str(config), "--epochs", "2", "--validation", "0.2")
    assert "precision bf16 instead of fp32" not in replay(run, *arguments)["deviations"]
    assert "precision bf16 instead of fp32" in replay(run, *arguments, "--precision", "auto")["deviations"]
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        rows = store.measurements()
    assert [recipe.precision for recipe in rows["recipe"]] == ["fp32", "bf16"]
    for curve in rows["curve"]:
        assert all(0 < epoch["accuracy"] <= 1 and epoch["loss"] > 0 for epoch in curve)
    _, out, _ = run("replay", *arguments, "--precision", "auto", *QUICK)
    assert "  deviation    precision bf16 instead of fp32" in out
    assert "  deviation    287 of 1,433 training images held out for the validation curves" in out


def test_a_network_that_diverges_is_a_result(run: Run, config: Path) -> None:
    recipe = config.with_name("wild.yaml")
    recipe.write_text("{lr: 1.0e+9, schedule: constant, epochs: 2}")
    code, out, _ = run("replay", str(config), "--recipe", str(recipe), *QUICK)
    assert code == 0
    assert "diverged" in out
    assert "training loss is" in out


def command(config: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "nas", "replay", str(config), *QUICK, "--epochs", "30", *more]


@pytest.mark.long
def test_killed_and_continued_is_the_same_as_never_killed(run: Run, config: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command(config), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 3/30" in line:
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        assert store.measurements().empty
    code, _, err = run(*command(config)[3:])
    assert code == 0
    assert "tiny_net seed 0: resumes after epoch" in err
    assert "epoch 1/30" not in err
    killed = replay(run, str(config), "--epochs", "30")
    assert killed["trained"] == []
    whole = replay(
        run, str(config), "--epochs", "30", "--output", "whole", "--storage", f"sqlite:///{tmp_path}/whole.db"
    )
    assert whole["trained"] == [0]
    assert killed["values"] == whole["values"]
    assert killed["loss"] == whole["loss"]


def test_a_database_from_before_replays_gets_the_table(run: Run, config: Path, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True):
        pass
    with sqlite3.connect(tmp_path / "nas.db") as database:
        database.execute("DROP TABLE nas_measurements")
    code, out, _ = run("replay", "--list", "--json")
    assert code == 0
    assert all(record["measured"] == [] for record in json.loads(out))
    assert replay(run, str(config), "--epochs", "1")["trained"] == [0]
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        assert len(store.measurements()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name a published config, or --all"),
        (("kong_aim_cm",), "did you mean 'kong_aim"),
        (("balashov_resnet50",), "name a folder of its images by --data imagefolder:PATH"),
        (("kong_aim", "--data", "digitz"), "did you mean 'digits'?"),
        (("kong_aim", "--data", "imagefolder:absent"), "no such folder"),
        (("kong_aim", "--data", "digits", "--epochs", "0"), "epochs: must be at least 1, not 0"),
        (("kong_aim", "--data", "digits", "--fraction", "2"), "fraction: must be above 0 and at most 1, not 2.0"),
        (("kong_aim", "--data", "digits", "--device", "cud"), "no device 'cud'"),
        (("kong_aim", "--data", "digits", "--device", "gpu"), "did you mean 'cuda'?"),
        (("kong_aim", "--data", "digits", "--recipe", "absent.yaml"), "no such recipe file"),
        (("kong_aim", "--data", "digits", "--image-size", "4"), "kong_aim: cannot take images of 1×4×4"),
        (("--all", "kong_aim", "--check"), "--all and names"),
        (("--list", "--check"), "one at a time"),
    ],
)
def test_mistakes_are_one_line(run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run("replay", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_checkpoint_that_is_damaged_is_named(run: Run, config: Path, tmp_path: Path) -> None:
    replay(run, str(config), "--epochs", "1")
    folder = next(tmp_path.glob("nas-replays/tiny_net-*"))
    (folder / "seed-0.checkpoint").write_bytes(b"half of a file")
    code, _, err = run("replay", str(config), "--epochs", "1", "--again", *QUICK)
    assert code == 2
    assert "remove it to train from the start" in err
    assert err.count("\n") == 1


def test_check_exits_with_1_when_a_config_does_not_build(run: Run, config: Path) -> None:
    code, out, _ = run("replay", str(config), "--check", "--json")
    assert code == 0
    assert json.loads(out)[0]["name"] == "tiny_net"
    config.write_text(config.read_text() + "builds: {parameters: 1, macs: 1}\n")
    code, _, err = run("replay", str(config), "--check")
    assert code == 1
    assert "tiny_net: builds" in err
