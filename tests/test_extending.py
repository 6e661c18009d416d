"""docs/extending.md: its examples, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from blocks import BLOCKS
from nas.config.losses import LOSSES
from nas.config.recipe import OPTIMIZERS
from nas.config.recipe_presets import RECIPES
from nas.data import DATASETS
from nas.data.metrics import METRICS
from nas.export import EXPORTERS
from nas.network.probes import PROBES
from nas.searches.early_stopping import SCHEDULERS
from nas.searches.samplers import SAMPLERS
from nas.searches.trackers import TRACKERS
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
REGISTRIES = (BLOCKS, DATASETS, METRICS, SAMPLERS, SCHEDULERS, OPTIMIZERS, EXPORTERS, TRACKERS, LOSSES, RECIPES, PROBES)


def listings(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


def python(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "NAS_STORAGE"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the files of the page."""
    for listing in [*listings("python"), *listings("yaml")]:
        if match := re.match(r"# (\S+\.(?:py|yaml))\n", listing):
            (tmp_path / match[1]).write_text(listing)
    return tmp_path


@pytest.mark.long
def test_the_commands_with_a_file_of_blocks(folder: Path) -> None:
    lines = [line for listing in listings("console") for line in listing.splitlines()]
    assert len(lines) == 4
    said = [python(folder, "-m", *_words(line)) for line in lines]
    assert "Positions weighed by a convolution over their mean" in said[0]
    assert "space 'gates' is well-formed; 4 assignments" in said[1]
    assert "bit-identical" in said[3]
    (folder / "my_blocks.py").unlink()
    assert "(1, 1, 16, 16) -> (1, 10)" in python(folder, "-I", "network.py")


def _words(line: str) -> list[str]:
    import shlex

    return shlex.split(line)


USED = """
import numpy as np, pandas as pd, torch
from nas.config.recipe import OPTIMIZERS, Recipe
from nas.data import Task, load
from nas.export import EXPORTERS
from nas.searches.early_stopping import SCHEDULERS, StoppingOptions
from nas.searches.samplers import SAMPLERS

assert type(SAMPLERS.find("cma")(3, None)).__name__ == "CmaEsSampler"
stopping = SCHEDULERS.find("halfway")(StoppingOptions("halfway", ("accuracy",), 10, None, 3.0))
assert stopping.epochs == (5,)
stopping.recall(pd.DataFrame({"hash": ["a", "b"], "epoch": 5, "accuracy": [0.5, float("nan")]}))
assert stopping.enter("c", 5, 0.4, None) == nas.Place(2, 2, False)
assert stopping.enter("d", 5, 0.6, None) == nas.Place(1, 3, True)
assert stopping.enter("e", 4, 0.1, None) is None
layer = torch.nn.Linear(2, 2)
optimizer = OPTIMIZERS.find("rmsprop").make([{"params": list(layer.parameters())}], Recipe(optimizer="rmsprop", lr=0.3))
assert optimizer.param_groups[0]["lr"] == 0.3
from nas.config.recipe_presets import fitted
assert fitted("patient", 640, nas.Augment(flip=False)) == Recipe(
    optimizer="adamw", lr=1e-3, epochs=100, batch_size=64, augment=nas.Augment(flip=False)
)
data = load(Task("arrays:images.npz"))
assert (data.input, data.class_names) == ((3, 8, 8), ("0", "1"))
from pathlib import Path
done = EXPORTERS.find("shapes").write(layer, None, None, Path("network.txt"), trained=False)
assert Path("network.txt").read_text() == "weight [2, 2]\\nbias [2]" and done.check == "2 tensors"
from nas.searches.trackers import TRACKERS
tracker = TRACKERS.find("lines")("mine", "")
tracker.epoch("a1b2c3d4", 2, {"accuracy": 0.5})
tracker.ended("a1b2c3d4", {"state": "complete"})
assert [json.loads(line).get("accuracy") for line in Path("curves.jsonl").read_text().splitlines()] == [0.5, None]
"""


@pytest.mark.long
def test_every_other_example_does_what_the_page_says(folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    np.savez(folder / "images.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    examples = [listing for listing in listings("python") if not listing.startswith("# my_blocks.py")]
    assert len(examples) == 7
    (folder / "all.py").write_text("\n".join([*examples, USED]))
    python(folder, "all.py")


def test_the_groups_of_entry_points_are_those_that_are_read() -> None:
    (toml,) = listings("toml")
    groups = {registry.group for registry in REGISTRIES}
    assert set(tomllib.loads(toml)["project"]["entry-points"]) <= groups
    assert set(re.findall(r"`(nas\.\w+)`", TEXT.partition("The groups are")[2])) == groups
