"""Equal parts of a network that follow one another, drawn once with their number."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import networkx as nx

from blocks.base import Facts
from nas.architecture.architecture import Architecture, Node
from nas.drawing.groups import Graph, Group, entering, graph_of, leaving

COPIES: Final = 3
"""So many or more equal parts are drawn once."""


Looks = Mapping[str, tuple[Facts, str]]
"""What tells nodes apart, by name: what it does, and how it is marked. Parts that are drawn once are equal in both."""


def fold(
    outer: Group, architecture: Architecture, found: Mapping[str, Facts], marks: Mapping[str, str] | None = None
) -> Group:
    """`outer` with each run of equal parts, each feeding only the next, as one group of several copies."""
    looks = {name: (fact, (marks or {}).get(name, "")) for name, fact in found.items()}
    return _folded(outer, looks, graph_of(architecture))


def _folded(frame: Group, found: Looks, graph: Graph) -> Group:
    members: list[Node | Group] = []
    runs: list[list[Node | Group]] = []
    for member in frame.members:
        if runs and _continues(runs[-1][-1], member, found, graph):
            runs[-1].append(member)
        else:
            runs.append([member])
    for run in runs:
        first = _folded(run[0], found, graph) if isinstance(run[0], Group) else run[0]
        if len(run) < COPIES:
            members += [first, *(_folded(item, found, graph) if isinstance(item, Group) else item for item in run[1:])]
            continue
        inside = first.members if isinstance(first, Group) else (first,)
        path = first.path if isinstance(first, Group) else first.name
        members.append(Group(path, inside, tuple(_nodes(item) for item in run[1:]), _title(run)))
    return replace(frame, members=tuple(members))


def _continues(before: Node | Group, member: Node | Group, found: Looks, graph: Graph) -> bool:
    ours, theirs = _nodes(member), _nodes(before)
    if _signature(ours, found) != _signature(theirs, found):
        return False
    names = {node.name for node in ours}
    inside = {node.name for node in theirs}
    left = leaving(graph, inside)
    readers = {reader for _, reader, *_ in nx.edge_boundary(graph, inside)}
    return left == entering(graph, names) and len(left) == 1 and readers <= names


def _signature(nodes: Sequence[Node], found: Looks) -> object:
    """Equal for two parts that do the same to the same shapes, whatever their names."""
    place = {node.name: index for index, node in enumerate(nodes)}
    return [
        (node.block, node.params, tuple(place.get(name, -1) for name in node.inputs), found[node.name])
        for node in nodes
    ]


def _nodes(member: Node | Group) -> tuple[Node, ...]:
    return tuple(member.nodes()) if isinstance(member, Group) else (member,)


def _title(run: Sequence[Node | Group]) -> str:
    """``rest.0.cells.1 … 17`` for the parts from ``rest.0.cells.1`` to ``rest.0.cells.17``."""
    first, last = (item.path if isinstance(item, Group) else item.name for item in (run[0], run[-1]))
    words, others = first.split("."), last.split(".")
    same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(words, others, strict=False))))
    return f"{first} … {'.'.join(others[same:]) or last}"
