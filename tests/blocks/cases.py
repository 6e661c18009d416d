"""Every registered block at every allowed value of each hyperparameter, the others at their defaults."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

import blocks
from blocks import Facts, measure
from blocks.base import Params, Scalar, Shape, resolve_width

BLOCKS = {name: one for name, one in blocks.BLOCKS.items() if one.module.__module__.startswith("blocks.")}
"""Those of the library: other tests register blocks that hang."""
CLASSES = 10
CHANNELS = 32  # the largest number of groups
SHAPE: Shape = (CHANNELS, 6, 6)


@dataclass(frozen=True)
class Case:
    """A block with one hyperparameter that may differ from its default."""

    block: str
    changed: tuple[str, Scalar] | None

    def __str__(self) -> str:
        return self.block if self.changed is None else f"{self.block}-{self.changed[0]}={self.changed[1]}"

    @property
    def params(self) -> Params:
        """All hyperparameters, widths resolved, as an architecture has them."""
        values = {name: parameter.default for name, parameter in BLOCKS[self.block].hyperparameters.items()}
        values |= dict([self.changed] if self.changed else [])
        for name, parameter in BLOCKS[self.block].hyperparameters.items():
            if parameter.is_width:
                values[name] = resolve_width(values[name], CHANNELS)
        return tuple(sorted(values.items()))

    def shapes(self, shape: Shape = SHAPE) -> tuple[Shape, ...]:
        """Shapes of the inputs."""
        return (shape, shape) if BLOCKS[self.block].takes_many else (shape,)

    def make(self, shape: Shape = SHAPE, seed: int = 0) -> nn.Module:
        """A new module, the same for the same seed."""
        torch.manual_seed(seed)
        return BLOCKS[self.block].make(dict(self.params), self.shapes(shape), CLASSES)

    def measure(self, shape: Shape = SHAPE) -> Facts:
        """What the block does to `shape`."""
        return measure(self.block, self.params, self.shapes(shape), CLASSES)

    def inputs(self, shape: Shape = SHAPE, batch: int = 2, seed: int = 0) -> list[Tensor]:
        """Random inputs."""
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(batch, *one, generator=generator) for one in self.shapes(shape)]


def every_case() -> list[Case]:
    """One case a value."""
    cases: list[Case] = []
    for name, block in BLOCKS.items():
        cases.append(Case(name, None))
        for key, parameter in block.hyperparameters.items():
            cases += [Case(name, (key, value)) for value in parameter.allowed.examples if value != parameter.default]
    return cases
