"""Blocks that go wrong, for tests: a worker imports this file by the name in `NAS_TEST_BLOCKS`."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from blocks.base import BLOCKS, OneOf, block

WAYS = ("not", "raise", "memory", "nan", "die", "killed", "crowded")
WAYS += ("cuda memory", "say", "say again", "leak", "hang", "hang in C")
LEAKED: list[bytes] = []


def _once(problem: Exception) -> None:
    """Raises `problem` the first time that any worker of this Ray comes here."""
    mark = Path(os.environ["NAS_TEST_FOLDER"]) / "raised"
    if not mark.exists():
        mark.touch()
        raise problem


if "misbehave" not in BLOCKS:

    @block("misbehave", source="for tests")
    class Misbehave(nn.Module):
        """x (B, C, H, W) -> (B, C, H, W)

        Does what `how` says when it is trained.
        """

        def __init__(
            self,
            in_channels: int,
            *,
            how: Annotated[str, OneOf(*WAYS)] = "not",
        ) -> None:
            super().__init__()
            self.how = how

        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                return x
            if self.how == "raise":
                raise RuntimeError("this block is broken")
            if self.how == "memory":
                raise MemoryError
            if self.how == "crowded":
                _once(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"))
            if self.how == "die":
                os._exit(1)
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "cuda memory":  # what PyTorch raises where there is a GPU
                raise torch.OutOfMemoryError(f"CUDA out of memory in process {os.getpid()}")
            if self.how in ("say", "say again"):
                raise RuntimeError(f"in process {os.getpid()}")
            if self.how == "leak":
                LEAKED.append(os.urandom(1 << 20) * 1100)  # 1.1 GiB that are really there
                raise RuntimeError(f"leaked in process {os.getpid()}")
            if self.how == "hang":
                time.sleep(3600)
            if self.how == "hang in C":
                sum(itertools.repeat(0))
            return x * float("nan") if self.how == "nan" else x
