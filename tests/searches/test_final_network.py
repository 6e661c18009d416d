"""A search that ends with a network to use: real Ray, real training on digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import nas
from nas.errors import SearchError
from nas.searches.final_network import most_promising
from nas.searches.progress import Progress
from nas.space.space import Space
from nas.store import Store
from tests.conftest import Run

SPACE = """
name: small
input: [1, 16, 16]
graph:
  conv: {block: conv, channels: {choose: [4, 8, 16]}, norm: batch, stride: 2}
  down: {block: max_pool}
  head: {block: classifier}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SPACE)
    return path


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_one_command_goes_from_images_to_a_network(run: Run, space: Path, tmp_path: Path) -> None:
    command = ("search", "--space", str(space), "--trials", "3", "--steps", "60", "--retrain", "2")
    code, out, err = run(*command, "--json")
    assert code == 0
    result = json.loads(out)
    assert [record["seeds"] for record in result["retrained"]] == [2] * len(result["retrained"])
    front = sorted(result["front"], key=lambda one: -one["accuracy"])
    assert [record["trial"] for record in result["retrained"]] == [one["trial"] for one in front[:2]]
    final = result["final"]
    assert final["validation_mean"] == max(record["kept"]["validation_mean"] for record in result["retrained"])
    assert Path(final["weights"]).is_file()
    assert final["test"]["images"] == 364
    # the same command again trains nothing, and says it in words
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        before = len(store.measurements())
    code, out, err = run(*command)
    assert code == 0
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        assert len(store.measurements()) == before
    assert f"final network  small-digits-{final['trial']}" in out
    assert f"seed {final['seed']}, the best of 2 on the validation images" in out
    assert "nas export small-digits:best -o network.onnx" in out
    assert "measured before" in err
    code, out, _ = run("export", "small-digits:best", "--json")
    exported = json.loads(out)
    assert (exported["weights"], exported["hash"]) == (final["weights"], final["hash"])


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_photos_of_other_shares_than_the_test_images_are_drawn_alike(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, counts in (("train", (60, 20)), ("test", (200, 200))):
        for label, images in enumerate(counts):
            folder = tmp_path / "photos" / part / f"class{label}"
            folder.mkdir(parents=True)
            for place in range(images):
                pixels = rng.integers(0, 128, (16, 16, 3), dtype=np.uint8) + np.uint8(100 * label)
                Image.fromarray(pixels).save(folder / f"{place}.png")
    space = tmp_path / "photos.yaml"
    space.write_text(SPACE.replace("[1, 16, 16]", "[3, 16, 16]"))
    command = (
        "search",
        "--space",
        str(space),
        "--data",
        f"imagefolder:{tmp_path / 'photos'}",
        "--trials",
        "1",
        "--steps",
        "20",
    )
    assert run(*command)[0] == 0
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        assert store.study("small-photos").recipe.sampling == "balanced"
    # the same command goes on; with another drawing of classes it is another search
    assert run(*command)[0] == 0
    code, _, err = run(*command, "--recipe", "modern")
    assert code == 2
    assert "sampling balanced, not shuffle" in err


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_from_python_and_with_what_is_missing(
    space: Path, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes = Notes()
    first = nas.search(space, storage=storage, trials=2, steps=60, retrain=1, max_concurrent=1, progress=notes)
    assert first.final is not None
    assert first.final.network.trial == int(first.front.loc[first.front["accuracy"].idxmax(), "trial"])
    assert any(note.startswith("retraining the 1 most promising") for note in notes.notes)
    more = nas.search(space, storage=storage, trials=2, steps=60, retrain=2, max_concurrent=1)
    assert len(more.retrained) == min(2, len(more.front))
    assert more.retrained[0].trained == ()
    assert all(ran.trained for ran in more.retrained[1:])
    assert nas.search(space, storage=storage, trials=2, steps=60).final is None


def test_networks_outside_the_constraints_of_today_are_no_candidates(space: Path) -> None:
    trials = pd.DataFrame(
        {
            "trial": [0, 1, 2],
            "state": ["complete"] * 3,
            "hash": ["a", "b", "c"],
            "accuracy": [0.5, 0.7, 0.9],
            "parameters": [10, 20, 30],
        }
    )
    objectives = ("accuracy", "parameters")
    assert list(most_promising(trials, objectives, Space.load(space), 2)["trial"]) == [2, 1]
    limited = Space.load(space).limit(parameters=25)
    assert list(most_promising(trials, objectives, limited, 2)["trial"]) == [1, 0]


def test_the_luckiest_of_small_networks_hides_no_better_one(space: Path) -> None:
    """Of networks on 300 images, losses tell what accuracies do not."""
    trials = pd.DataFrame(
        {
            "trial": range(9),
            "state": [*["complete"] * 8, "untrained"],
            "hash": list("abcdefghi"),
            "accuracy": [0.683, 0.680, 0.677, 0.680, 0.667, 0.653, 0.660, 0.600, 0.95],
            "loss": [0.869, 0.814, 0.835, 0.804, 0.819, 0.790, 0.906, 0.980, 0.1],
            "parameters": [11_334, 47_456, 30_695, 17_606, 98_159, 35_326, 21_573, 9_000, 100],
        }
    )
    chosen = most_promising(trials, ("accuracy", "parameters"), Space.load(space), 2, images=300, classes=5)
    assert list(chosen["trial"]) == [5, 3]
    assert list(chosen["accuracy"]) == [0.653, 0.680]  # as they were measured
    assert list(most_promising(trials, ("accuracy", "parameters"), Space.load(space), 1)["trial"]) == [0]


def test_a_number_that_cannot_be_is_one_line(space: Path) -> None:
    with pytest.raises(SearchError, match="retrain: must be at least 0, not -1"):
        nas.search(space, retrain=-1)
