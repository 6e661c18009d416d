"""What a space is made of: graphs of nodes whose values may be choices. Plain immutable data that can count itself.

A space file is read into these classes by `nas.space.reader`; `nas.space.space` walks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from blocks import BLOCKS
from blocks.base import Scalar
from nas.text.formatting import digits

NONE = "none"
"""The input that stands for no edge."""
EVERYWHERE = "everywhere"
"""The value of `share` that means one set of decisions for every use of the graph, named after the graph."""


class Options(tuple[Scalar, ...]):
    """The options of one choice; `weights[i]` is how many assignments the part of the space under option i has."""

    _weigh: Callable[[], tuple[int, ...]]
    _bounded: bool

    def __new__(
        cls,
        options: tuple[Scalar, ...],
        weigh: Callable[[], tuple[int, ...]] | None = None,
        *,
        bounded: bool = False,
    ) -> Options:
        """`weigh` is called when the weights are first asked for; without it every option weighs 1.

        Of `bounded` options some may weigh nothing: what was decided before leaves no assignment with them.
        """
        self = super().__new__(cls, options)
        self._weigh = weigh or (lambda: (1,) * len(options))
        self._bounded = bounded
        return self

    def __reduce__(self) -> tuple[type[tuple], tuple[list[Scalar]]]:  # type: ignore[type-arg]
        return (tuple, (list(self),))

    @cached_property
    def weights(self) -> tuple[int, ...]:
        """Sizes of the sub-spaces under each option. Drawing by them gives every assignment the same chance."""
        return self._weigh()

    @cached_property
    def admissible(self) -> tuple[Scalar, ...]:
        """Those that may still be taken: all of them, but where a space has `counts`."""
        if not self._bounded:
            return self
        return tuple(option for option, weight in zip(self, self.weights, strict=True) if weight)


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that is decided when an architecture is built."""

    options: tuple[Scalar, ...]


Value = Scalar | Choice


def options_of(value: Value) -> tuple[Scalar, ...]:
    """What `value` can be."""
    return value.options if isinstance(value, Choice) else (value,)


@dataclass(frozen=True)
class BlockNode:
    """A node that is one block, or a choice of blocks; a hyperparameter belongs to the blocks that have it."""

    name: str
    line: int
    block: Value
    params: Mapping[str, Value]
    inputs: tuple[Value, ...] | None
    """Names of the inputs; None: the node before, or the graph's input for the first."""
    present: Value = True
    """False: the node is left out and its first input passes on."""
    repeat: Value | None = None
    """How many copies stand one after the other."""
    share: bool = False
    """All copies take the same decisions."""
    first: Mapping[str, Value] = field(default_factory=dict)
    """Hyperparameters of the first copy, in place of those in `params`."""

    def block_options(self, first: bool = True, rest: bool = True) -> Options:
        """Names of the blocks to choose from, for the first copy, the others, or all at once."""
        key = (first, rest)
        if key not in self._blocks:
            blocks = options_of(self.block)
            self._blocks[key] = Options(
                blocks, lambda: tuple(self._count_block(str(name), first, rest) for name in blocks)
            )
        return self._blocks[key]

    _blocks: dict[tuple[bool, bool], Options] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def repeat_options(self) -> Options:
        """How many copies there may be."""
        counts = tuple(int(count) for count in options_of(1 if self.repeat is None else self.repeat))
        return Options(counts, lambda: tuple(self._count_copies(count) for count in counts))

    @cached_property
    def present_options(self) -> Options:
        """Whether the node is there."""
        values = options_of(self.present)
        return Options(values, lambda: tuple(sum(self.repeat_options.weights) if value else 1 for value in values))

    @cached_property
    def params_of(self) -> Mapping[str, tuple[tuple[str, Value], ...]]:
        """All hyperparameters of each block, sorted, with what this node says of them or their default."""
        return {
            str(name): tuple(
                (key, self.params.get(key, parameter.default))
                for key, parameter in sorted(BLOCKS[str(name)].hyperparameters.items())
            )
            for name in options_of(self.block)
        }

    @cached_property
    def choice_options(self) -> Mapping[str, Options]:
        """Options of every chosen hyperparameter and input, by the last part of the choice's name."""
        found = {key: Options(value.options) for key, value in self.params.items() if isinstance(value, Choice)}
        first = {
            f"first.{key}": Options(value.options) for key, value in self.first.items() if isinstance(value, Choice)
        }
        return found | first | input_options(self.inputs)

    def _count_block(self, name: str, first: bool, rest: bool) -> int:
        count = 1
        for key, value in self.params_of[name]:
            if key in self.first and first:
                count *= len(options_of(self.first[key]))
            if key not in self.first or rest:
                count *= len(options_of(value))
        return count

    def _count_copies(self, count: int) -> int:
        if count == 0:
            return 1
        if self.share:
            return sum(self.block_options(rest=count > 1).weights)
        others: int = sum(self.block_options(first=False).weights) ** (count - 1)
        return sum(self.block_options(rest=False).weights) * others

    @cached_property
    def size(self) -> int:
        """How many assignments this node has."""
        return sum(self.present_options.weights) * count_inputs(self.inputs)


