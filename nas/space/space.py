"""A design space: every architecture that a space file allows.

`Space.walk` is the one place where choices are met; sampling, replaying, enumerating and searching give it another
chooser. It takes decisions only; `Space.resolve` then meets the input's shape, which makes widths absolute and finds out
whether the shapes fit.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

from blocks import BLOCKS, Facts
from blocks.base import Scalar, Shape, resolve_width
from nas.architecture.architecture import INPUT, Architecture, Node, simplify
from nas.architecture.cost import Built, Cost, fact
from nas.config.shipped_files import find
from nas.config.yaml_document import read_text
from nas.errors import AssignmentError, Infeasible, SpaceError, nearest
from nas.space.counts import CountedWalk, Counting, CountRule, Tally, block_choices
from nas.space.grammar import (
    EVERYWHERE,
    NONE,
    BlockNode,
    Bounds,
    Choice,
    Graph,
    GraphItem,
    GraphNode,
    Options,
    SwitchNode,
    Value,
    Violation,
    shared_everywhere,
)
from nas.space.reader import parse_space
from nas.space.validation import line_of

Assignment = dict[str, Scalar]
Chooser = Callable[[str, Options], Scalar]

TRIES = 64
"""Random architectures that are tried before a space counts as one in which no shapes can meet."""


def _logits(input: Shape, classes: int) -> Shape:
    return (classes,)


@dataclass(frozen=True)
class Plan:
    """All decisions of one walk: an architecture whose widths may still be relative to an input."""

    nodes: tuple[Node, ...]
    output: str
    assignment: Assignment


@dataclass(frozen=True)
class Space:
    """A graph of nodes whose values may be choices, the input it was written for, and bounds on cost."""

    name: str
    input: Shape
    """(C, H, W) that the file names; a task brings its own."""
    graph: Graph
    constraints: Mapping[str, Bounds]
    text: str
    """The file as it was read."""
    data: Mapping[str, object]
    """The same as plain data, without comments."""
    path: str
    pretrained: str | None = None
    """Name or file of the published config whose trained weights its networks start from, by the names of nodes."""
    counts: tuple[CountRule, ...] = ()
    """Bounds on how often options are taken."""
    output: Callable[[Shape, int], Shape] | None = field(default=_logits, compare=False, repr=False)
    """What a network must end with, from the shape of an image and the number of classes; the type of a task says it."""

    @classmethod
    def load(
        cls, name: str | Path, output: Callable[[Shape, int], Shape] | None = None, *, shapes: bool = True
    ) -> Space:
        """Reads a space file, or the shipped space of that name, and checks all of it. Raises SpaceError.

        Networks must end with what `output` says, by default with a logit for each class; other ends are looked at when the
        number of classes is known.

        Without `shapes` it is not looked whether any architecture of it can be built, which needs PyTorch.
        """
        path = find("search_spaces", name, SpaceError)
        return cls._checked(_read(path, read_text(path, SpaceError), BLOCKS.changes), output, shapes=shapes)

    @classmethod
    def from_dict(cls, data: Mapping[str, object], output: Callable[[Shape, int], Shape] | None = None) -> Space:
        """The same of what a space file holds, as a dict: ``{"name": …, "input": […], "graph": {…}}``. Raises SpaceError.

        Lines in errors are those of the dict as YAML.
        """
        import yaml

        try:
            text = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=120)
        except yaml.YAMLError as problem:
            raise SpaceError(f"a space is made of texts, numbers, lists and dicts: {problem}") from None
        return cls._checked(_read(Path("dict"), text, BLOCKS.changes), output)

    @classmethod
    def _checked(
        cls, space: Space, output: Callable[[Shape, int], Shape] | None = None, *, shapes: bool = True
    ) -> Space:
        output = output or _logits
        if shapes:
            has_logits = output(space.input, 10) == _logits(space.input, 10)
            _check_shapes(space if has_logits else replace(space, output=None))
        return space if output is _logits else replace(space, output=output)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; equal for files that differ in comments, layout, name or constraints only."""
        parts = {key: self.data.get(key) for key in ("graphs", "graph")}
        if self.counts:
            parts["counts"] = self.data.get("counts")
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def blocks(self) -> frozenset[str]:
        """Names of all blocks that its networks may have."""
        return self.graph.blocks

    @property
    def size(self) -> int:
        """Exact number of assignments, those included whose shapes or cost do not fit."""
        size = self._counting.size if self._counting is not None else self.graph.size
        return size * math.prod(graph.size for graph in shared_everywhere(self.graph).values())

    @cached_property
    def _counting(self) -> Counting | None:
        return Counting(self.counts, self.graph) if self.counts else None

    def limit(self, **maxima: float | None) -> Space:
        """This space with further upper bounds, such as ``limit(parameters=1e6)``; None leaves a bound as it is."""
        constraints = dict(self.constraints)
        for name, value in maxima.items():
            if value is not None:
                constraints[name] = replace(constraints.get(name, Bounds()), max=value)
        return replace(self, constraints=constraints)

    def violation(self, cost: Cost) -> Violation | None:
        """The first constraint that `cost` breaks, or None. A value that is not known yet breaks none."""
        for name, bounds in self.constraints.items():
            if name in cost and (bound := bounds.broken(cost[name])) is not None:
                return Violation(name, cost[name], bound)
        return None

    def walk(self, choose: Chooser, *, mend: bool = False) -> Plan:
        """Takes every active decision once, by calling ``choose(name, options)``.

        With `mend`, of switches of a block that may not all be off, the last one that was decided is on instead. Raises
        AssignmentError for an option that is not among the admissible ones.
        """
        counted = CountedWalk(self._counting, self.name) if self._counting is not None else None
        walker = _Walker(choose, mend, counted)
        output = walker.graph(self.graph, "", "", INPUT)
        return Plan(tuple(walker.nodes), output, walker.taken)

    def resolve(self, plan: Plan, input: Shape | None = None, classes: int = 10) -> Built:
        """The network that these decisions give for images of shape `input`, by default the file's, and its cost.

        Raises Infeasible when the shapes of some node cannot meet, or the last node gives no logits; NasError for a block
        whose cost cannot be counted.
        """
        rough = simplify(plan.nodes, plan.output)
        input = input or self.input
        shape_of: dict[str, Shape] = {INPUT: input}
        nodes: list[Node] = []
        found: dict[str, Facts] = {}
        for node in rough.nodes:
            in_shapes = tuple([shape_of[name] for name in node.inputs])
            params = node.params
            for place, (key, value) in enumerate(params):
                if type(value) is str and value[0] == "x" and BLOCKS[node.block].hyperparameters[key].is_width:
                    absolute = (key, resolve_width(value, in_shapes[0][0]))
                    params = (*params[:place], absolute, *params[place + 1 :])
            found[node.name] = fact(node, params, in_shapes, classes)
            shape_of[node.name] = found[node.name].out_shape
            nodes.append(node if params is node.params else Node(node.name, node.block, params, node.inputs))
        wanted = None if self.output is None else self.output(input, classes)
        if wanted is not None and shape_of[rough.output] != wanted:
            shape = "×".join(map(str, shape_of[rough.output]))
            ends = f"{wanted[0]} logits" if len(wanted) == 1 else "×".join(map(str, wanted))
            raise Infeasible(rough.output, f"the network ends with {shape}, not with {ends}")
        return Built(Architecture(tuple(nodes), rough.output), input, classes, found)

    def from_assignment(
        self, assignment: Mapping[str, Scalar], input: Shape | None = None, classes: int = 10
    ) -> Architecture:
        """The architecture of an assignment. Raises AssignmentError when it does not fit the space."""
        return self.resolve(self.plan(assignment), input, classes).architecture

    def plan(self, assignment: Mapping[str, Scalar]) -> Plan:
        """The decisions of an assignment. Raises AssignmentError when they are not those of the space."""
        asked: set[str] = set()

        def answer(name: str, options: Options) -> Scalar:
            asked.add(name)
            if name not in assignment:
                raise AssignmentError(f"{self.name}: the choice '{name}' is missing; options: {_listed(options)}")
            return _option(self.name, name, assignment[name], options)

        plan = self.walk(answer)
        for name in assignment:
            if name not in asked:
                raise AssignmentError(
                    f"{self.name}: '{name}' is no active choice of this assignment{nearest(name, asked)}"
                )
        return plan

    def sample(self, rng: random.Random) -> Assignment:
        """A random assignment: every choice that is met is drawn evenly from its options.

        Switches that may not all be off are mended after they are drawn: what else a seed draws does not depend on it.
        """
        return self.walk(lambda name, options: rng.choice(options.admissible), mend=True).assignment

    def sample_evenly(self, rng: random.Random) -> Assignment:
        """A random assignment of the space, each as likely as any other (so most have the largest depth)."""
        return self.walk(lambda name, options: _draw(rng, options)).assignment

    def enumerate(self) -> Iterator[Assignment]:
        """Every assignment once, in the order of the file."""
        turns: list[int] = []
        while True:
            sizes: list[int] = []

            def choose(name: str, options: Options, sizes: list[int] = sizes) -> Scalar:
                if len(sizes) == len(turns):
                    turns.append(0)
                admissible = options.admissible
                sizes.append(len(admissible))
                return admissible[turns[len(sizes) - 1]]

            yield self.walk(choose).assignment
            while turns and turns[-1] + 1 == sizes[len(turns) - 1]:
                turns.pop()
            if not turns:
                return
            turns[-1] += 1


