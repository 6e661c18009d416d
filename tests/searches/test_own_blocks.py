"""A block of a user's own from the file to the exported network, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

BLOCKS = '''\
"""Attention of our own."""

import math
from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

import nas

TEMPERATURE = 2.0


def squash(x: Tensor) -> Tensor:
    """Between 0 and 1."""
    return (x / TEMPERATURE).sigmoid()


@nas.block("own_attention", source="for a test")
class OwnAttention(nn.Module):
    """x (B, C, H, W) -> (B, channels, H, W)

    Positions weighed by their mean over channels.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        kernel_size: Annotated[int, nas.OneOf(3, 5), "side of the kernel"] = 3,
        channels: nas.Width = "x1",
    ) -> None:
        super().__init__()
        if in_channels > 1000:
            raise nas.ShapeError("too wide")
        self.scale = math.sqrt(in_channels)
        self.conv = nn.Conv2d(1, 1, kernel_size, padding=kernel_size // 2)
        self.out = nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.out(x * squash(self.conv(x.mean(1, keepdim=True)) * self.scale)))
'''
SPACE = """\
name: tiny
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [8, 16]}, stride: 2}
  attention: {block: own_attention, kernel_size: {choose: [3, 5]}, channels: x2}
  head: {block: classifier}
"""
RECIPE = (
    "optimizer: adamw\nlr: 0.02\nschedule: wsd\nwarmup: 0.1\nema: 0.99\nclip_norm: 1.0\nbatch_size: 16\nepochs: 3\n"
)
OWN = ("--blocks", "my_blocks.py")
SEARCH = ("search", "--space", "tiny.yaml", "--recipe", "recipe.yaml", "--max-concurrent", "2", "--json")


def nas(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NAS_STORAGE"}
    return subprocess.run(
        [sys.executable, "-m", "nas", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a search with the block has ended."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_blocks.py").write_text(BLOCKS)
    (folder / "tiny.yaml").write_text(SPACE)
    (folder / "recipe.yaml").write_text(RECIPE)
    done = nas(folder, *SEARCH, *OWN, "--trials", "3")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sum(found["states"].values()) == 3
    assert set(found["states"]) <= {"complete", "untrained"}, "the workers knew the block"
    assert found["states"]["complete"] >= 1
    return folder


@pytest.fixture
def folder(searched: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(searched, tmp_path / "copy"))


def test_the_exported_network_computes_the_same_without_the_file(folder: Path) -> None:
    trained = nas(
        folder,
        "retrain",
        "--study",
        "tiny-digits",
        "--top",
        "1",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--max-concurrent",
        "1",
        *OWN,
    )
    assert trained.returncode == 0, trained.stderr
    assert nas(folder, "export", "best", *OWN, "-o", "network.pt2").returncode == 0
    done = nas(folder, "export", "best", *OWN, "-o", "network.py")
    assert done.returncode == 0, done.stderr
    assert "bit-identical" in done.stdout
    text = (folder / "network.py").read_text()
    assert "import nas" not in text
    assert "# own_attention: for a test\nclass OwnAttention(nn.Module):" in text
    (folder / "my_blocks.py").unlink()
    code = (
        "import torch, safetensors.torch, network\n"
        "model = network.Network().eval()\n"
        "model.load_state_dict(safetensors.torch.load_file('network.safetensors'))\n"
        "torch.save(model(torch.linspace(-1, 1, 512).reshape(2, 1, 16, 16)).detach(), 'logits.pt')\n"
    )
    alone = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert alone.returncode == 0, alone.stderr
    program = torch.export.load(folder / "network.pt2").module()
    with torch.no_grad():
        wanted = program(torch.linspace(-1, 1, 512).reshape(2, 1, 16, 16))
    torch.testing.assert_close(torch.load(folder / "logits.pt"), wanted)


def test_a_search_resumes_with_the_same_file_alone(folder: Path) -> None:
    done = nas(folder, *SEARCH, *OWN, "--trials", "4")
    assert sum(json.loads(done.stdout)["states"].values()) == 4, done.stderr
    without = nas(folder, *SEARCH, "--trials", "4")
    assert without.returncode == 2
    assert "tiny.yaml:5: node 'attention': no block 'own_attention'" in without.stderr
    assert "(a block of your own is given with --blocks FILE)" in without.stderr
    (folder / "my_blocks.py").write_text(BLOCKS.replace("TEMPERATURE = 2.0", "TEMPERATURE = 3.0"))
    for command in ([*SEARCH, "--trials", "4"], ["export", "0"], ["retrain", "--study", "tiny-digits"]):
        changed = nas(folder, *command, *OWN)
        assert (changed.returncode, changed.stdout, len(changed.stderr.splitlines())) == (2, "", 1), changed.stderr
        assert (
            "study 'tiny-digits' was begun with another version of the block 'own_attention' (my_blocks.py"
            in changed.stderr
        )
    missing = nas(folder, "export", "0")
    assert "study 'tiny-digits' uses the block 'own_attention' of my_blocks.py, which is not there" in missing.stderr
    other = nas(folder, *SEARCH, *OWN, "--trials", "1", "--study", "other")
    assert json.loads(other.stdout)["cached"] == 0, "a result of another version of a block is not taken over"


SCRIPT = (
    BLOCKS
    + """

result = nas.search("tiny.yaml", recipe="recipe.yaml", trials=1, study="script", storage="sqlite:///script.db")
print(result.states)
nas.load_study("script", "sqlite:///script.db").export(0, "script_network.py")
"""
)


def test_a_block_of_a_script_is_sent_to_the_workers(folder: Path) -> None:
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("{'complete': 1}", "{'untrained': 1}")
    assert "class OwnAttention(nn.Module):" in (folder / "script_network.py").read_text()
