"""The blocks that architectures are made of. Each file of this folder is one family; adding a file adds its blocks."""

from __future__ import annotations

import importlib
import pkgutil

from blocks.base import BLOCKS, Block, Facts, Hyperparameter, OneOf, Range, ShapeError, Width, block, measure

__all__ = ["BLOCKS", "Block", "Facts", "Hyperparameter", "OneOf", "Range", "ShapeError", "Width", "block", "measure"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
