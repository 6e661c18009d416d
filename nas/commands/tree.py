"""A space as a tree for the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.tree import Tree

from nas.grammar import EVERYWHERE, BlockNode, Choice, Graph, GraphItem, GraphNode, SwitchNode, Value
from nas.space import Space


def space_tree(space: Space) -> Tree:
    """The graphs of a space, node by node; choices stand in braces."""
    shape = "×".join(map(str, space.input))
    root = Tree(f"[bold]{escape(space.name)}[/bold]  input {shape}")
    _add_graph(root, space.graph)
    for name, bounds in space.constraints.items():
        parts = [f"at {word} {value:,.0f}" for word, value in (("least", bounds.min), ("most", bounds.max)) if value]
        root.add(f"[yellow]constraint[/yellow] {name} {' and '.join(parts)}")
    return root


def _add_graph(tree: Tree, graph: Graph) -> None:
    for node in graph.nodes:
        _add_node(tree, node.name, node)


def _add_node(tree: Tree, label: str, node: GraphItem) -> None:
    name = f"[bold]{escape(label)}[/bold]"
    if isinstance(node, SwitchNode):
        branch = tree.add(f"{name}: one of {len(node.nodes)}")
        for option, inner in node.nodes.items():
            _add_node(branch, option, inner)
        return
    inputs = "" if node.inputs is None else f" from {', '.join(_value(value) for value in node.inputs)}"
    optional = " (optional)" if isinstance(node.present, Choice) else ""
    if isinstance(node, BlockNode):
        branch = tree.add(f"{name}: [cyan]{_value(node.block)}[/cyan]{_repeat(node)}{inputs}{optional}")
        for key, value in node.params.items():
            branch.add(f"{key}: {_value(value)}")
        for key, value in node.first.items():
            branch.add(f"{key} of the first: {_value(value)}")
        return
    assert isinstance(node, GraphNode)
    repeat = _repeat(node)
    branch = tree.add(f"{name}: graph [cyan]{_value(node.graph)}[/cyan]{repeat}{inputs}{optional}")
    for graph in node.graphs.values():
        _add_graph(branch if len(node.graphs) == 1 else branch.add(graph.name), graph)


def _repeat(node: BlockNode | GraphNode) -> str:
    alike = {True: ", all alike", EVERYWHERE: ", alike everywhere"}.get(node.share, "")
    return ("" if node.repeat is None else f" × {_value(node.repeat)}") + alike


def _value(value: Value) -> str:
    def plain(scalar: object) -> str:
        return escape(str(scalar).lower() if isinstance(scalar, bool) else str(scalar))

    if isinstance(value, Choice):
        return f"[green]{{{', '.join(plain(option) for option in value.options)}}}[/green]"
    return plain(value)
