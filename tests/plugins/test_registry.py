"""Registries: names, errors, decorators, and packages that add by entry points."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nas
from blocks import BLOCKS
from nas.config.recipe import OPTIMIZERS
from nas.data import DATASETS
from nas.errors import NasError, SearchError
from nas.export import EXPORTERS
from nas.plugins.registry import Registry, adder
from nas.searches.early_stopping import SCHEDULERS
from nas.searches.samplers import SAMPLERS
from tests.conftest import REPOSITORY

PACKAGE = '''\
"""Adds one of each kind."""

import numpy as np
import optuna
import torch
from torch import Tensor, nn

import nas


@nas.block("halved")
class Halved(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Halves what enters.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


@nas.register_dataset("stripes", recipe="fast", place="SIDE")
def stripes(task, test, progress):
    side = int(task.dataset.partition(":")[2])
    rng = np.random.default_rng(int(test))
    y = np.arange(80) % 2
    x = rng.integers(0, 100, (80, 1, side, side), dtype=np.uint8)
    x[y == 0, :, ::2] = 255
    x[y == 1, :, :, ::2] = 255
    return x, y, ("across", "down")


@nas.register_sampler("dice")
def dice(seed, problem):
    assert problem.classes == 2
    return optuna.samplers.RandomSampler(seed=seed)


@nas.register_optimizer("plain", state=0)
def plain(groups, recipe):
    return torch.optim.SGD(groups, lr=recipe.lr)


class Ends:
    """Ends all but the first trial at the first epoch."""

    epochs = (1,)

    def __init__(self):
        self.met = set()

    def enter(self, network, epoch, accuracy, cost):
        self.met.add(network)
        with open("entered.txt", "a") as file:
            file.write(f"{network} {epoch}\\n")
        return nas.Place(len(self.met), len(self.met), len(self.met) == 1)

    def recall(self, reached):
        self.met.update(reached["hash"])


@nas.register_scheduler("first_only")
def first_only(options):
    if options.epochs < 2:
        raise nas.SearchError("first_only: needs two epochs")
    return Ends()


@nas.register_exporter("shapes", ending=".txt", about="names and shapes of all tensors")
def shapes(model, card, notes, path, *, trained):
    path.write_text("\\n".join(f"{name} {list(x.shape)}" for name, x in model.state_dict().items()))
    return nas.Exported((path,), f"{len(model.state_dict())} tensors")
'''
GROUPS = ("blocks", "datasets", "samplers", "schedulers", "optimizers", "exporters")
SPACE = """\
name: halves
input: [1, 8, 8]
graph:
  stem: {block: conv, channels: {choose: [2, 3, 4, 5]}}
  shrink: {block: halved}
  head: {block: classifier}
"""


def install(folder: Path, package: str, entries: str) -> None:
    """What pip leaves of a package, so far as Python looks for entry points."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A folder with a package that has an entry point in every group."""
    (tmp_path / "extra_things.py").write_text(PACKAGE)
    install(tmp_path, "extra-things", "".join(f"[nas.{group}]\nall = extra_things\n\n" for group in GROUPS))
    (tmp_path / "halves.yaml").write_text(SPACE)
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`nas …` with what `folder` has installed."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}"}
    environment.pop("NAS_STORAGE", None)
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def colours() -> Registry[int]:
    return Registry("colour", "nas.nothing", SearchError)


def test_what_is_added_is_there_by_its_name(colours: Registry[int]) -> None:
    @adder(colours, "red", lambda function: function() * 2)
    def red() -> int:
        return 350

    assert red() == 350, "the decorator leaves the function as it is"
    assert dict(colours) == {"red": 700}
    assert colours.find("red") == colours["red"] == 700
    colours.remove("red")
    assert "red" not in colours


@pytest.mark.parametrize("name", ["", "two words", "9th", "a:b", "../x", "é" * 3, "x" * 65, 7])
def test_a_name_is_a_word(colours: Registry[int], name: str) -> None:
    with pytest.raises(SearchError, match="a name is letters, digits, '_' and '-', beginning with a letter"):
        colours.add(name, 1)


def test_a_name_is_given_once(colours: Registry[int]) -> None:
    colours.add("red", 1)
    with pytest.raises(SearchError, match="colour 'red' exists already; give yours another name"):
        colours.add("red", 2)

    def green() -> int: ...
    def other() -> int: ...

    colours.add("green", 1, green)
    with pytest.raises(SearchError, match="colour 'green' exists already"):
        colours.add("green", 2, other)
    colours.add("green", 3, green)
    assert colours["green"] == 3, "a cell of a notebook that is run again replaces what it added"


def test_an_unknown_name_is_answered_with_the_nearest_one(colours: Registry[int]) -> None:
    colours.add("magenta", 1)
    colours.add("blue", 2)
    with pytest.raises(SearchError) as problem:
        colours.find("magneta")
    assert str(problem.value) == "no colour 'magneta'; known: magenta, blue; did you mean 'magenta'?"


@pytest.mark.parametrize("registry", [BLOCKS, DATASETS, SAMPLERS, SCHEDULERS, OPTIMIZERS, EXPORTERS])
def test_every_registry_refuses_what_is_there_and_what_is_not(registry: Registry[object]) -> None:
    name = next(iter(registry))
    with pytest.raises(NasError, match=f"{registry.what} '{name}' exists already"):
        registry.add(name, registry[name])
    with pytest.raises(NasError, match=f"no {registry.what} '{name}x'; known: .*did you mean '{name}'"):
        registry.find(f"{name}x")


