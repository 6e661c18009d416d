"""Architecture → model: a `torch.fx.GraphModule` whose code reads like the architecture."""

from __future__ import annotations

from torch import fx, nn

from blocks import BLOCKS, ShapeError
from blocks.base import Shape
from nas.architecture.architecture import INPUT, Architecture
from nas.architecture.cost import facts
from nas.errors import Infeasible


def compile_model(architecture: Architecture, input: Shape, classes: int) -> fx.GraphModule:
    """A new model for images of shape `input` (C, H, W); `model(x)` is (B, C, H, W) -> (B, classes).

    The module of a node is named by the node's path, and `model.code` calls them in order. Weights are initialized by
    PyTorch's defaults from the global random state. Raises Infeasible when shapes cannot meet.
    """
    measured = facts(architecture, input, classes)
    shape_of = {INPUT: input} | {name: fact.out_shape for name, fact in measured.items()}
    root = nn.Module()
    graph = fx.Graph()
    values: dict[str, fx.Node] = {INPUT: graph.placeholder("x")}
    for node in architecture.nodes:
        in_shapes = tuple(shape_of[name] for name in node.inputs)
        try:
            module = BLOCKS[node.block].make(dict(node.params), in_shapes, classes)
        except ShapeError as problem:
            raise Infeasible(node.name, str(problem)) from None
        _attach(root, node.name, module)
        call = graph.create_node(
            "call_module",
            node.name,
            tuple(values[name] for name in node.inputs),
            name=node.name.replace(".", "_"),
        )
        call.meta["shape"] = shape_of[node.name]
        call.meta["facts"] = measured[node.name]
        values[node.name] = call
    graph.output(values[architecture.output])
    model = fx.GraphModule(root, graph, class_name="Network")
    model.train()
    return model


def _attach(root: nn.Module, path: str, module: nn.Module) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        if not hasattr(root, name):
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    root.add_module(leaf, module)
