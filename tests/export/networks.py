"""Networks to export: one around each block, one of all blocks, random ones."""

from __future__ import annotations

import random

import torch
from torch import fx

from blocks import ShapeError, measure
from blocks.base import Scalar, Shape, resolve_width
from nas.architecture.architecture import INPUT, Architecture, Node
from nas.architecture.compile import compile_model
from nas.architecture.cost import cost
from nas.errors import Infeasible
from nas.space.space import Space
from tests.blocks.cases import BLOCKS

SHAPE = (3, 12, 12)
CHANNELS = 32


def around(block: str, **changed: Scalar) -> Architecture:
    """A small network with this block in it: conv, block (twice the conv's output where it merges), classifier."""
    values: dict[str, Scalar] = {name: one.default for name, one in BLOCKS[block].hyperparameters.items()} | changed
    for name, one in BLOCKS[block].hyperparameters.items():
        if one.is_width:
            values[name] = resolve_width(values[name], CHANNELS)
    inputs = ("stem", "stem") if BLOCKS[block].takes_many else ("stem",)
    head = {name: one.default for name, one in BLOCKS["classifier"].hyperparameters.items()}
    conv = {name: one.default for name, one in BLOCKS["conv"].hyperparameters.items()} | {"channels": CHANNELS}
    nodes = [Node("stem", "conv", tuple(sorted(conv.items())), (INPUT,))]
    if block == "classifier":
        return Architecture((*nodes, Node("head", block, tuple(sorted(values.items())), ("stem",))), "head")
    nodes.append(Node("body.0.under_test", block, tuple(sorted(values.items())), inputs))
    nodes.append(Node("head", "classifier", tuple(sorted(head.items())), ("body.0.under_test",)))
    return Architecture(tuple(nodes), "head")


def warmed(architecture: Architecture, shape: tuple[int, ...] = SHAPE, classes: int = 7) -> fx.GraphModule:
    """A model whose statistics and weights are not those of a new one."""
    torch.manual_seed(1)
    model = compile_model(architecture, shape, classes)
    with torch.no_grad():
        model(torch.randn(4, *shape) * 2 + 0.5)
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def random_points(space: str, number: int) -> list[Architecture]:
    rng, loaded, found = random.Random(3), Space.load(space), []
    while len(found) < number:
        try:
            architecture = loaded.from_assignment(loaded.sample(rng))
        except Infeasible:
            continue
        if cost(architecture, loaded.input, 10).macs < 100e6:
            found.append(architecture)
    return found


def everything() -> tuple[Architecture, Shape]:
    """One network of every block, those first that keep the size of a map; each is added to a stem of the same shape."""
    shape: Shape = (3, 24, 24)
    values = {name: {one.name: one.default for one in BLOCKS[name].hyperparameters.values()} for name in BLOCKS}
    nodes = [Node("stem", "conv", tuple(sorted({**values["conv"], "channels": CHANNELS}.items())), (INPUT,))]
    at: Shape = (CHANNELS, *shape[1:])

    def params(name: str) -> tuple[tuple[str, Scalar], ...]:
        widths = {one.name for one in BLOCKS[name].hyperparameters.values() if one.is_width}
        return tuple(
            sorted(
                (key, resolve_width(value, at[0]) if key in widths else value) for key, value in values[name].items()
            )
        )

    def extents(name: str) -> int:
        try:
            return -measure(name, params(name), (at,) * (2 if BLOCKS[name].takes_many else 1), 7).out_shape[1]
        except ShapeError:
            return 0

    names = [name for name in BLOCKS if len(_out(name, params(name), at)) == 3]
    for name in sorted(names, key=extents):
        before = nodes[-1].name
        inputs = (before, before) if BLOCKS[name].takes_many else (before,)
        out = measure(name, params(name), (at,) * len(inputs), 7).out_shape
        nodes.append(Node(f"all.{name}", name, params(name), inputs))
        if out == at:
            nodes.append(Node(f"sum.{name}", "add", (), (before, f"all.{name}")))
        at = out
    nodes.append(Node("head", "classifier", tuple(sorted(values["classifier"].items())), (nodes[-1].name,)))
    return Architecture(tuple(nodes), "head"), shape


def _out(name: str, params: tuple[tuple[str, Scalar], ...], at: Shape) -> Shape:
    return measure(name, params, (at,) * (2 if BLOCKS[name].takes_many else 1), 7).out_shape
