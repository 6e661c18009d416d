"""Networks that are plain chains of blocks, measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blocks import BLOCKS, measure
from blocks.base import Scalar, Shape, resolve_width

Step = tuple[str, dict[str, Scalar]]


@dataclass(frozen=True)
class Chain:
    """What a chain of blocks costs."""

    shapes: tuple[Shape, ...]
    parameters: int
    macs: int


def chain(shape: Shape, steps: Iterable[Step], classes: int = 10) -> Chain:
    """Every block after the one before it. Shapes: of the input and after every block."""
    shapes = [shape]
    parameters = macs = 0
    for name, changed in steps:
        values = {key: parameter.default for key, parameter in BLOCKS[name].hyperparameters.items()} | changed
        if "channels" in values:
            values["channels"] = resolve_width(values["channels"], shapes[-1][0])
        facts = measure(name, tuple(sorted(values.items())), (shapes[-1],), classes)
        shapes.append(facts.out_shape)
        parameters += facts.parameters
        macs += facts.macs
    return Chain(tuple(shapes), parameters, macs)
