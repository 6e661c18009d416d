"""Training: one model, one recipe, one data set, ending in a named state."""

from __future__ import annotations

from nas.train.environment import device_name, environment
from nas.train.outcome import Diverged, State, outcome, release_memory
from nas.train.precision import cpu_gains_from_bf16
from nas.train.schedule import schedule
from nas.train.trainer import Epoch, Result, Trainer, evaluate, seed_everything, train

__all__ = [
    "Diverged",
    "Epoch",
    "Result",
    "State",
    "Trainer",
    "cpu_gains_from_bf16",
    "device_name",
    "environment",
    "evaluate",
    "outcome",
    "release_memory",
    "schedule",
    "seed_everything",
    "train",
]
