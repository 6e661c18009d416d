"""What benchmarks/photos.py compares with: images drawn by seed, plain networks of the right size, parts done once."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
import zipfile
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a script of the folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as images:
        for part, count in (("train", 30), ("test", 12)):
            for name in ("cat", "dog", "ship"):
                for place in range(count):
                    image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
                    with images.open(f"{part}/{name}/{place:04}.jpg", "w") as file:
                        image.save(file, "jpeg")
    return path


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.jpg")}


def test_a_seed_draws_always_the_same_images_and_another_one_others(archive: Path, tmp_path: Path, module: Any) -> None:
    sets = module("_photo_sets")
    photos = sets.PhotoSet("pets", ("cat", "dog"), (20, 5), test=10)
    drawn = _files(sets.draw(photos, 0, archive, tmp_path / "a"))
    assert drawn == _files(sets.draw(photos, 0, archive, tmp_path / "b"))
    assert drawn != _files(sets.draw(photos, 1, archive, tmp_path / "a"))
    for part, name, count in (("train", "cat", 20), ("train", "dog", 5), ("test", "cat", 10), ("test", "dog", 10)):
        assert sum(file.startswith(f"{part}/{name}/") for file in drawn) == count
    more = _files(sets.draw(sets.PhotoSet("more", ("cat", "ship"), (25, 5), test=10), 0, archive, tmp_path / "a"))
    assert {file for file in drawn if "cat" in file} <= more


def test_a_set_that_the_archive_cannot_give_leaves_nothing_behind(archive: Path, tmp_path: Path, module: Any) -> None:
    sets = module("_photo_sets")
    with pytest.raises(ValueError, match="31 images wanted of '0 train dog', but the archive has 30"):
        sets.draw(sets.PhotoSet("pets", ("cat", "dog"), (20, 31), test=10), 0, archive, tmp_path / "cache")
    with pytest.raises(ValueError, match="the archive has 0"):
        sets.draw(sets.PhotoSet("pets", ("cat", "lion"), (1, 1), test=1), 0, archive, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(("network", "blocks"), [("resnet8", 1), ("resnet20", 3)])
@pytest.mark.parametrize("limit", [5_000, 77_652, 100_000])
def test_the_plain_network_is_the_widest_within_the_limit(network: str, blocks: int, limit: int, module: Any) -> None:
    plain = module("_plain")
    assert plain.NETWORKS[network] == blocks
    width = plain.widest(blocks, 4, limit)
    assert width > 0
    assert plain.parameters(blocks, width, 4) <= limit < plain.parameters(blocks, width + 1, 4)


def test_sizes_of_the_plain_networks_are_those_of_the_paper(module: Any) -> None:
    plain = module("_plain")
    # He et al. print 0.27M for 20 layers on CIFAR-10; projections on two shortcuts add 2,752 to theirs.
    assert plain.parameters(3, 16, 10) == 269_722 + 2_752
    assert plain.parameters(1, 16, 4) == 77_652
    assert plain.widest(1, 4, 10) == 0
    assert list(plain.trainings(4, 10)) == []


def test_augmentation_shifts_and_mirrors_whole_images(module: Any) -> None:
    plain = module("_plain")
    torch.manual_seed(0)
    x = torch.arange(1.0, 65).reshape(1, 1, 8, 8).expand(64, 3, 8, 8)
    seen = plain.augment(x)
    assert seen.shape == x.shape
    mirrored = 0
    padded = torch.nn.functional.pad(x[0], (4, 4, 4, 4))
    windows = {
        (flip, row, column): (padded.flip(2) if flip else padded)[:, row : row + 8, column : column + 8]
        for flip in (False, True)
        for row in range(9)
        for column in range(9)
    }
    for image in seen:
        (match, *others) = [key for key, window in windows.items() if torch.equal(window, image)]
        assert not others
        mirrored += match[0]
    assert 16 < mirrored < 48


def test_a_plain_training_learns_and_counts_its_time(module: Any) -> None:
    plain = module("_plain")
    torch.manual_seed(0)
    y = torch.arange(96) % 3
    x = torch.randn(96, 3, 16, 16) * 0.3 + y[:, None, None, None] - 1
    trained = plain.train(plain.Images(x, y, x, y, 3), 1, 4, 60, 0)
    assert trained.accuracy > 0.9
    assert trained.accuracy == pytest.approx(sum(trained.recalls) / 3)
    assert trained.parameters == plain.parameters(1, 4, 3)
    assert trained.core_seconds > 0


def test_what_is_done_is_not_done_again_and_a_torn_line_is_left_out(tmp_path: Path, module: Any) -> None:
    photos = module("photos")
    results = photos.Results(tmp_path / "deep" / "results.jsonl")
    results.add({"part": "plain", "steps": 1_000}, {"accuracy": 0.5})
    with results.path.open("a") as file:
        file.write('{"part": "plain", "steps": 2')
    again = photos.Results(results.path)
    assert again.find({"part": "plain", "steps": 1_000}) == {"part": "plain", "steps": 1_000, "accuracy": 0.5}
    assert again.find({"part": "plain", "steps": 2_000}) is None
    again.add({"part": "plain", "steps": 2_000}, {"accuracy": 0.6})
    assert photos.Results(results.path).find({"steps": 2_000}) == {"part": "plain", "steps": 2_000, "accuracy": 0.6}


def test_the_reference_is_the_best_mean_and_says_when_trainings_are_missing(module: Any) -> None:
    table, plain = module("_photo_table"), module("_plain")
    photos = module("_photo_sets").even("pets", ("cat", "dog"), 100)
    case: Any = SimpleNamespace(photos=photos, seed=0, key="pets")
    names = ("label", "limit", "budget", "search_share", "search_options", "retrain", "max_concurrent")
    options = Namespace(**dict.fromkeys(names, 0))
    options.limit = 10_000
    rows: dict[str, dict[str, Any]] = {}
    for network, width, steps, seed in plain.trainings(2, 10_000):
        accuracy = 0.9 if (network, steps, seed) == ("resnet8", 4_000, 0) else 0.7 if network == "resnet20" else 0.4
        facts = {"network": network, "steps": steps, "parameters": 9_000, "macs": 1e6, "core_seconds": 30.0}
        rows[str(table.part_plain(case, network, width, steps, seed))] = {**facts, "accuracy": accuracy}
    text = table.table([case], options, lambda part: rows.get(str(part)))
    assert "plain of the limit: resnet20, 1,000 steps | 9,000 | 1.0M | 70.0 ±" in text
    rows.popitem()
    assert "(11 of 12 trainings done)" in table.table([case], options, lambda part: rows.get(str(part)))


@pytest.mark.long
def test_time_of_all_processes_is_counted_and_goes_on_after_a_kill(tmp_path: Path, module: Any) -> None:
    watch = module("_watch")
    burn = "import time\nwhile time.process_time() < 1.5: pass\n"
    (tmp_path / "both.py").write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n{burn}"
    )
    command = [sys.executable, "both.py"]
    said: list[str] = []
    watched = watch.run_watched(command, tmp_path, "both", {}, said.append)
    assert watched.code == 0
    assert watched.core_seconds > 1.8  # one process alone takes 1.5
    again = watch.run_watched(command, tmp_path, "both", {}, said.append)
    assert again.core_seconds > watched.core_seconds + 1.0


ENDLESS = """
import pathlib, time
pathlib.Path("begun").touch()
try:
    while time.process_time() < 60:
        pass
except KeyboardInterrupt:
    pathlib.Path("ended").write_text("in good order")
"""


@pytest.mark.parametrize("ended_by", ["limit", "kill"])
def test_a_command_ends_in_good_order_at_its_limit_and_with_its_parent(tmp_path: Path, ended_by: str) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS)
    (tmp_path / "parent.py").write_text(
        f"""
import pathlib, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts what runs in the background
sys.path.insert(0, {str(BENCHMARKS)!r})
from _watch import run_watched
limit = {1.0 if ended_by == "limit" else None}
run_watched([sys.executable, "endless.py"], pathlib.Path.cwd(), "endless", {{}}, print, limit)
"""
    )
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path)
    if ended_by == "kill":
        _wait_for(tmp_path / "begun")
        time.sleep(0.5)
        parent.kill()
    parent.wait()
    _wait_for(tmp_path / "ended")


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 100
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)
