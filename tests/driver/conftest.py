"""Small spaces and new databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.recipe import Recipe

SPACE = """\
name: tiny
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [4, 8, 16]}, kernel_size: {choose: [3, 5]}, stride: 2}
  body: {block: {choose: [conv, identity, depthwise_separable]}}
  head: {block: classifier, pool: {choose: [average, flatten]}}
"""


QUICK = Recipe(optimizer="adamw", lr=0.02, schedule="wsd", warmup=0.1, ema=0.99, clip_norm=1.0, batch_size=16, epochs=1)
"""With it each network of the space learns something of the digits in one epoch."""


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
