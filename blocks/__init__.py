"""The blocks that architectures are made of. Each file of this folder is one family; adding a file adds its blocks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from blocks.base import BLOCKS, Block, Facts, Hyperparameter, OneOf, Range, ShapeError, Width, block, declare, measure
from blocks.declarations import declared
from nas.errors import BlockError
from nas.plugins.packages import require

__all__ = ["BLOCKS", "Block", "Facts", "Hyperparameter", "OneOf", "Range", "ShapeError", "Width", "block", "measure"]

for _found in declared(Path(__file__).parent, __name__):
    declare(_found)


def _timm() -> None:
    require("a block of timm", ("timm",), "timm", BlockError)
    import_module("blocks.extras.timm_layers")


BLOCKS.add_extra("timm", _timm)
