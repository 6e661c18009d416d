"""A published network that trains in a blink: a paper invented for tests, on digits."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

QUICK = ("--device", "cpu", "--threads", "1")

SPACE = """
name: tiny
input: [1, 8, 8]
graph:
  conv: {block: conv, channels: {choose: [8, 16]}, norm: batch}
  down: {block: max_pool}
  head: {block: classifier, dropout: 0.1}
"""

CONFIG = """
name: tiny_net
title: A network for tests
paper: Nobody et al., On nothing
space: {space}
data: digits
input: [1, 8, 8]
classes: 10
assignment: {{conv.channels: 16}}
recipe: {{lr: 0.2, norm_images: 2048, schedule: step, milestones: [4, 6], batch_size: 64, epochs: 8,
  augment: {{crop_padding: 0, flip: false}}}}
claims:
  - {{metric: accuracy, value: 97.5, unit: '%', table: Table 1}}
  - {{metric: parameters, value: 0.3, unit: M, table: Table 1}}
assumptions: ['Everything: there is no paper.']
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def write_config(folder: Path) -> Path:
    """The published network in files of its own."""
    space = folder / "tiny.yaml"
    space.write_text(textwrap.dedent(SPACE))
    path = folder / "tiny_net.yaml"
    path.write_text(textwrap.dedent(CONFIG).format(space=space))
    return path
