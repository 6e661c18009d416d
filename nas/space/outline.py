"""A network in a few words of the field: how deep, how wide, how many blocks of which family, which attention.

A space such as `attn_cnn` has hundreds of choices, most of which a network does not meet. Importances, parallel coordinates and
slices, as Optuna Dashboard draws them, need few parameters that every network has, and the same distribution of each in all
trials. An outline is that: it is fixed by the space alone, and each network of the space has a value of each parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from blocks import BLOCKS
from blocks.base import FAMILIES, Block, Facts, Scalar
from blocks.hyperparameter import MOST_CHANNELS
from nas.architecture.architecture import INPUT, Architecture
from nas.architecture.cost import Built
from nas.space.grammar import (
    EVERYWHERE,
    BlockNode,
    Choice,
    Graph,
    GraphItem,
    GraphNode,
    SwitchNode,
    Value,
    options_of,
)
from nas.space.space import Space

DEPTH: Final = "depth (layers)"
WIDTH: Final = "width (channels)"
FIRST: Final = "first width (channels)"
STAGES: Final = "stages"
KIND: Final = "attention kind"
COUNTS: Final[Mapping[str, str]] = {
    **{family: f"{family} (blocks)" for family in FAMILIES},
    "attention": "attention (modules)",
    "": "other (blocks)",
}
"""Name of the number of blocks of each family."""
NO_ATTENTION: Final = "none"
MOST_LAYERS: Final = 4096
"""A deeper network is said to be as deep as this."""
MOST_STAGES: Final = 16
MOST_CHOICES: Final = 12
"""A space with more choices that every network takes has none of them in its outlines."""


@dataclass(frozen=True)
class Parameter:
    """What one parameter of an outline can be: one of `options`, or a whole number from `low` to `high`."""

    options: tuple[Scalar, ...] = ()
    low: int = 0
    high: int = 0
    log: bool = False
    """Whether a factor counts, and not a difference."""


class Outlines:
    """The outlines of the networks of one space."""

    def __init__(self, space: Space) -> None:
        counts = {family: _bounds(space.graph, family) for family in ("", *FAMILIES)}
        kinds = sorted({kind for node in _block_nodes(space.graph) for kind in _kinds_of(node)})
        certain = dict(_certain(space.graph, ""))
        parameters = {
            DEPTH: Parameter(low=1, high=MOST_LAYERS, log=True),
            WIDTH: Parameter(low=1, high=MOST_CHANNELS, log=True),
            FIRST: Parameter(low=1, high=MOST_CHANNELS, log=True),
            STAGES: Parameter(low=1, high=MOST_STAGES),
            **{
                name: Parameter(high=most)
                for family, name in COUNTS.items()
                for fewest, most in [counts[family]]
                if most > fewest
            },
        }
        if kinds:
            parameters[KIND] = Parameter((NO_ATTENTION, *kinds))
        self._choices = tuple(certain) if len(certain) <= MOST_CHOICES else ()
        self.parameters: Mapping[str, Parameter] = {
            **parameters,
            **{name: Parameter(certain[name]) for name in self._choices},
        }
        """What there is, by name, in the order in which it is shown."""

    def of(self, built: Built, assignment: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The value of each parameter for a network of the space and its choices."""
        architecture, facts = built.architecture, built.facts
        maps = [facts[node.name] for node in architecture.nodes if len(facts[node.name].out_shape) == 3]
        weighed = [fact for fact in maps if fact.parameters] or maps or list(facts.values())
        found: dict[str, Scalar] = {
            DEPTH: min(max(_depth(architecture, facts), 1), MOST_LAYERS),
            WIDTH: max(fact.out_shape[0] for fact in weighed),
            FIRST: weighed[0].out_shape[0],
            STAGES: min(len({fact.out_shape[1:] for fact in weighed}), MOST_STAGES),
        }
        kinds: dict[str, int] = {}
        for node in architecture.nodes:
            block = BLOCKS[node.block]
            if _counts(block) and len(facts[node.name].out_shape) == 3:
                name = COUNTS[block.family]
                found[name] = int(found.get(name, 0)) + 1
            for kind in _kinds(block, dict(node.params)):
                kinds[kind] = kinds.get(kind, 0) + 1
        found[KIND] = min(kinds, key=lambda kind: (-kinds[kind], kind)) if kinds else NO_ATTENTION
        found |= {name: assignment[name] for name in self._choices}
        return {name: found.get(name, 0) for name in self.parameters}


def _depth(architecture: Architecture, facts: Mapping[str, Facts]) -> int:
    """Layers on the longest way from image to logits; those of attention modules, which are counted apart, are left out."""
    depth = {INPUT: 0}
    for node in architecture.nodes:
        layers = 0 if BLOCKS[node.block].family == "attention" else facts[node.name].layers
        depth[node.name] = layers + max(depth[name] for name in node.inputs)
    return depth[architecture.output]


