"""The search: proposals from Optuna, trials on Ray Tune, results in the study database."""

from __future__ import annotations

from nas.driver.options import OBJECTIVES, RayOptions, SearchOptions, parse_duration
from nas.driver.search import SearchResult, search

__all__ = ["OBJECTIVES", "RayOptions", "SearchOptions", "SearchResult", "parse_duration", "search"]
