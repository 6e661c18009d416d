"""What whole graphs and spaces must meet: edges that lead somewhere, shared decisions that exist, a size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from nas.architecture.architecture import INPUT
from nas.config.yaml_document import Document, KeyPath
from nas.errors import nearest
from nas.limits import MAX_DEPTH, MAX_NODES
from nas.space.grammar import NONE, Graph, GraphItem, GraphNode, SwitchNode, always_met, options_of, shared_everywhere
from nas.text.formatting import shorten


def check_edges(document: Document, where: KeyPath, items: Sequence[GraphItem]) -> None:
    """Inputs must name nodes that run before; every node but the last must be able to reach another one."""
    names = [item.name for item in items]
    turns = {name: turn for turn, name in enumerate(names)}
    sources: dict[str, list[str]] = {name: [] for name in (INPUT, *names)}
    for place, item in enumerate(items):
        parts = item.nodes.values() if isinstance(item, SwitchNode) else (item,)
        for part in parts:
            if part.inputs is None:
                sources[item.name].append(names[place - 1] if place else INPUT)
            for value in part.inputs or ():
                for option in options_of(value):
                    if option == NONE:
                        continue
                    if option not in sources:
                        known = [INPUT, *names[:place]]
                        hint = nearest(option, known) or f"; nodes before it: {shorten(', '.join(known), 300)[1:-1]}"
                        document.fail(
                            (*where, item.name), f"node '{item.name}': no node '{option}' in this graph{hint}"
                        )
                    sources[item.name].append(str(option))
    if cycle := find_cycle(sources):
        start = min(cycle, key=names.index)
        turn = cycle.index(start)
        around = [*cycle[turn:], *cycle[:turn], start]
        document.fail((*where, start), f"cyclic graph: {' -> '.join(around)}")
    read = {source for found in sources.values() for source in found}
    for place, item in enumerate(items):
        later = [name for name in sources[item.name] if turns.get(name, -1) >= place]
        if later:
            document.fail(
                (*where, item.name),
                f"node '{item.name}': its input '{later[0]}' runs later; nodes run in the order written",
            )
        if item is not items[-1] and item.name not in read:
            document.fail((*where, item.name), f"node '{item.name}': no other node takes it as input; it leads nowhere")


def find_cycle(sources: Mapping[str, Sequence[str]]) -> list[str]:
    """A cycle of a graph that is given as what leads to each node: each leads to the next one, the last to the first. Else none."""
    try:
        TopologicalSorter(sources).prepare()
    except CycleError as problem:
        return list(problem.args[1][:-1])
    return []


def check_shared(document: Document, graph: Graph) -> None:
    """What is shared everywhere must be decided once whatever else is, under a name that is nobody else's."""
    met = always_met(graph)
    for name in shared_everywhere(graph):
        if name not in met:
            document.fail(
                ("graphs", name),
                f"graph '{name}': shared everywhere, but some choices leave it out; one use must always be there",
            )
        if any(name == node.name for node in graph.nodes):
            document.fail(
                ("graph", name), f"node '{name}': a graph shared everywhere has this name, which its choices carry"
            )


class Extent(NamedTuple):
    """How much a graph makes."""

    largest: int
    """Nodes of the largest architecture."""
    written: int
    """Nodes that a walk through all options meets, each once."""
    depth: int
    """Depth of graphs in graphs."""


def check_extent(document: Document, where: KeyPath, graph: Graph, known: dict[str, Extent]) -> None:
    """Refuses a graph that no machine could build: thirty lines of nested repeats say 10¹² nodes. Adds it to `known`.

    The graphs in it are known already: what is used in two places is counted once, or it would take hours too.
    """
    parts = {item.name: _item_extent(item, known) for item in graph.nodes}
    whole = Extent(
        sum(part.largest for part in parts.values()),
        sum(part.written for part in parts.values()),
        max(part.depth for part in parts.values()),
    )
    known[graph.name] = whole
    widest = max(parts, key=lambda name: max(parts[name][:2]))
    if whole.depth > MAX_DEPTH:
        document.fail(
            where, f"graph '{graph.name}': graphs are nested {whole.depth} deep; at most {MAX_DEPTH} are allowed"
        )
    for count, what in ((whole.largest, "makes up to"), (whole.written, "has")):
        if count > MAX_NODES:
            limit = f"an architecture has at most {MAX_NODES:,}"
            document.fail((*where, widest), f"graph '{graph.name}' {what} {_power(count)} nodes; {limit}")


def _item_extent(item: GraphItem, known: dict[str, Extent]) -> Extent:
    if isinstance(item, SwitchNode):
        parts = [_item_extent(node, known) for node in item.nodes.values()]
    elif isinstance(item, GraphNode):
        parts = [known[name] for name in item.graphs]
    else:
        parts = [Extent(1, 1, 0)]
    copies = 1 if isinstance(item, SwitchNode) or item.repeat is None else max(map(int, options_of(item.repeat)))
    depth = max(part.depth for part in parts) + isinstance(item, GraphNode)
    return Extent(copies * max(part.largest for part in parts), sum(part.written for part in parts), depth)


def _power(count: int) -> str:
    return f"{count:,}" if count < 10**9 else f"10^{len(str(count)) - 1}"


def line_of(graph: Graph, path: str) -> int:
    """The line of the node that a path of an architecture comes from."""
    line = 1
    steps = path.split(".")
    nodes = {node.name: node for node in graph.nodes}
    for step in steps:
        node = nodes.get(step)
        if node is None:  # the number of a copy, or the name of a chosen graph
            continue
        line = node.line
        parts = node.nodes.values() if isinstance(node, SwitchNode) else (node,)
        inner = [graph for part in parts if isinstance(part, GraphNode) for graph in part.graphs.values()]
        nodes = {item.name: item for graph in inner for item in graph.nodes} if inner else nodes
    return line
