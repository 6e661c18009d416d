"""The named states in which a trial ends."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

RUNNING: Final = "running"
PAUSED: Final = "paused"
"""Begun, and in no process: the next run goes on with it, from its checkpoint where it has one. It has no number before it ends."""
COMPLETE: Final = "complete"
UNTRAINED: Final = "untrained"
STOPPED_EARLY: Final = "stopped_early"
INTERRUPTED: Final = "interrupted"
FINISHED: Final = (
    COMPLETE,
    UNTRAINED,
    STOPPED_EARLY,
    "diverged",
    "out_of_memory",
    "timed_out",
    INTERRUPTED,
    "failed",
)
"""The states a trial can end in."""

BAD: Final = ("untrained", "diverged", "out_of_memory", "timed_out", "failed")
"""States of a trial whose network learned nothing or gave no result; `interrupted` is no fault of the network."""


class State(StrEnum):
    """How a trial ended. Every trial ends in one of these."""

    COMPLETE = "complete"
    UNTRAINED = "untrained"
    """Trained to the end, and no better than a guess: its accuracy says nothing of what the network is worth."""
    STOPPED_EARLY = "stopped_early"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
