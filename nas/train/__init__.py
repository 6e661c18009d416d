"""Training: one model, one recipe, one data set, ending in a named state."""

from __future__ import annotations

from nas.train.device import answers, forget_peak, peak_memory, release_memory, why_unusable
from nas.train.environment import device_name, environment
from nas.train.evaluation import evaluate
from nas.train.generators import seed_everything
from nas.train.outcome import Diverged, Retry, Verdict, judge
from nas.train.precision import cpu_gains_from_bf16
from nas.train.schedule import schedule
from nas.train.trainer import Epoch, Trainer

__all__ = [
    "Diverged",
    "Epoch",
    "Retry",
    "Trainer",
    "Verdict",
    "answers",
    "cpu_gains_from_bf16",
    "device_name",
    "environment",
    "evaluate",
    "forget_peak",
    "judge",
    "peak_memory",
    "release_memory",
    "schedule",
    "seed_everything",
    "why_unusable",
]
