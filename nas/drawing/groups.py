"""The nodes of an architecture as groups inside groups, by the paths in their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import networkx as nx

from nas.architecture.architecture import Architecture, Node

Graph: TypeAlias = "nx.MultiDiGraph[str]"
OUTSIDE = ""
"""What reads the output of a network."""


@dataclass(frozen=True)
class Group:
    """Nodes and groups whose names start with `path`, in the order they run; the outermost has the path ``""``."""

    path: str
    members: tuple[Node | Group, ...]
    others: tuple[tuple[Node, ...], ...] = ()
    """The nodes of further copies that follow this one and are not drawn."""
    title: str = ""
    """Title of a group that stands for several copies: from which to which."""

    def nodes(self) -> list[Node]:
        """All nodes in it, also those of inner groups and of further copies."""
        found: list[Node] = []
        for member in self.members:
            found += member.nodes() if isinstance(member, Group) else [member]
        for copy in self.others:
            found += copy
        return found


def group(architecture: Architecture) -> Group:
    """Groups of at least two nodes that one tensor enters and one leaves; what is no such group is dissolved."""
    return Group("", _members("", architecture.nodes, graph_of(architecture)))


def graph_of(architecture: Architecture) -> Graph:
    """The graph of an architecture, with the world outside as what reads its output."""
    graph = architecture.graph()
    graph.add_edge(architecture.output, OUTSIDE)
    return graph


def entering(graph: Graph, inside: set[str]) -> set[str]:
    """The nodes outside that those `inside` read."""
    return {source for source, _ in graph.in_edges(inside)} - inside


def leaving(graph: Graph, inside: set[str]) -> set[str]:
    """The nodes `inside` that others read."""
    return {source for source, *_ in nx.edge_boundary(graph, inside)}


def _members(path: str, nodes: Sequence[Node], graph: Graph) -> tuple[Node | Group, ...]:
    parts: dict[str, list[Node]] = {}
    for node in nodes:
        parts.setdefault(_next_part(path, node.name), []).append(node)
    members: list[tuple[int, Node | Group]] = []
    place = {node.name: index for index, node in enumerate(nodes)}
    for part, inside in parts.items():
        if len(inside) == 1:
            members.append((place[inside[0].name], inside[0]))
            continue
        inner = _members(part, inside, graph)
        if len(inner) == 1 or not _one_in_one_out({node.name for node in inside}, graph):
            members += [(place[_last(member).name], member) for member in inner]
        else:
            members.append((place[inside[-1].name], Group(part, inner)))
    # A group runs when its last node has run: nothing outside reads it before, and it reads only what entered it.
    return tuple(member for _, member in sorted(members, key=lambda item: item[0]))


def _next_part(path: str, name: str) -> str:
    """``rest.0.cells.1.attention`` below ``rest.0``: ``rest.0.cells.1``; a number belongs to the word before it."""
    words = name[len(path) + 1 :].split(".") if path else name.split(".")
    length = 1
    while length < len(words) and words[length].isdigit():
        length += 1
    return ".".join([path, *words[:length]] if path else words[:length])


def _one_in_one_out(inside: set[str], graph: Graph) -> bool:
    return len(entering(graph, inside)) == 1 and len(leaving(graph, inside)) == 1


def _last(member: Node | Group) -> Node:
    return member.nodes()[-1] if isinstance(member, Group) else member
