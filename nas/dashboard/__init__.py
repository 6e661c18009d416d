"""Optuna Dashboard on a study database, with what nas knows about each trial in its notes."""

from nas.dashboard.server import Dashboard

__all__ = ["Dashboard"]