def test_an_exporter_has_an_ending_of_its_own() -> None:
    with pytest.raises(nas.ExportError, match=r"format 'mine': files that end with \.onnx are of format onnx"):
        nas.register_exporter("mine", ending=".onnx", about="mine")(lambda *given, **named: nas.Exported((), ""))
    with pytest.raises(nas.ExportError, match="format 'mine': its ending begins with a dot, not 'onnx'"):
        nas.register_exporter("mine", ending="onnx", about="mine")(lambda *given, **named: nas.Exported((), ""))
    assert "mine" not in EXPORTERS


@pytest.mark.long
def test_a_package_is_imported_when_it_is_needed(plugin: Path) -> None:
    code = (
        "import sys, nas\n"
        "from nas.searches.samplers import SAMPLERS\n"
        "SAMPLERS.find('pareto')\n"
        "assert 'extra_things' not in sys.modules\n"
        "SAMPLERS.find('dice')\n"
        "assert 'extra_things' in sys.modules\n"
    )
    done = command(plugin, "-c", code)
    assert done.returncode == 0, done.stderr
    asked = command(plugin, "-X", "importtime", "-m", "nas", "--help")
    assert "extra_things" not in asked.stderr
    assert "Search a space for networks" in asked.stdout


@pytest.mark.long
def test_help_lists_what_packages_have_added(plugin: Path) -> None:
    asked = " ".join(command(plugin, "-m", "nas", "search", "--help").stdout.split())
    assert "imagefolder:PATH, table:FILE or stripes:SIDE." in asked
    assert "Also tpe, nsga2, nsga3, gp, random, evolution, local_search, dice." in asked
    assert "pareto_asha, pareto_asha_promotion, pareto_gain, first_only." in asked
    assert "names and shapes of all tensors" in command(plugin, "-m", "nas", "export", "--help").stdout


@pytest.mark.long
def test_a_package_that_cannot_be_imported_is_told_of_where_a_name_is_missed(tmp_path: Path) -> None:
    (tmp_path / "broken_things.py").write_text("import not_installed_anywhere\n")
    install(tmp_path, "broken-things", "[nas.samplers]\nmine = broken_things\n")
    done = command(tmp_path, "-m", "nas", "search", "--space", "attn_cnn", "--sampler", "mine")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().endswith(
        "known: pareto, tpe, nsga2, nsga3, gp, random, evolution, local_search; "
        "entry point 'mine' of package broken-things cannot be imported: No module named 'not_installed_anywhere'"
    )
    assert command(tmp_path, "-m", "nas", "search", "--help").returncode == 0


def test_objectives_and_probes_of_a_package_are_known_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "probes_there.py").write_text(
        "import nas\n\nclass Edges(nas.Probe):\n"
        "    objective = nas.Objective('edges', 'minimize', 'measured', range=(1, 1000))\n"
        "    def measure(self, architecture, input, classes, device):\n        return 1\n\n"
        "nas.register_probe(Edges())\n"
    )
    install(tmp_path, "probes-there", "[nas.probes]\nmine = probes_there\n")
    code = "from nas.searches.options import SearchOptions as S; print(S('plain', limits={'edges': 9}).limits)"
    done = command(tmp_path, "-c", code)
    assert (done.stdout, done.stderr) == ("{'edges': 9}\n", "")
    done = command(tmp_path, "-m", "nas", "search", "--space", "plain", "--objectives", "accuracy,edgse")
    assert done.returncode == 2
    assert "did you mean 'edges'?" in done.stderr


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_search_with_all_that_a_package_has_added(plugin: Path) -> None:
    (plugin / "own.yaml").write_text("optimizer: plain\nepochs: 2\nbatch_size: 20\nlr: 0.05\n")
    done = command(
        plugin,
        *("-m", "nas", "search", "--space", "halves.yaml", "--data", "stripes:8", "--sampler", "dice", "--json"),
        *("--scheduler", "first_only", "--recipe", "own.yaml", "--trials", "3", "--max-concurrent", "1"),
        *("--objectives", "accuracy"),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["study"] == "halves-stripes"
    assert sum(found["states"].values()) == 3
    assert set(found["states"]) <= {"complete", "untrained", "stopped_early"}, "the workers knew the optimizer"
    entered = [line.split() for line in (plugin / "entered.txt").read_text().splitlines()]
    assert len({network for network, _ in entered}) == 3
    assert {epoch for _, epoch in entered} <= {"1", "2"}
    assert json.loads(command(plugin, "-m", "nas", "export", "0", "-o", "a.txt", "--json").stdout)["format"] == "shapes"
    assert "stem.conv.weight" in (plugin / "a.txt").read_text()
    short = command(
        plugin,
        "-m",
        "nas",
        "search",
        "--space",
        "halves.yaml",
        "--data",
        "stripes:8",
        "--scheduler",
        "first_only",
        "--epochs",
        "1",
        "--study",
        "other",
    )
    assert short.stderr.strip() == "nas: error: first_only: needs two epochs"
