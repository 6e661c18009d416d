"""What searches here share."""

from __future__ import annotations

from tests.small_search import space_file, storage

__all__ = ["space_file", "storage"]
