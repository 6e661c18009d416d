"""What a replay or a retraining can be told, checked before anything starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nas.config.recipe import Recipe
from nas.errors import SearchError, nearest
from nas.limits import MAX_VALIDATION

DEVICES: Final = ("auto", "cpu", "cuda")
PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")
OUTPUT: Final = "nas-replays"
MAX_SEEDS: Final = 1_000
SEEDS: Final = 2
"""Seeds with which a member of a front is retrained, unless a user says otherwise."""


@dataclass(frozen=True)
class TrainingOptions:
    """How networks are trained and measured again: the options of `nas replay` and `nas retrain`, with underscores."""

    epochs: int | None = None
    steps: int | None = None
    fraction: float | None = None
    """Share of the images that are trained on; None: what the paper trains on, and all of them when retraining."""
    validation: float | None = None
    """Share of all training images that is held out: by a replay to draw validation curves, by a retraining to choose among
    seeds. None: none in a replay, in a retraining see `nas.replays.plan.HELD_OUT`."""
    seeds: int = 1
    data: str | None = None
    data_root: str | None = None
    data_cache: bool = True
    """Whether many image files are kept decoded on disk."""
    data_memory: float | None = None
    """Bytes of memory that images may take; None: half of the machine's."""
    image_size: int | None = None
    recipe: str | Path | Recipe | None = None
    batch_size: int | None = None
    precision: str | None = None
    """auto, fp32, bf16 or fp16; None: the recipe's, which for a published network is fp32."""
    pretrained: bool = True
    teacher: str | Path | None = None
    """A trained network whose answers are learned too: see `nas.network.teacher`."""
    device: str = "auto"
    threads: int | None = None
    again: bool = False
    output: str | Path = OUTPUT
    storage: str | None = None

    @property
    def memory(self) -> int | None:
        """Whole bytes of `data_memory`."""
        return None if self.data_memory is None else int(self.data_memory)

    def __post_init__(self) -> None:
        """Raises SearchError for a value that cannot be."""
        for name in ("epochs", "steps", "batch_size", "threads", "image_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SearchError(f"{name}: must be at least 1, not {value}")
        if self.epochs is not None and self.steps is not None:
            raise SearchError("epochs and steps: one or the other")
        if self.data_memory is not None and not 0 < self.data_memory < math.inf:
            raise SearchError(f"data_memory: must be a number above 0, not {self.data_memory}")
        if self.validation is not None and not 0 <= self.validation <= MAX_VALIDATION:
            raise SearchError(f"validation: must be from 0 to {MAX_VALIDATION}, not {self.validation}")
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise SearchError(f"seeds: must be from 1 to {MAX_SEEDS}, not {self.seeds}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise SearchError(f"fraction: must be above 0 and at most 1, not {self.fraction}")
        if self.precision is not None and self.precision not in PRECISIONS:
            known, hint = ", ".join(PRECISIONS), nearest(self.precision, PRECISIONS)
            raise SearchError(f"no precision '{self.precision}'; known: {known}{hint}")
        if self.device not in DEVICES:
            meant = nearest("cuda" if self.device == "gpu" else self.device, DEVICES)
            raise SearchError(f"no device '{self.device}'; known: {', '.join(DEVICES)}{meant}")
