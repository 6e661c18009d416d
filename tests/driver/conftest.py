"""Small spaces and new databases."""

from __future__ import annotations

from pathlib import Path

import pytest

SPACE = """\
name: tiny
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [2, 4, 8]}, kernel_size: {choose: [3, 5]}, stride: 2}
  body: {block: {choose: [conv, identity, depthwise_separable]}}
  head: {block: classifier, pool: {choose: [average, flatten]}}
"""


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
