"""What an architecture costs, known exactly before any training and without allocating anything.

The blocks are measured one by one (`blocks.measure`, remembered per block, hyperparameters and input shape) and summed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real

from blocks import Facts, ShapeError, measure
from blocks.base import Params, Shape
from blocks.counting import UncountedError
from nas.architecture.architecture import INPUT, Architecture, Node
from nas.errors import Infeasible, NasError
from nas.objectives import COUNTED, OBJECTIVES

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of one network for one image."""

    parameters: int
    """Trained weights and biases."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products."""
    activation_bytes: int
    """Most bytes of float32 feature maps held at once in a forward pass at inference, the input image included.

    Training holds more: about every feature map at once, times the batch.
    """
    others: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What else is known of it before its training, by the names of objectives."""

    def __getitem__(self, name: str) -> float:
        """The value of this name. Raises KeyError when it is not known."""
        return getattr(self, name) if name in COUNTED else self.others[name]

    def __contains__(self, name: str) -> bool:
        """Whether the value of this name is known."""
        return name in COUNTED or name in self.others

    def to_dict(self) -> dict[str, float]:
        """Every value by its name."""
        return {**{name: getattr(self, name) for name in COUNTED}, **self.others}

    def with_values(self, values: Mapping[str, float]) -> Cost:
        """This cost, and these values by the names of objectives."""
        return replace(self, others={**self.others, **values})


@dataclass(frozen=True)
class Built:
    """A network for images of one shape: what was found out on the way to it is kept, so nobody has to ask twice."""

    architecture: Architecture
    input: Shape
    classes: int
    facts: Mapping[str, Facts]
    """What each node does to the shapes that reach it, by its name."""

    @cached_property
    def cost(self) -> Cost:
        """Cost of the whole network."""
        return _sum(self)


def fact(node: Node, params: Params, in_shapes: tuple[Shape, ...], classes: int) -> Facts:
    """What one node, with these hyperparameters, does to inputs of these shapes. Raises as `facts`."""
    try:
        return measure(node.block, params, in_shapes, classes)
    except ShapeError as problem:
        raise Infeasible(node.name, str(problem)) from None
    except UncountedError as problem:
        raise NasError(f"node '{node.name}': {problem}") from None


def facts(architecture: Architecture, input: Shape, classes: int) -> dict[str, Facts]:
    """What each node does to the shapes that reach it, by node name.

    Raises Infeasible when shapes cannot meet, NasError for a block whose cost cannot be counted.
    """
    shape_of: dict[str, Shape] = {INPUT: input}
    found: dict[str, Facts] = {}
    for node in architecture.nodes:
        known = fact(node, node.params, tuple([shape_of[name] for name in node.inputs]), classes)
        found[node.name] = known
        shape_of[node.name] = known.out_shape
    return found


def shapes(architecture: Architecture, input: Shape, classes: int) -> dict[str, Shape]:
    """Output shape of every node, (C, H, W) or (classes,), and of the input."""
    found = facts(architecture, input, classes)
    return {INPUT: input} | {name: known.out_shape for name, known in found.items()}


def cost(architecture: Architecture, input: Shape, classes: int) -> Cost:
    """Parameters, MACs and peak activation bytes of the whole network, and what registered objectives count of it.

    Raises Infeasible when the shapes of a node's inputs cannot meet.
    """
    return Built(architecture, input, classes, facts(architecture, input, classes)).cost


def _sum(built: Built) -> Cost:
    architecture, found, input = built.architecture, built.facts, built.input
    parameters = sum([known.parameters for known in found.values()])
    macs = sum([known.macs for known in found.values()])
    others = {
        row.name: _counted(row.name, row.count(architecture, input, built.classes))
        for row in OBJECTIVES.values()
        if row.count is not None
    }
    return Cost(parameters, macs, _peak(architecture, found, input), others)


def _counted(name: str, value: float) -> float:
    """What a registered objective says of a network. Raises NasError when that is no number."""
    if not isinstance(value, Real) or not math.isfinite(value):
        raise NasError(f"objective '{name}': count must give a finite number, not {value!r}")
    return float(value)


def _peak(architecture: Architecture, found: Mapping[str, Facts], input: Shape) -> int:
    # A tensor lives until its last reader has run; the image until the end, because the caller holds it. A node whose
    # output shares the memory of an input (a view) keeps that memory alive instead of having its own.
    owner: dict[str, str] = {INPUT: INPUT}
    last_use: dict[str, int] = {}
    end = len(architecture.nodes)
    for place, node in enumerate(architecture.nodes):
        for name in node.inputs:
            last_use[owner[name]] = place
        alias = found[node.name].alias_of
        owner[node.name] = node.name if alias is None else owner[node.inputs[alias]]
        last_use.setdefault(owner[node.name], place)
    last_use[INPUT] = end
    last_use[owner[architecture.output]] = end
    size = {INPUT: _bytes(input)}
    held = size[INPUT]
    peak = held
    dying: dict[int, list[str]] = {}
    for name, place in last_use.items():
        dying.setdefault(place, []).append(name)
    for place, node in enumerate(architecture.nodes):
        known = found[node.name]
        peak = max(peak, held + known.peak_bytes)
        if owner[node.name] == node.name:
            size[node.name] = _bytes(known.out_shape)
            held += size[node.name]
        for name in dying.get(place, ()):
            held -= size[name]
    return peak


def _bytes(shape: Shape) -> int:
    count = FLOAT_BYTES
    for extent in shape:
        count *= extent
    return count
