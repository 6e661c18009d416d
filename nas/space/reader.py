"""Reads a space file into the grammar, refusing everything that could go wrong later, with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

from blocks import BLOCKS
from blocks.base import Scalar, Shape
from nas.architecture.architecture import INPUT
from nas.architecture.node_names import taken
from nas.config.block_files import OWN_HINT
from nas.config.yaml_document import Document, KeyPath
from nas.errors import SpaceError, nearest
from nas.limits import MAX_EXTENT, MAX_NAME, MAX_OPTIONS, MAX_REPEAT
from nas.objectives import before_training
from nas.space.counts import CountRule
from nas.space.counts_reader import read_counts
from nas.space.grammar import (
    EVERYWHERE,
    NONE,
    BlockNode,
    Bounds,
    Choice,
    Graph,
    GraphItem,
    GraphNode,
    SwitchNode,
    Value,
    options_of,
)
from nas.space.validation import Extent, check_edges, check_extent, check_shared, find_cycle
from nas.text.formatting import digits, shorten
from nas.text.sanitize import one_line

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_NODES = ("inputs", "present", "repeat", "share", "first")
"""What a node of one block says beside the hyperparameters of the block."""


class SpaceFile(NamedTuple):
    """What a space file says."""

    name: str
    input: Shape
    graph: Graph
    constraints: Mapping[str, Bounds]
    document: Document
    pretrained: str | None = None
    counts: tuple[CountRule, ...] = ()


def parse_space(path: Path, text: str) -> SpaceFile:
    """What `text`, that of the file at `path`, says. Raises SpaceError as ``file:line: rule, value, nearest right word``."""
    return _Parser(Document(path, text, SpaceError)).space()


class _Parser:
    def __init__(self, document: Document) -> None:
        self.doc = document
        self.fail = document.fail
        self.graphs: dict[str, Graph] = {}
        self.extents: dict[str, Extent] = {}
        self.where_of: dict[str, KeyPath] = {}

    def space(self) -> SpaceFile:
        data = self.doc.mapping((), self.doc.data, "a space file")
        self.doc.check_keys(
            (), data, ("name", "input", "pretrained", "graphs", "graph", "counts", "constraints"), "space"
        )
        for key in ("name", "input", "graph"):
            if key not in data:
                self.fail((), f"space: the key '{key}' is missing")
        name = data["name"]
        if not isinstance(name, str) or not name:
            self.fail(("name",), f"name: must be a text, not {shorten(name)}")
        if not name.strip() or len(name) > MAX_NAME or one_line(name) != name:
            self.fail(
                ("name",), f"name: must be a text in one line of at most {MAX_NAME} characters, not {shorten(name)}"
            )
        shape = data["input"]
        if not (isinstance(shape, list) and len(shape) == 3 and all(_whole(extent, 1, MAX_EXTENT) for extent in shape)):
            rule = f"[channels, height, width], whole and from 1 to {MAX_EXTENT:,}"
            self.fail(("input",), f"input: must be {rule}, not {shorten(shape)}")
        self.named_graphs(data)
        graph = self.graph("graph", ("graph",), data["graph"])
        used = set(_graphs_named([data.get("graphs"), data["graph"]]))
        for name in self.graphs:
            if name not in used:
                self.fail(("graphs", name), f"graph '{name}' is used nowhere")
        check_shared(self.doc, graph)
        constraints = self.constraints(data.get("constraints", {}))
        counts = read_counts(self.doc, graph)
        return SpaceFile(data["name"], tuple(shape), graph, constraints, self.doc, self.pretrained(data), counts)

    def pretrained(self, data: dict[str, Any]) -> str | None:
        """The published network whose weights networks of the space start from."""
        if "pretrained" not in data:
            return None
        name = data["pretrained"]
        if not isinstance(name, str) or not name.strip() or one_line(name) != name:
            self.fail(
                ("pretrained",), f"pretrained: must be the name or file of a published config, not {shorten(name)}"
            )
        return name

    def named_graphs(self, data: dict[str, Any]) -> None:
        bodies = self.doc.mapping(("graphs",), data.get("graphs", {}), "graphs")
        # Sub-graphs are read before those that use them; one that contains itself has no such order.
        uses: dict[str, list[str]] = {}
        for name, body in bodies.items():
            self.check_name(("graphs", name), name, "graph")
            uses[name] = [used for used in _graphs_named(body) if used in bodies]
        if cycle := find_cycle(uses):
            inside = [*reversed(cycle), cycle[-1]]
            self.fail(("graphs", inside[0]), f"cyclic graph: {' contains '.join(repr(name) for name in inside)}")
        for name in TopologicalSorter(uses).static_order():
            self.graphs[name] = self.graph(name, ("graphs", name), bodies[name])

    def graph(self, name: str, where: KeyPath, data: Any) -> Graph:
        nodes = self.doc.mapping(where, data, f"graph '{name}'")
        if not nodes:
            self.fail(where, f"graph '{name}' is empty; it needs at least one node")
        for key in nodes:
            self.check_name((*where, key), key, "node")
            self.check_free((*where, key), key, f"node '{key}'", top=where == ("graph",))
        items = [self.node(key, (*where, key), value) for key, value in nodes.items()]
        check_edges(self.doc, where, items)
        graph = Graph(name, tuple(items))
        check_extent(self.doc, where, graph, self.extents)
        return graph

    def check_name(self, where: KeyPath, name: str, what: str) -> None:
        if not _NAME.fullmatch(name):
            self.fail(
                where, f"{what} {shorten(name)}: a name is letters, digits and underscores, and starts with no digit"
            )
        if len(name) > MAX_NAME:
            self.fail(where, f"{what} {shorten(name)}: a name has at most {MAX_NAME} characters, not {len(name):,}")
        if name in (INPUT, NONE):
            self.fail(
                where, f"{what} '{name}': this word means {'the tensor that enters' if name == INPUT else 'no edge'}"
            )

    def check_free(self, where: KeyPath, name: str, what: str, *, top: bool) -> None:
        """Names of nodes, and of graphs that are chosen, become names of modules."""
        if problem := taken(name, top=top):
            self.fail(where, f"{what}: {problem}")

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def node(self, name: str, where: KeyPath, data: Any) -> GraphItem:
        what = f"node '{name}'"
        data = self.doc.mapping(where, data, what)
        kinds = [kind for kind in ("block", "graph", "choose") if kind in data]
        if len(kinds) != 1:
            found = " and ".join(repr(kind) for kind in kinds) or "; ".join(map(repr, data)) or "nothing"
            word = nearest(next(iter(data), ""), ("block", "graph", "choose")) if not kinds else ""
            self.fail(where, f"{what}: needs exactly one of 'block', 'graph' and 'choose', not {found}{word}")
        if kinds == ["choose"]:
            return self.switch(name, where, data)
        return self.block_node(name, where, data) if kinds == ["block"] else self.graph_node(name, where, data)

    def switch(self, name: str, where: KeyPath, data: dict[str, Any]) -> SwitchNode:
        what = f"node '{name}'"
        self.doc.check_keys(where, data, ("choose",), what)
        options = data["choose"]
        if not isinstance(options, dict):
            self.fail(
                (*where, "choose"),
                f"{what}: choose among whole nodes is a mapping from label to node, not {shorten(options)}; "
                "to choose a block by name write {block: {choose: [...]}}",
            )
        if len(options) < 2:
            self.fail((*where, "choose"), f"{what}: a choice needs at least two options, not {len(options)}")
        self.check_number((*where, "choose"), len(options), what)
        nodes: dict[str, BlockNode | GraphNode] = {}
        for label, value in options.items():
            node = self.node(name, (*where, "choose", label), value)
            if isinstance(node, SwitchNode):
                self.fail(
                    (*where, "choose", label), f"{what}: option '{label}' is itself a choice; list its options here"
                )
            nodes[label] = node
        return SwitchNode(name, self.doc.line(where), nodes)

    def block_node(self, name: str, where: KeyPath, data: dict[str, Any]) -> BlockNode:
        what = f"node '{name}'"
        block = self.value((*where, "block"), data["block"], f"{what}: block")
        names = options_of(block)
        for option in names:
            if option not in BLOCKS:
                hint = f"{nearest(option, BLOCKS)}{OWN_HINT}"
                self.fail(self.inside(where, "block", option), f"{what}: no block '{option}'{hint}")
        values = {key: raw for key, raw in data.items() if key not in ("block", *_OF_NODES)}
        params = self.hyperparameters(where, values, names, what)
        repeat = self.repeat(where, data, what)
        share = data.get("share", False)
        if not isinstance(share, bool):
            self.fail((*where, "share"), f"{what}: share must be true or false, not {shorten(share)}")
        for key in ("share", "first"):
            if key in data and repeat is None:
                self.fail((*where, key), f"{what}: {key} is about the copies of a repeat; there is no repeat")
        first: dict[str, Value] = {}
        if "first" in data:
            body = self.doc.mapping((*where, "first"), data["first"], f"{what}: first")
            first = self.hyperparameters((*where, "first"), body, names, f"{what}: first")
        inputs = self.inputs(where, data, what)
        if inputs is not None and len(inputs) > 1:
            single = [option for option in names if not BLOCKS[str(option)].takes_many]
            if single:
                self.fail(
                    (*where, "inputs"), f"{what}: block '{single[0]}' takes one input, not {len(inputs)}; merge first"
                )
        present = self.present(where, data, inputs, what)
        if repeat is not None and inputs is not None and len(inputs) > 1:
            self.fail((*where, "inputs"), f"{what}: a node that is repeated takes one input, not {len(inputs)}")
        return BlockNode(name, self.doc.line(where), block, params, inputs, present, repeat, share, first)

    def hyperparameters(
        self, where: KeyPath, data: dict[str, Any], names: tuple[Scalar, ...], what: str
    ) -> dict[str, Value]:
        """Values and choices of hyperparameters; each must belong to a block in `names`, and fit all that have it."""
        known = {key for option in names for key in BLOCKS[str(option)].hyperparameters}
        params: dict[str, Value] = {}
        for key, raw in data.items():
            if key not in known:
                owner = f"block '{names[0]}' has" if len(names) == 1 else "none of the blocks has"
                hint = nearest(key, [*known, *_OF_NODES]) or (f"; known: {', '.join(sorted(known))}" if known else "")
                self.fail((*where, key), f"{what}: {owner} no hyperparameter '{key}'{hint}")
            params[key] = self.value((*where, key), raw, f"{what}: {key}")
            for option in names:
                parameter = BLOCKS[str(option)].hyperparameters.get(key)
                for value in options_of(params[key]):
                    if parameter is not None and not parameter.allowed.allows(value):
                        hint = nearest(value, parameter.allowed.examples)
                        self.fail(
                            self.inside(where, key, value),
                            f"{what}: {key} of block '{option}' must be {parameter.allowed}, not {shorten(value)}{hint}",
                        )
        return params

    def graph_node(self, name: str, where: KeyPath, data: dict[str, Any]) -> GraphNode:
        what = f"node '{name}'"
        self.doc.check_keys(where, data, ("graph", "repeat", "share", "inputs", "present"), what)
        graph = self.value((*where, "graph"), data["graph"], f"{what}: graph")
        for option in options_of(graph):
            if option not in self.graphs:
                known = ", ".join(self.graphs) or "none"
                hint = nearest(option, self.graphs) or f"; graphs: {known}"
                self.fail(self.inside(where, "graph", option), f"{what}: no graph '{option}'{hint}")
            if isinstance(graph, Choice):
                self.check_free(self.inside(where, "graph", option), str(option), f"{what}: graph", top=False)
        repeat = self.repeat(where, data, what)
        share = data.get("share", False)
        if not isinstance(share, bool) and share != EVERYWHERE:
            hint = nearest(share, [EVERYWHERE])
            self.fail(
                (*where, "share"), f"{what}: share must be true, false or {EVERYWHERE}, not {shorten(share)}{hint}"
            )
        if share == EVERYWHERE and isinstance(graph, Choice):
            self.fail(
                (*where, "share"),
                f"{what}: what is shared everywhere is named after its graph, which must not be chosen",
            )
        if share is True and repeat is None:
            self.fail(
                (*where, "share"), f"{what}: share says that the copies of a repeat decide alike; there is no repeat"
            )
        inputs = self.inputs(where, data, what)
        if inputs is not None and len(inputs) > 1:
            self.fail((*where, "inputs"), f"{what}: a graph takes one input, not {len(inputs)}; merge first")
        graphs = {str(option): self.graphs[str(option)] for option in options_of(graph)}
        present = self.present(where, data, inputs, what)
        return GraphNode(name, self.doc.line(where), graph, graphs, repeat, share, inputs, present)

    def repeat(self, where: KeyPath, data: dict[str, Any], what: str) -> Value | None:
        if "repeat" not in data:
            return None
        repeat = self.value((*where, "repeat"), data["repeat"], f"{what}: repeat")
        for count in options_of(repeat):
            if not _whole(count, 0, MAX_REPEAT):
                self.fail(
                    self.inside(where, "repeat", count),
                    f"{what}: repeat must be a whole number from 0 to {MAX_REPEAT}, not {shorten(count)}",
                )
        return repeat

    # -- values --------------------------------------------------------------------------------------------------------

    def value(self, where: KeyPath, data: Any, what: str) -> Value:
        """A scalar, or a choice among scalars."""
        if isinstance(data, dict):
            if list(data) != ["choose"]:
                self.fail(
                    where,
                    f"{what}: must be a value or {{choose: [...]}}, not {shorten(data)}{nearest(next(iter(data), ''), ['choose'])}",
                )
            options = data["choose"]
            where = (*where, "choose")
            if not isinstance(options, list):
                self.fail(where, f"{what}: choose needs a list of values, not {shorten(options)}")
            if not options:
                self.fail(where, f"{what}: choose has no options")
            self.check_number(where, len(options), what)
            scalars = tuple(self.scalar((*where, place), option, what) for place, option in enumerate(options))
            seen: set[tuple[bool, Scalar]] = set()  # true is equal to 1, and not the same
            for place, option in enumerate(scalars):
                if (isinstance(option, bool), option) in seen:
                    self.fail((*where, place), f"{what}: duplicate option {shorten(option)}")
                seen.add((isinstance(option, bool), option))
            # One option is no decision; it would only show up as a choice that nobody can make.
            return Choice(scalars) if len(scalars) > 1 else scalars[0]
        return self.scalar(where, data, what)

    def check_number(self, where: KeyPath, options: int, what: str) -> None:
        if options > MAX_OPTIONS:
            self.fail(where, f"{what}: a choice has at most {MAX_OPTIONS:,} options, not {options:,}")

    def scalar(self, where: KeyPath, data: Any, what: str) -> Scalar:
        if not isinstance(data, str | int | float):
            self.fail(where, f"{what}: must be a word, a number, true or false, not {shorten(data)}")
        if isinstance(data, float) and data != data:
            self.fail(where, f"{what}: must be a number, not nan")
        return data

    def inside(self, where: KeyPath, key: str, option: object) -> KeyPath:
        """Where `option` of the value under `key` stands."""
        data = self.doc.data
        for step in (*where, key):
            data = data[step]
        if isinstance(data, dict):
            return (*where, key, "choose", data["choose"].index(option))
        return (*where, key)

    def present(self, where: KeyPath, data: dict[str, Any], inputs: tuple[Value, ...] | None, what: str) -> Value:
        if "present" not in data:
            return True
        present = self.value((*where, "present"), data["present"], f"{what}: present")
        for option in options_of(present):
            if not isinstance(option, bool):
                self.fail((*where, "present"), f"{what}: present must be true or false, not {shorten(option)}")
        if inputs is not None and (len(inputs) > 1 or isinstance(inputs[0], Choice)):
            self.fail((*where, "present"), f"{what}: a node that may be left out needs one fixed input to pass on")
        return present

    def inputs(self, where: KeyPath, data: dict[str, Any], what: str) -> tuple[Value, ...] | None:
        if "inputs" not in data:
            return None
        raw = data["inputs"]
        if not isinstance(raw, list) or not raw:
            self.fail((*where, "inputs"), f"{what}: inputs must be a list of node names, not {shorten(raw)}")
        values = tuple(self.value((*where, "inputs", i), item, f"{what}: input {i}") for i, item in enumerate(raw))
        for place, value in enumerate(values):
            for option in options_of(value):
                if not isinstance(option, str):
                    self.fail(
                        (*where, "inputs", place), f"{what}: an input is the name of a node, not {shorten(option)}"
                    )
        if all(NONE in options_of(value) for value in values):
            self.fail((*where, "inputs"), f"{what}: every input may be '{NONE}'; at least one must always be there")
        return values

    # -- the whole -----------------------------------------------------------------------------------------------------

    def constraints(self, data: Any) -> Mapping[str, Bounds]:
        where: KeyPath = ("constraints",)
        data = self.doc.mapping(where, data, "constraints")
        self.doc.check_keys(where, data, before_training(), "constraints")
        found = {}
        for name in data:
            bounds = self.doc.dataclass(Bounds, (*where, name), what=f"constraint '{name}'")
            for key, value in (("max", bounds.max), ("min", bounds.min)):
                if value is not None and not 0 <= value < float("inf"):
                    self.fail((*where, name, key), f"constraint '{name}': {key} must be a number from 0, not {value}")
            if bounds.max is not None and bounds.min is not None and bounds.min > bounds.max:
                self.fail(
                    (*where, name), f"constraint '{name}': min {digits(bounds.min)} is above max {digits(bounds.max)}"
                )
            found[name] = bounds
        return found


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _graphs_named(data: Any) -> list[str]:
    """Names under every key 'graph' in the bodies of graphs, choices included."""
    found: list[str] = []
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "graph" and isinstance(value, str):
                found.append(value)
            elif key == "graph" and isinstance(value, dict) and isinstance(value.get("choose"), list):
                found.extend(str(option) for option in value["choose"])
            else:
                found.extend(_graphs_named(value))
    elif isinstance(data, list):
        for item in data:
            found.extend(_graphs_named(item))
    return found