@dataclass(frozen=True)
class GraphNode:
    """A node that is a named graph, repeated one after the other."""

    name: str
    line: int
    graph: Value
    graphs: Mapping[str, Graph]
    """The graphs that `graph` can name."""
    repeat: Value | None
    share: bool | str
    """All copies take the same decisions, or (`EVERYWHERE`) all uses of the graph in the whole space."""
    inputs: tuple[Value, ...] | None
    present: Value = True

    @cached_property
    def graph_options(self) -> Options:
        """Names of the graphs to choose from."""
        names = options_of(self.graph)
        return Options(names, lambda: tuple(sum(self.repeat_options(str(name)).weights) for name in names))

    def repeat_options(self, graph: str) -> Options:
        """How often `graph` can stand one after the other."""
        if graph not in self._repeats:
            counts = (1,) if self.repeat is None else options_of(self.repeat)
            size = self.graphs[graph]

            def weigh() -> tuple[int, ...]:
                if self.share == EVERYWHERE:  # counted once for the whole space
                    return (1,) * len(counts)
                return tuple(size.size ** min(int(n), 1) if self.share else size.size ** int(n) for n in counts)

            self._repeats[graph] = Options(counts, weigh)
        return self._repeats[graph]

    _repeats: dict[str, Options] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def present_options(self) -> Options:
        """Whether the node is there."""
        values = options_of(self.present)
        return Options(values, lambda: tuple(sum(self.graph_options.weights) if value else 1 for value in values))

    @cached_property
    def choice_options(self) -> Mapping[str, Options]:
        """Options of every chosen input, by the last part of the choice's name."""
        return input_options(self.inputs)

    @cached_property
    def size(self) -> int:
        """How many assignments this node has."""
        return sum(self.present_options.weights) * count_inputs(self.inputs)


@dataclass(frozen=True)
class SwitchNode:
    """A node that is one of several labelled nodes."""

    name: str
    line: int
    nodes: Mapping[str, GraphNode | BlockNode]

    @cached_property
    def label_options(self) -> Options:
        """The labels to choose from."""
        return Options(tuple(self.nodes), lambda: tuple(node.size for node in self.nodes.values()))

    @cached_property
    def size(self) -> int:
        """How many assignments this node has."""
        return sum(self.label_options.weights)


GraphItem = BlockNode | GraphNode | SwitchNode


@dataclass(frozen=True)
class Graph:
    """Named nodes in the order they run; the last one's tensor leaves."""

    name: str
    nodes: tuple[GraphItem, ...]

    @cached_property
    def blocks(self) -> frozenset[str]:
        """Names of all blocks that its nodes can be."""
        found: set[str] = set()
        for item in self.nodes:
            for node in item.nodes.values() if isinstance(item, SwitchNode) else (item,):
                if isinstance(node, BlockNode):
                    found.update(map(str, options_of(node.block)))
                else:
                    found.update(*(graph.blocks for graph in node.graphs.values()))
        return frozenset(found)

    @cached_property
    def size(self) -> int:
        """How many assignments this graph has."""
        return math.prod(node.size for node in self.nodes)


def shared_everywhere(graph: Graph) -> dict[str, Graph]:
    """The graphs in `graph`, at any depth, of which all uses take the same decisions."""
    found: dict[str, Graph] = {}
    for item in graph.nodes:
        for node in item.nodes.values() if isinstance(item, SwitchNode) else (item,):
            if isinstance(node, GraphNode):
                if node.share == EVERYWHERE:
                    found |= node.graphs
                for inner in node.graphs.values():
                    found |= shared_everywhere(inner)
    return found


def always_met(item: Graph | GraphItem) -> set[str]:
    """The graphs shared everywhere that every walk meets, whatever is chosen."""
    if isinstance(item, Graph):
        return set().union(*(always_met(node) for node in item.nodes))
    if isinstance(item, SwitchNode):
        return set.intersection(*(always_met(node) for node in item.nodes.values()))
    if not isinstance(item, GraphNode) or False in options_of(item.present):
        return set()
    if item.repeat is not None and 0 in options_of(item.repeat):
        return set()
    inside = set.intersection(*(always_met(graph) for graph in item.graphs.values()))
    return inside | (set(item.graphs) if item.share == EVERYWHERE else set())


@dataclass(frozen=True, slots=True)
class Bounds:
    """Smallest and largest allowed value of a cost, both included."""

    max: float | None = None
    min: float | None = None

    def broken(self, value: float) -> float | None:
        """The bound that `value` lies beyond; None inside."""
        if self.max is not None and value > self.max:
            return self.max
        return self.min if self.min is not None and value < self.min else None


@dataclass(frozen=True, slots=True)
class Violation:
    """A cost outside its bounds."""

    name: str
    value: float
    bound: float

    def __str__(self) -> str:
        """In words: ``parameters 101 > 100``."""
        return f"{self.name} {digits(self.value)} {'>' if self.value > self.bound else '<'} {digits(self.bound)}"


def input_options(inputs: tuple[Value, ...] | None) -> dict[str, Options]:
    """Options of the chosen inputs, by ``inputs.0`` and so on."""
    return {
        f"inputs.{place}": Options(value.options)
        for place, value in enumerate(inputs or ())
        if isinstance(value, Choice)
    }


def count_inputs(inputs: tuple[Value, ...] | None) -> int:
    """How many ways there are to connect a node."""
    return math.prod(len(options_of(value)) for value in inputs or ())
