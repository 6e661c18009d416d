"""One concrete network: blocks on the nodes of a directed acyclic graph, tensors on its edges.

An architecture is plain immutable data. It knows no weights and no input size; `nas.architecture.cost` and
`nas.architecture.compile` take both.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from blocks import BLOCKS
from blocks.base import Params, Scalar
from nas.architecture.node_names import check_name
from nas.config.block_files import OWN_HINT
from nas.errors import AssignmentError, nearest
from nas.limits import MAX_EDGES, MAX_NODES
from nas.text.formatting import shorten
from nas.text.sanitize import read_json

if TYPE_CHECKING:
    import networkx as nx

INPUT = "input"
"""The name of the tensor that enters a graph."""


@dataclass(frozen=True, slots=True)
class Node:
    """One block of an architecture."""

    name: str
    """Path in the space, such as ``rest.0.cells.1.attention``; also the name of the module."""
    block: str
    params: Params
    """Every hyperparameter of the block as sorted pairs; widths are whole numbers here."""
    inputs: tuple[str, ...]
    """Names of the nodes that feed this one, or `INPUT`."""

    def __post_init__(self) -> None:
        """Raises AssignmentError for a name that must not stand in source code (see `nas.architecture.node_names`)."""
        check_name(self.name)


@dataclass(frozen=True)
class Architecture:
    """Nodes in the order they run, and the name of the one whose tensor leaves.

    Only nodes that reach the output are part of it, and none that returns its one input unchanged, so two
    assignments that differ in a dead branch or in how a connection is spelled give the same architecture.
    """

    nodes: tuple[Node, ...]
    output: str

    def to_json(self) -> str:
        """Canonical JSON: one line, sorted keys. `from_json` gives an equal architecture back."""
        nodes = [
            {"name": node.name, "block": node.block, "params": dict(node.params), "inputs": list(node.inputs)}
            for node in self.nodes
        ]
        return json.dumps({"nodes": nodes, "output": self.output}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Reads what `to_json` wrote. Raises AssignmentError when it is anything else."""
        try:
            data = read_json(text)
            nodes = tuple(
                Node(
                    _text(item["name"]),
                    _text(item["block"]),
                    tuple(sorted((_text(key), _scalar(value)) for key, value in item["params"].items())),
                    tuple(_text(name) for name in item["inputs"]),
                )
                for item in data["nodes"]
            )
            output = _text(data["output"])
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            cause = shorten(str(problem))[1:-1]
            raise AssignmentError(f"not the JSON of an architecture: {type(problem).__name__}: {cause}") from None
        _check(nodes, output)
        return cls(nodes, output)

    @cached_property
    def hash(self) -> str:
        """32 hexadecimal digits, equal for two architectures exactly when they are the same network up to renaming.

        The Weisfeiler-Lehman hash of networkx sees k steps far for k rounds, and these graphs are long and thin; in an
        acyclic graph one pass along the edges and one back see everything. Forward, a node's label is its block and
        the labels of its inputs (in any order where the block does not care); backward, it is who uses the node, at
        which place. The multiset of both also tells one node used twice from two equal nodes.
        """
        forward: dict[str, bytes] = {INPUT: b"input"}
        users: dict[str, list[tuple[str, int]]] = {INPUT: []}
        for node in self.nodes:
            inputs = [forward[name] for name in node.inputs]
            if BLOCKS[node.block].commutative:
                inputs.sort()
            label = json.dumps([node.block, node.params], separators=(",", ":")).encode()
            forward[node.name] = _digest(label, *inputs)
            users[node.name] = []
            for place, name in enumerate(node.inputs):
                users[name].append((node.name, 0 if BLOCKS[node.block].commutative else place))
        backward: dict[str, bytes] = {}
        for name in (*(node.name for node in reversed(self.nodes)), INPUT):
            seen_by = sorted(_digest(b"%d" % place, forward[user], backward[user]) for user, place in users[name])
            backward[name] = _digest(b"output" if name == self.output else b"", *seen_by)
        both = sorted(_digest(forward[name], backward[name]) for name in forward)
        return hashlib.sha256(b"".join(both)).hexdigest()[:32]

    def graph(self) -> nx.MultiDiGraph[str]:
        """A fresh networkx view: nodes with `block` and `params`, edges with the `place` of the input; `INPUT` included."""
        import networkx as nx

        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(output=self.output)
        graph.add_node(INPUT, block=INPUT, params=())
        for node in self.nodes:
            graph.add_node(node.name, block=node.block, params=node.params)
            for place, name in enumerate(node.inputs):
                graph.add_edge(name, node.name, place=place)
        return graph

    @cached_property
    def blocks(self) -> Mapping[str, int]:
        """How many nodes there are of each block."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            counts[node.block] = counts.get(node.block, 0) + 1
        return counts


def simplify(nodes: Iterable[Node], output: str) -> Architecture:
    """The architecture of these nodes: pass-through nodes are short-circuited, nodes that reach no output left out.

    A pass-through node is one whose block returns its only input unchanged: an identity, or a merge of one edge. Zeros
    are left out of a sum; a sum of nothing but zeros is the first of them; a sum that only another sum reads is part of it.
    A hyperparameter that does nothing has its default.
    """
    stands_for: dict[str, str] = {INPUT: INPUT}
    zeros: set[str] = set()
    kept: list[Node] = []
    for node in nodes:
        block = BLOCKS[node.block]
        inputs = tuple(stands_for[name] for name in node.inputs)
        if block.is_sum:
            inputs = tuple(name for name in inputs if name not in zeros) or inputs[:1]
        if (block.passthrough and len(inputs) == 1) or (block.zero and inputs[0] in zeros):
            stands_for[node.name] = inputs[0]
        else:
            if block.zero:
                zeros.add(node.name)
            stands_for[node.name] = node.name
            params = block.without_idle(node.params)
            same = inputs == node.inputs and params is node.params
            kept.append(node if same else Node(node.name, node.block, params, inputs))
    output = stands_for[output]
    needed = {output}
    alive: list[Node] = []
    for node in reversed(kept):
        if node.name in needed:
            needed.update(node.inputs)
            alive.append(node)
    return Architecture(tuple(_flat(reversed(alive), output)), output)


def _flat(nodes: Iterable[Node], output: str) -> list[Node]:
    nodes = list(nodes)
    readers = Counter(name for node in nodes for name in node.inputs)
    readers[output] += 1
    sums: dict[str, Node] = {}  # read by one node alone, so far by none
    flat: list[Node] = []
    for node in nodes:
        if BLOCKS[node.block].is_sum and any(name in sums for name in node.inputs):
            parts = [sums.pop(name).inputs if name in sums else (name,) for name in node.inputs]
            gone = set(node.inputs) - {name for part in parts for name in part}
            node = Node(node.name, node.block, node.params, tuple(name for part in parts for name in part))
            flat = [other for other in flat if other.name not in gone]
        if BLOCKS[node.block].is_sum and readers[node.name] == 1:
            sums[node.name] = node
        flat.append(node)
    return flat


def _digest(*parts: bytes) -> bytes:
    # Length first, so that two different lists of parts never read the same.
    return hashlib.blake2b(b"".join(b"%d:" % len(part) + part for part in parts), digest_size=16).digest()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _scalar(value: Any) -> Scalar:
    if not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is not a plain value")
    return value


def _check(nodes: tuple[Node, ...], output: str) -> None:
    if len(nodes) > MAX_NODES or sum(len(node.inputs) for node in nodes) > MAX_EDGES:
        raise AssignmentError(f"architecture: at most {MAX_NODES:,} nodes and {MAX_EDGES:,} inputs can be read")
    known = {INPUT}
    for node in nodes:
        _check_node(node, known)
        known.add(node.name)
    if output not in known:
        raise AssignmentError(f"architecture: the output {shorten(output)} is no node")
    for name in known:
        group = name
        while group := group.rpartition(".")[0]:
            if group in known:
                raise AssignmentError(f"architecture: node '{name}' stands inside the node '{group}'")


def _check_node(node: Node, known: set[str]) -> None:
    place = f"architecture: node '{node.name}'"
    if node.name in known:
        raise AssignmentError(f"{place}: duplicate name")
    block = BLOCKS.get(node.block)
    if block is None:
        hint = f"{nearest(node.block[:100], BLOCKS)}{OWN_HINT}"
        raise AssignmentError(f"{place}: no block {shorten(node.block)}{hint}")
    for key, value in node.params:
        parameter = block.hyperparameters.get(key)
        if parameter is None:
            hint = nearest(key[:100], block.hyperparameters)
            raise AssignmentError(f"{place}: block '{node.block}' has no {shorten(key)}{hint}")
        if not parameter.allowed.allows(value) or (parameter.is_width and not isinstance(value, int)):
            raise AssignmentError(f"{place}: {key} must be {parameter.allowed}, not {shorten(value)}")
    if missing := block.hyperparameters.keys() - dict(node.params).keys():
        raise AssignmentError(f"{place}: the hyperparameter '{min(missing)}' is missing")
    if not node.inputs or any(name not in known for name in node.inputs):
        inputs = shorten(list(node.inputs))
        raise AssignmentError(f"{place}: its inputs {inputs} are not all nodes that run before it")
    if len(node.inputs) > 1 and not block.takes_many:
        raise AssignmentError(f"{place}: block '{node.block}' takes one input, not {len(node.inputs)}")
