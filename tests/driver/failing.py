"""Blocks that go wrong, for tests: a worker imports this file by the name in `NAS_TEST_BLOCKS`."""

from __future__ import annotations

import os
from typing import Annotated

from torch import Tensor, nn

from blocks.base import BLOCKS, OneOf, block

if "misbehave" not in BLOCKS:

    @block("misbehave", source="for tests")
    class Misbehave(nn.Module):
        """x (B, C, H, W) -> (B, C, H, W)

        Does what `how` says when it is trained.
        """

        def __init__(
            self, in_channels: int, *, how: Annotated[str, OneOf("not", "raise", "memory", "nan", "die")] = "not"
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
            if self.how == "die":
                os._exit(1)
            return x * float("nan") if self.how == "nan" else x
