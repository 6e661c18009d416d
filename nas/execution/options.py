"""Where trainings run, and what each of them takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nas.config.cuda_graph_switch import cuda_graph_switch
from nas.errors import SearchError, nearest

DEVICES = ("auto", "cpu", "cuda")

AUTO = "auto"
"""As many trials on a GPU as have room there."""


@dataclass(frozen=True)
class RayOptions:
    """Where trainings run side by side, and what each of them takes."""

    ray_address: str | None = None
    cpus_per_trial: float = 1
    gpus_per_trial: float | str | None = None
    """``auto``: as many trials share a GPU as have room on it. None: one trial has one GPU."""
    max_concurrent: int | None = None
    device: str = AUTO
    """What trials train on: ``cpu``, ``cuda``, or ``auto`` for GPUs where there are any."""
    timed: bool = False
    """Whether networks are timed on a GPU, which then is for no trial."""

    def __post_init__(self) -> None:
        """Raises SearchError for a value that cannot be, NasError for one of the environment that trainings would refuse."""
        cuda_graph_switch()
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise SearchError(f"max_concurrent: must be at least 1, not {self.max_concurrent}")
        if not self.cpus_per_trial > 0:
            raise SearchError(f"cpus_per_trial: must be above 0, not {self.cpus_per_trial}")
        gpus = self.gpus_per_trial
        if isinstance(gpus, str):
            if gpus != AUTO:
                raise SearchError(f"gpus_per_trial: must be a number or '{AUTO}', not '{gpus}'{nearest(gpus, [AUTO])}")
        elif gpus is not None and not 0 <= gpus < math.inf:
            raise SearchError(f"gpus_per_trial: must be at least 0, not {gpus}")
        elif gpus is not None and gpus > 1:
            raise SearchError(f"gpus_per_trial: must be at most 1, not {gpus:g}: a network is trained on one GPU")
        if self.device not in DEVICES:
            known, meant = ", ".join(DEVICES), nearest("cuda" if self.device == "gpu" else self.device, DEVICES)
            raise SearchError(f"no device '{self.device}'; known: {known}{meant}")
        if self.device == "cuda" and gpus == 0:
            raise SearchError("device cuda: gpus_per_trial 0 leaves a trial no GPU; use --device cpu")
        if self.device == "cpu" and gpus:
            raise SearchError(f"device cpu: gpus_per_trial {gpus} asks for a GPU; leave one of them out")

    @property
    def least_gpus(self) -> float:
        """How much of a GPU must be there before a trial can start; 0 where one can do without."""
        if isinstance(self.gpus_per_trial, float | int):
            return self.gpus_per_trial
        return 1.0 if self.device == "cuda" else 0.0
