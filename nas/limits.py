"""How large what a user names may be, so that a slip of the finger is one line and no machine that stands still."""

from __future__ import annotations

from typing import Final

MAX_NODES: Final = 10_000
"""Most nodes of an architecture that is built or read; those of the papers have fewer than 200."""
MAX_EDGES: Final = 100_000
MAX_EXTENT: Final = 65_536
"""Most channels, or pixels a side, of an image; products of larger numbers overflow."""
MAX_CLASSES: Final = 1_000_000
MAX_BATCH: Final = 65_536
MAX_VALIDATION: Final = 0.9
"""Share of the training images that are measured on: what is left has to teach something."""
MAX_DEPTH: Final = 32
"""Deepest nesting of graphs in the graphs of a space."""
MAX_OPTIONS: Final = 1_000
"""Most options of one choice."""
MAX_REPEAT: Final = 1_000
MAX_NAME: Final = 100
"""Characters in the name of a space, or of a node in it."""
