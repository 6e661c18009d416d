"""A small space and new databases."""

from tests.small_search import space_file, storage

__all__ = ["space_file", "storage"]
