"""Small spaces and new databases; what becomes of a search in another process."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from nas.config.recipe import Recipe
from nas.execution.orphans import descendants

SPACE = """\
name: tiny
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [4, 8, 16]}, kernel_size: {choose: [3, 5]}, stride: 2}
  body: {block: {choose: [conv, identity, depthwise_separable]}}
  head: {block: classifier, pool: {choose: [average, flatten]}}
"""


QUICK = Recipe(optimizer="adamw", lr=0.02, schedule="wsd", warmup=0.1, ema=0.99, clip_norm=1.0, batch_size=16, epochs=1)
"""With it nearly every network of the space learns something of the digits in one epoch."""


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    """A space of 36 small networks."""
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """A new study database."""
    return f"sqlite:///{tmp_path / 'nas.db'}"


def training_process(search: subprocess.Popen[str], seconds: float = 200.0) -> int:
    """A process of its Ray that trains, as soon as there is one."""
    deadline = time.monotonic() + seconds
    while search.poll() is None and time.monotonic() < deadline:
        for pid in descendants(search.pid):
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").endswith(b".train"):
                    return pid
        time.sleep(0.1)
    raise AssertionError("nothing is trained")
