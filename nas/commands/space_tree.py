"""A space as a tree for the terminal."""

from __future__ import annotations

from rich.tree import Tree

from nas.space.grammar import EVERYWHERE, BlockNode, Choice, Graph, GraphItem, GraphNode, SwitchNode, Value
from nas.space.space import Space
from nas.text.formatting import digits
from nas.text.terminal import styled

Parts = tuple[str | tuple[str, str], ...]
"""Parts of a styled text: strings, and pairs of string and style."""


def space_tree(space: Space) -> Tree:
    """The graphs of a space, node by node; choices stand in braces."""
    shape = "×".join(map(str, space.input))
    root = Tree(styled((space.name, "bold"), f"  input {shape}"))
    _add_graph(root, space.graph)
    for name, bounds in space.constraints.items():
        parts = [f"at {word} {digits(value)}" for word, value in (("least", bounds.min), ("most", bounds.max)) if value]
        root.add(styled(("constraint", "yellow"), f" {name} {' and '.join(parts)}"))
    for rule in space.counts:
        root.add(styled(("count", "yellow"), f" {rule.name}: {rule}"))
    return root


def _add_graph(tree: Tree, graph: Graph) -> None:
    for node in graph.nodes:
        _add_node(tree, node.name, node)


def _add_node(tree: Tree, label: str, node: GraphItem) -> None:
    name = (label, "bold")
    if isinstance(node, SwitchNode):
        branch = tree.add(styled(name, f": one of {len(node.nodes)}"))
        for option, inner in node.nodes.items():
            _add_node(branch, option, inner)
        return
    inputs = _inputs(node)
    optional = " (optional)" if isinstance(node.present, Choice) else ""
    if isinstance(node, BlockNode):
        branch = tree.add(styled(name, ": ", *_value(node.block, "cyan"), *_repeat(node), *inputs, optional))
        for key, value in node.params.items():
            branch.add(styled(f"{key}: ", *_value(value)))
        for key, value in node.first.items():
            branch.add(styled(f"{key} of the first: ", *_value(value)))
        return
    assert isinstance(node, GraphNode)
    branch = tree.add(styled(name, ": graph ", *_value(node.graph, "cyan"), *_repeat(node), *inputs, optional))
    for graph in node.graphs.values():
        _add_graph(branch if len(node.graphs) == 1 else branch.add(graph.name), graph)


def _inputs(node: BlockNode | GraphNode) -> Parts:
    parts: Parts = ()
    for place, value in enumerate(node.inputs or ()):
        parts += (", " if place else " from ", *_value(value))
    return parts


def _repeat(node: BlockNode | GraphNode) -> Parts:
    alike = {True: ", all alike", EVERYWHERE: ", alike everywhere"}.get(node.share, "")
    return (*(() if node.repeat is None else (" × ", *_value(node.repeat))), alike)


def _value(value: Value, style: str = "") -> Parts:
    def plain(scalar: object) -> str:
        return str(scalar).lower() if isinstance(scalar, bool) else str(scalar)

    if isinstance(value, Choice):
        return (("{" + ", ".join(plain(option) for option in value.options) + "}", "green"),)
    return ((plain(value), style),)