def _counts(block: Block) -> bool:
    """Whether a block is one that people count: no merge, and nothing that only hands on."""
    return not (block.takes_many or block.passthrough or block.zero or "classes" in block.filled_in)


def _kinds(block: Block, params: Mapping[str, Scalar]) -> list[str]:
    """The attention modules in a block: itself, and those that its hyperparameters name, as ``gate: se``."""
    named = [value for value in params.values() if isinstance(value, str) and _is_attention(value)]
    return [block.name, *named] if block.family == "attention" else named


def _is_attention(name: str) -> bool:
    return name in BLOCKS and BLOCKS[name].family == "attention"


def _kinds_of(node: BlockNode) -> set[str]:
    """Every attention module that a node can have."""
    found: set[str] = set()
    for name, params in node.params_of.items():
        for key, value in (*params, *node.first.items()):
            if key in BLOCKS[name].hyperparameters:
                for option in options_of(value):
                    found.update(_kinds(BLOCKS[name], {key: option}))
        found.update(_kinds(BLOCKS[name], {}))
    return found


def _block_nodes(graph: Graph) -> Iterator[BlockNode]:
    for item in graph.nodes:
        for node in item.nodes.values() if isinstance(item, SwitchNode) else (item,):
            if isinstance(node, BlockNode):
                yield node
            else:
                for inner in node.graphs.values():
                    yield from _block_nodes(inner)


def _bounds(item: Graph | GraphItem, family: str) -> tuple[int, int]:
    """The fewest and the most blocks of this family, as if choices in different places knew nothing of each other.

    A network has fewer where a choice of zeros cuts off what is there.
    """
    if isinstance(item, Graph):
        bounds = [_bounds(node, family) for node in item.nodes]
        return sum(low for low, _ in bounds), sum(high for _, high in bounds)
    if isinstance(item, SwitchNode):
        return _widest([_bounds(node, family) for node in item.nodes.values()])
    if isinstance(item, GraphNode):
        low, high = _widest([_bounds(graph, family) for graph in item.graphs.values()])
    else:
        blocks = [BLOCKS[str(name)] for name in options_of(item.block)]
        low, high = _widest([(int(block.family == family and _counts(block)),) * 2 for block in blocks])
    copies = [1] if item.repeat is None else [int(count) for count in options_of(item.repeat)]
    present = options_of(item.present)
    return (low * min(copies) if all(present) else 0), (high * max(copies) if any(present) else 0)


def _widest(bounds: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _certain(graph: Graph, path: str) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
    """The choices that every walk through the space takes, with their options. Names are as `Space.walk` makes them."""
    for item in graph.nodes:
        choice = path + item.name
        if isinstance(item, SwitchNode):
            yield choice, tuple(item.label_options)
        elif isinstance(item.present, Choice):
            yield f"{choice}.present", tuple(item.present_options)
        elif item.present:
            yield from ((f"{choice}.{name}", tuple(options)) for name, options in _inputs(item))
            yield from (_certain_copies(item, choice) if isinstance(item, GraphNode) else _certain_blocks(item, choice))


def _inputs(node: BlockNode | GraphNode) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
    for place, value in enumerate(node.inputs or ()):
        if isinstance(value, Choice):
            yield f"inputs.{place}", value.options


def _certain_copies(node: GraphNode, choice: str) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
    if isinstance(node.graph, Choice):
        yield f"{choice}.graph", tuple(node.graph_options)
        return
    name = str(node.graph)
    inner = name if node.share == EVERYWHERE else choice
    if node.repeat is None:
        yield from _certain(node.graphs[name], f"{inner}.")
        return
    if isinstance(node.repeat, Choice):
        yield f"{choice}.repeat", tuple(node.repeat_options(name))
    fewest = _fewest(node.repeat)
    for copy in range(min(fewest, 1) if node.share else fewest):
        yield from _certain(node.graphs[name], f"{inner}." if node.share else f"{inner}.{copy}.")


def _certain_blocks(node: BlockNode, choice: str) -> Iterator[tuple[str, tuple[Scalar, ...]]]:
    if isinstance(node.repeat, Choice):
        yield f"{choice}.repeat", tuple(node.repeat_options)
    fewest = 1 if node.repeat is None else _fewest(node.repeat)
    for copy in range(min(fewest, 1) if node.share else fewest):
        name = choice if node.share or node.repeat is None else f"{choice}.{copy}"
        if isinstance(node.block, Choice):
            yield f"{name}.block", node.block.options
            continue
        for key, value in node.params_of[str(node.block)]:
            here = node.first.get(key, value) if copy == 0 and node.repeat is not None else value
            said = f"first.{key}" if here is not value else key
            if isinstance(here, Choice):
                yield f"{name}.{said}", here.options
            if node.share and fewest > 1 and here is not value and isinstance(value, Choice):
                yield f"{name}.{key}", value.options


def _fewest(repeat: Value) -> int:
    return min(int(count) for count in options_of(repeat))
