"""Front members retrained: the seed that is kept, what it is worth, test accuracy with its spread, ties, error bars."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import nas
from nas.analysis.front_tests import Verdict, verdicts
from nas.analysis.replicates import Summary, differ
from nas.architecture.cost import cost
from nas.config.recipe import Augment, Recipe
from nas.data import Task, load, load_test
from nas.network.weights import read_weights
from nas.space.space import Space
from nas.store import Store, TrialResult
from tests.conftest import Run
from tests.replays.conftest import QUICK

SPACE = """
name: small
input: [1, 8, 8]
graph:
  conv: {block: conv, channels: {choose: [4, 8, 16]}, norm: batch}
  down: {block: max_pool}
  head: {block: classifier}
"""


@pytest.fixture
def study(tmp_path: Path) -> str:
    """A study of three networks on digits, all on the front."""
    (tmp_path / "small.yaml").write_text(SPACE)
    space = Space.load(tmp_path / "small.yaml")
    data = load(Task("digits", image_size=8))
    recipe = Recipe(lr=0.2, batch_size=64, epochs=1, augment=Augment(crop_padding=0, flip=False))
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        store.create_study(
            "small-digits",
            space=space,
            task=data.loaded_task,
            recipe=recipe,
            objectives=["accuracy", "parameters"],
        )
        with store.claim("small-digits"):
            for accuracy, channels in ((0.6, 4), (0.7, 8), (0.8, 16)):
                assignment = {"conv.channels": channels}
                architecture = space.from_assignment(assignment, data.input, 10)
                trial = store.start_trial(
                    "small-digits",
                    assignment=assignment,
                    options={"conv.channels": (4, 8, 16)},
                    architecture=architecture,
                    cost=cost(architecture, data.input, 10),
                )
                store.finish_trial(trial, "complete", TrialResult(None, {"accuracy": accuracy}, 1.0, "cpu"))
    return "small-digits"


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_the_front_is_retrained_and_told_with_its_spread(run: Run, study: str, tmp_path: Path) -> None:
    code, out, _ = run("retrain", "--study", study, "--epochs", "2", "--seeds", "2", *QUICK, "--json")
    assert code == 0
    records = json.loads(out)
    assert [record["trial"] for record in records] == [0, 1, 2]
    assert {tuple(record["deviations"]) for record in records} == {("42 steps instead of the search's 21",)}
    for record in records:
        assert record["seeds"] == 2
        assert record["std"] == pytest.approx(np.std(record["values"], ddof=1))
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        rows = store.measurements()
    assert (rows["kind"] == "retrain").all()
    assert (rows["study"] == study).all()
    assert {task.validation for task in rows["task"]} == {0.1}
    code, out, _ = run("study", "pareto", study, "--json", "-o", "front.png", "-o", "front.html")
    assert code == 0
    tests = [member["test"] for member in json.loads(out)]
    assert [test["accuracy"] for test in tests] == pytest.approx([record["accuracy"] for record in records])
    assert [test["seeds"] for test in tests] == [2, 2, 2]
    Image.open("front.png").verify()
    assert "retrained, on the test set" in Path("front.html").read_text()
    _, out, _ = run("study", "show", study)
    assert f"{records[0]['accuracy'] * 100:.2f} ± {records[0]['std'] * 100:.2f} % (2)" in out


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_the_most_accurate_and_named_trials(run: Run, study: str) -> None:
    quick = (*QUICK, "--seeds", "1", "--json")
    _, out, _ = run("retrain", "--study", study, "--top", "1", *quick)
    assert [record["trial"] for record in json.loads(out)] == [2]
    _, out, _ = run("retrain", "--study", study, "--trial", "1", "--trial", "0", *quick, "--max-concurrent", "1")
    assert [record["trial"] for record in json.loads(out)] == [1, 0]


@pytest.mark.long
def test_the_seed_that_validates_best_is_kept_and_exported(run: Run, study: str, tmp_path: Path) -> None:
    code, out, _ = run("retrain", "--study", study, "--top", "1", "--seeds", "3", *QUICK, "--json")
    assert code == 0
    (record,) = json.loads(out)
    assert record["deviations"] == ["168 steps instead of the search's 21"]  # eight times, by default
    kept = record["kept"]
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        rows = store.measurements()
    validated = [scores["validation"].value("accuracy") for scores in rows["scores"]]
    place = list(rows["seed"]).index(kept["seed"])
    assert kept["validation"]["accuracy"] == validated[place] == max(validated)
    assert kept["test"]["accuracy"] == pytest.approx(rows["accuracy"][place])
    assert kept["weights"] == rows["weights"][place]
    assert (kept["validation"]["images"], kept["test"]["images"]) == (141, 364)
    assert sum(one["images"] for one in kept["test"]["classes"]) == 364
    assert kept["other_shares"] == []
    assert kept["validation_minus_test"]["standard_error"] > 0
    code, out, _ = run("export", "best", "--study", study, "--format", "state-dict", "-o", "best.safetensors", "--json")
    assert json.loads(out)["weights"] == kept["weights"]
    # what is written is what was measured
    _, card = read_weights(Path(kept["weights"]))
    assert card is not None
    model = nas.load_study(study, f"sqlite:///{tmp_path}/nas.db").model(record["trial"])
    test = load_test(Task("digits", image_size=8))
    x = (torch.from_numpy(test.x) / 255 - card.mean[0]) / card.std[0]
    with torch.no_grad():
        right = model(x).argmax(1).numpy() == test.y
    assert right.mean() == pytest.approx(
        kept["test"]["accuracy"], abs=0.02
    )  # it was measured in bfloat16 where that is faster
    _, out, _ = run("retrain", "--study", study, "--top", "1", "--seeds", "3", *QUICK)
    assert f"seed {kept['seed']}, the best of 3 on the validation images" in out
    assert "each class alike" in out
    assert "validation and test differ by" in out


def test_without_validation_images_nothing_is_chosen(run: Run, study: str, tmp_path: Path) -> None:
    arguments = (
        "retrain",
        "--study",
        study,
        "--top",
        "1",
        "--seeds",
        "1",
        "--validation",
        "0",
        "--steps",
        "20",
        *QUICK,
    )
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    kept = json.loads(out)[0]["kept"]
    assert (kept["seed"], kept["validation"], kept["chosen_by"]) == (0, None, None)
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        assert {task.validation for task in store.measurements()["task"]} == {0.0}
    _, out, _ = run(*arguments)
    assert "no image was held out, so that nothing is chosen by validation" in out


def test_nothing_retrained_shows_as_before(run: Run, study: str) -> None:
    _, out, _ = run("study", "pareto", study)
    assert "test accuracy" not in out
    assert "seconds" in out
    _, out, _ = run("study", "pareto", study, "--json")
    assert [member["test"] for member in json.loads(out)] == [None] * 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--study", "small-digit"), "did you mean 'small-digits'?"),
        (("--study", "small-digits", "--trial", "9"), "no trial 9; they are numbered from 0 to 2"),
        (("--study", "small-digits", "--top", "0"), "top: must be at least 1, not 0"),
        (("--study", "small-digits", "--top", "1", "--trial", "1"), "--top and --trial"),
        (("--study", "small-digits", "--seeds", "0"), "seeds: must be from 1 to"),
        (("--study", "small-digits", "--steps", "5", "--epochs", "1"), "epochs and steps: one or the other"),
        (
            ("--study", "small-digits", "--validation", "0.3"),
            "from 0 to 0.1, the share that the search held out, not 0.3",
        ),
        (("--study", "small-digits", "--recipe", "moden"), "did you mean 'modern'?"),
    ],
)
def test_mistakes_are_one_line(run: Run, study: str, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run("retrain", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def summary(*accuracies: float, epochs: int = 1) -> Summary:
    return Summary(
        "retrain",
        None,
        "s",
        0,
        "h",
        1,
        1,
        "digits",
        epochs,
        1.0,
        "accuracy",
        accuracies,
        {},
        len(accuracies),
        (),
        (),
        "cpu",
    )


def test_members_that_the_seeds_do_not_tell_apart_are_tied() -> None:
    cheap, same = summary(0.90, 0.91, 0.92), summary(0.905, 0.915, 0.925)
    better, worse = summary(0.95, 0.951, 0.952), summary(0.80, 0.81, 0.80)
    found = verdicts([(7, cheap), (3, same), (5, better), (9, worse)])
    assert found == {3: Verdict("tied", 7), 9: Verdict("below", 7)}
    assert str(found[3]) == "tied with 7"


def test_members_retrained_in_other_ways_are_not_compared() -> None:
    assert verdicts([(0, summary(0.90, 0.91)), (1, summary(0.90, 0.91, epochs=9))]) == {}


def test_welch() -> None:
    # t = 2.306 with 7.89 degrees of freedom: p = 0.0505; one more between the means: t = 3.784, p = 0.0055
    first, second = [3.0, 4.0, 1.0, 2.1, 2.0], [5.0, 4.1, 3.0, 2.9, 4.9]
    assert differ(first, second) is False
    assert differ(first, [value + 1 for value in second]) is True
    assert differ([0.9], [0.1, 0.2]) is None
    assert differ([0.9, 0.9], [0.9, 0.9]) is False
    assert differ([0.9, 0.9], [0.8, 0.8]) is True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert differ([1.0, 1.0], [0.9, 0.99]) is False
        assert differ([1.0, 1.0], [0.9, 0.901]) is True


def test_measurements_of_a_database_without_any(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        found = store.measurements()
    assert isinstance(found, pd.DataFrame)
    assert found.empty
