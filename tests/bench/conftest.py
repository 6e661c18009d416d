"""A space of 15 networks, and a table of it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.space.space import Space

SPACE = """\
name: pair
input: [1, 8, 8]
graphs:
  layer:
    op:
      choose:
        skip: {block: identity}
        small: {block: conv, kernel_size: 1}
        large: {block: conv, kernel_size: 3}
graph:
  stem: {block: conv, channels: 4}
  body: {graph: layer, repeat: 3}
  head: {block: classifier, pool: average}
"""
WORTH = {"skip": 0.0, "small": 0.1, "large": 0.2}


@pytest.fixture
def space(tmp_path: Path) -> Space:
    """27 assignments of 15 networks: where a skip stands does not matter."""
    path = tmp_path / "pair.yaml"
    path.write_text(SPACE)
    return Space.load(path)


@pytest.fixture
def rows(space: Space) -> list[dict[str, Any]]:
    """A row an assignment: choices, accuracy in percent, seconds."""
    return [
        {**assignment, "accuracy": 30 + 100 * sum(WORTH[str(op)] for op in assignment.values()), "seconds": 2.0}
        for assignment in space.enumerate()
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[list[dict[str, Any]]], Path]:
    """Writes rows as CSV."""

    def written(rows: list[dict[str, Any]]) -> Path:
        path = tmp_path / "table.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return written
