"""A small space and new databases."""

from tests.searches.simulated import store, studies
from tests.small_search import space_file, storage

__all__ = ["space_file", "storage", "store", "studies"]