@lru_cache(maxsize=64)
def _read(path: Path, text: str, changes: int) -> Space:
    """The space of a file with this text, as long as no block changes: a search meets those of published networks often."""
    file = parse_space(path, text)
    return Space(
        file.name,
        file.input,
        file.graph,
        file.constraints,
        text,
        file.document.data,
        str(path),
        file.pretrained,
        file.counts,
    )


def _check_shapes(space: Space) -> None:
    """Refuses a space of which no architecture can be built for the input it names."""
    problems: Counter[tuple[str, str]] = Counter()
    rng = random.Random(0)
    for _ in range(min(TRIES, space.size)):
        try:
            space.resolve(space.walk(lambda name, options: rng.choice(options.admissible)))
        except Infeasible as problem:
            problems[problem.node, problem.reason] += 1
        else:
            return
    (node, reason), _ = problems.most_common(1)[0]
    line = line_of(space.graph, node)
    raise SpaceError(
        f"{space.path}:{line}: node '{node}': {reason}; no architecture fits the input {list(space.input)}"
    )


class _Walker:
    """One walk through the graph, collecting nodes with absolute paths. `counted` follows it where the space has `counts`."""

    def __init__(self, choose: Chooser, mend: bool, counted: CountedWalk | None = None) -> None:
        self._choose = choose
        self._mend = mend
        self._counted = counted
        self._tallies = None if counted is None else counted.tallies
        self.taken: Assignment = {}
        self.nodes: list[Node] = []

    def choose(self, name: str, options: Options, under: Callable[[Scalar], Tally] | None = None) -> Scalar:
        if name in self.taken:  # a copy that shares its decisions with an earlier one
            return self.taken[name]
        if self._counted is None:
            value = self._choose(name, options)
        else:
            options = self._counted.offered(name, options, under)
            value = self._choose(name, options)
            self._counted.take(name, value, options)
        self.taken[name] = value
        return value

    def graph(self, graph: Graph, path: str, choice_path: str, entry: str) -> str:
        """Appends the nodes of `graph`; `path` and `choice_path` end with a dot or are empty. Returns what leaves."""
        ends: dict[str, str] = {INPUT: entry}
        before = entry
        for place, node in enumerate(graph.nodes):
            if self._counted is not None:
                self._counted.push(self._counted.tallies.graph(graph, choice_path, place + 1))
            before = self.item(node, path + node.name, choice_path + node.name, before, ends)
            ends[node.name] = before
            if self._counted is not None:
                self._counted.pop()
        return before

    def item(self, node: GraphItem, path: str, choice: str, before: str, ends: Mapping[str, str]) -> str:
        tallies = self._tallies
        if isinstance(node, SwitchNode):
            under = None if tallies is None else partial(tallies.label, node, choice)
            label = str(self.choose(choice, node.label_options, under))
            return self.item(node.nodes[label], path, f"{choice}.{label}", before, ends)
        if isinstance(node.present, Choice):
            under = None if tallies is None else partial(tallies.present, node, choice)
            present = self.choose(f"{choice}.present", node.present_options, under)
        else:
            present = node.present
        if not present:
            return before if node.inputs is None else ends[str(node.inputs[0])]
        inputs = (before,) if node.inputs is None else self.inputs(node, node.inputs, choice, ends)
        if isinstance(node, GraphNode):
            return self.copies(node, path, choice, inputs[0])
        return self.blocks(node, path, choice, inputs)

    def inputs(
        self, node: BlockNode | GraphNode, values: tuple[Value, ...], choice: str, ends: Mapping[str, str]
    ) -> tuple[str, ...]:
        options = node.choice_options
        names: list[Scalar] = []
        for place, value in enumerate(values):
            if isinstance(value, Choice):
                if self._counted is not None:
                    tallies = self._counted.tallies
                    later = tallies.inputs(node, choice, place + 1)
                    self._counted.push(tallies.product([later, tallies.inside(node, choice)]))
                value = self.choose(f"{choice}.inputs.{place}", options[f"inputs.{place}"])
                if self._counted is not None:
                    self._counted.pop()
            names.append(value)
        return tuple([ends[str(name)] for name in names if name != NONE])

    def blocks(self, node: BlockNode, path: str, choice: str, inputs: tuple[str, ...]) -> str:
        if node.repeat is None:
            return self.block(node, path, choice, inputs, node.block_options(), first=False)
        tallies = self._tallies
        count = node.repeat
        if isinstance(count, Choice):
            under = None if tallies is None else partial(tallies.block_copies, node, choice)
            count = self.choose(f"{choice}.repeat", node.repeat_options, under)
        end = inputs[0]
        for copy in range(int(count)):
            rest = copy > 0
            if node.share:
                rest = int(count) > 1
                names, options = choice, node.block_options(rest=rest)
            else:
                names, options = f"{choice}.{copy}", node.block_options(first=copy == 0, rest=rest)
            if self._counted is not None:
                self._counted.push(self._counted.tallies.block_copies(node, choice, count, copy + 1))
            end = self.block(node, f"{path}.{copy}", names, (end,), options, first=copy == 0, rest=rest)
            if self._counted is not None:
                self._counted.pop()
        return end

    def block(
        self,
        node: BlockNode,
        path: str,
        choice: str,
        inputs: tuple[str, ...],
        blocks: Options,
        *,
        first: bool,
        rest: bool = True,
    ) -> str:
        block = node.block
        if isinstance(block, Choice):
            tallies = self._tallies
            under = None if tallies is None else partial(tallies.params, node, choice, first, rest)
            block = self.choose(f"{choice}.block", blocks, under)
        options = node.choice_options
        params: dict[str, Scalar] = {}
        decided: dict[str, str] = {}  # now, and not by an earlier copy
        for key, value in node.params_of[str(block)]:
            name = key
            if first and key in node.first:
                name, value = f"first.{key}", node.first[key]
            if isinstance(value, Choice):
                if f"{choice}.{name}" not in self.taken and True in options[name]:
                    decided[key] = f"{choice}.{name}"
                if self._counted is not None:
                    self._counted.push(self.undecided(node, str(block), choice, name, first, rest))
                value = self.choose(f"{choice}.{name}", options[name])
                if self._counted is not None:
                    self._counted.pop()
            params[key] = value
        if self._mend and BLOCKS[str(block)].all_off(params):
            for key in [key for key in BLOCKS[str(block)].some_on if key in decided][-1:]:
                params[key] = self.taken[decided[key]] = True
        self.nodes.append(Node(path, str(block), tuple(params.items()), inputs))
        return path

    def undecided(self, node: BlockNode, block: str, choice: str, now: str, first: bool, rest: bool) -> Tally:
        """The tally of the hyperparameters of a block that are still to be decided after `now`."""
        assert self._counted is not None
        tallies = self._counted.tallies
        return tallies.product(
            tallies.choice(f"{choice}.{key}", value)
            for key, value in block_choices(node, block, first, rest)
            if key != now and f"{choice}.{key}" not in self.taken
        )

    def copies(self, node: GraphNode, path: str, choice: str, entry: str) -> str:
        tallies = self._tallies
        name = node.graph
        if isinstance(name, Choice):
            under = None if tallies is None else partial(tallies.named, node, choice)
            name = self.choose(f"{choice}.graph", node.graph_options, under)
            path, choice = f"{path}.{name}", f"{choice}.{name}"
        graph = node.graphs[str(name)]
        above = choice
        if node.share == EVERYWHERE:
            choice = str(name)
        if node.repeat is None:
            return self.graph(graph, f"{path}.", f"{choice}.", entry)
        count = node.repeat
        if isinstance(count, Choice):
            under = None if tallies is None else partial(tallies.copies, node, str(name), above)
            count = self.choose(f"{above}.repeat", node.repeat_options(str(name)), under)
        for copy in range(int(count)):
            if self._counted is not None:
                self._counted.push(self._counted.tallies.copies(node, str(name), above, count, copy + 1))
            shared = f"{choice}." if node.share else f"{choice}.{copy}."
            entry = self.graph(graph, f"{path}.{copy}.", shared, entry)
            if self._counted is not None:
                self._counted.pop()
        return entry


def _draw(rng: random.Random, options: Options) -> Scalar:
    # By hand: random.choices turns weights into floats, and these can have hundreds of digits.
    ticket = rng.randrange(sum(options.weights))
    for option, weight in zip(options, options.weights, strict=True):
        if ticket < weight:
            return option
        ticket -= weight
    raise AssertionError("the ticket is below the sum of the weights")


def _option(space: str, name: str, value: Value, options: Options) -> Scalar:
    for option in options:
        if option == value and isinstance(option, bool) == isinstance(value, bool):
            return option
    raise AssignmentError(
        f"{space}: the choice '{name}' has no option {value!r}; options: {_listed(options)}{nearest(value, options)}"
    )


def _listed(options: Options) -> str:
    return ", ".join(str(option).lower() if isinstance(option, bool) else str(option) for option in options)
