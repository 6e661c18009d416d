"""Bounds on how often options are taken in a whole assignment: `counts` of a space file.

A space is a set of sequences then, such as "one to four of these modules halve the resolution", and how many assignments it
has is read off a generating function: a `Tally` says how many assignments of a part of the space take the counted options so
and so often. Tallies of parts that are decided one after the other are multiplied, those of options are added. The product of
what is still ahead in a walk says which options of a choice can be completed at all, and in how many ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from blocks.base import Scalar
from nas.errors import AssignmentError
from nas.space.choices import plain
from nas.space.grammar import (
    EVERYWHERE,
    BlockNode,
    Choice,
    Graph,
    GraphItem,
    GraphNode,
    Options,
    SwitchNode,
    Value,
)

Counts = tuple[int, ...]
"""How often the options of each rule were taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Numbers of assignments by counts; what no completion can bring back into the bounds is left out.

    `Counting` makes one of a kind, so that a walk finds out by identity what it met before.
    """

    terms: tuple[tuple[Counts, int], ...]


@dataclass(frozen=True)
class CountRule:
    """How many choices whose names fit `choice` take one of `options`: at least `min` and at most `max`."""

    name: str
    choice: str
    """A name of choices, in which a ``*`` stands for any number."""
    options: tuple[Scalar, ...]
    min: int = 0
    max: int | None = None

    def fits(self, choice: str) -> bool:
        """Whether choices of this name are counted."""
        ours, theirs = self.choice.split("."), choice.split(".")
        return len(ours) == len(theirs) and all(
            our == their or (our == "*" and their.isdigit()) for our, their in zip(ours, theirs, strict=True)
        )

    def takes(self, value: Scalar) -> bool:
        """Whether the value is one of those that are counted; true is not 1."""
        return any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in self.options)

    def __str__(self) -> str:
        """In words: ``from 1 to 4 of modules.*.stride are 2``."""
        listed = " or ".join(map(plain, self.options))
        if self.max is None:
            return f"at least {self.min} of {self.choice} are {listed}"
        bounds = f"from {self.min} to" if self.min else "at most"
        return f"{'exactly' if self.min == self.max else bounds} {self.max} of {self.choice} are {listed}"


class Counting:
    """The tallies of one space: what is ahead, whatever was decided."""

    def __init__(self, rules: Sequence[CountRule], root: Graph) -> None:
        self.rules = tuple(rules)
        self._root = root
        self._tallies: dict[tuple[tuple[Counts, int], ...], Tally] = {}
        self.nothing = self._tally({(0,) * len(self.rules): 1})
        """The tally of no decision at all."""
        self.options_met: dict[str, dict[Scalar, None]] = {}
        """Options of every choice that was tallied, by its name."""
        self._hits: dict[tuple[str, Scalar, bool], Counts] = {}
        self._products: dict[tuple[Tally, Tally], Tally] = {}
        self._parts: dict[tuple[object, ...], Tally] = {}
        self._offers: dict[tuple[str, Counts, Tally, Options], Options] = {}

    @property
    def size(self) -> int:
        """How many assignments are within the bounds; choices of graphs that are shared everywhere are not among them."""
        return self.ways(self.graph(self._root, ""), (0,) * len(self.rules))

    def ways(self, ahead: Tally, taken: Counts) -> int:
        """How many of the completions `ahead` end within the bounds when so much was `taken` before."""
        return sum(
            number
            for counts, number in ahead.terms
            if all(
                rule.min <= count + before and (rule.max is None or count + before <= rule.max)
                for rule, count, before in zip(self.rules, counts, taken, strict=True)
            )
        )

    # Parts of the space -----------------------------------------------------------------------------------------------

    def graph(self, graph: Graph, path: str, start: int = 0) -> Tally:
        """The tally of a graph from one of its nodes on; `path` ends with a dot or is empty."""
        key = ("graph", path, id(graph), start)
        if key not in self._parts:
            self._parts[key] = self.product(self.item(node, path + node.name) for node in graph.nodes[start:])
        return self._parts[key]

    def item(self, node: GraphItem, path: str) -> Tally:
        """The tally of a node at the path of its choices."""
        key = ("item", path, id(node))
        if key not in self._parts:
            self._parts[key] = self._item(node, path)
        return self._parts[key]

    def _item(self, node: GraphItem, path: str) -> Tally:
        if isinstance(node, SwitchNode):
            return self.choice(path, Choice(tuple(node.nodes)), partial(self.label, node, path))
        return self.choice(f"{path}.present", node.present, partial(self.present, node, path))

    def label(self, node: SwitchNode, path: str, label: Scalar) -> Tally:
        """What is ahead when a label was chosen."""
        return self.item(node.nodes[str(label)], f"{path}.{label}")

    def present(self, node: BlockNode | GraphNode, path: str, present: Scalar) -> Tally:
        """What is ahead when it was decided whether a node is there."""
        return self.product([self.inputs(node, path), self.inside(node, path)]) if present else self.nothing

    def inputs(self, node: BlockNode | GraphNode, path: str, start: int = 0) -> Tally:
        """The tally of the inputs of a node, from one place on."""
        places = list(enumerate(node.inputs or ()))[start:]
        return self.product(self.choice(f"{path}.inputs.{place}", value) for place, value in places)

    def inside(self, node: BlockNode | GraphNode, path: str) -> Tally:
        """The tally of a node that is there and has its inputs."""
        if isinstance(node, GraphNode):
            return self.choice(f"{path}.graph", node.graph, partial(self.named, node, path))
        count: Value = 1 if node.repeat is None else node.repeat
        return self.choice(f"{path}.repeat", count, partial(self.block_copies, node, path))

    def named(self, node: GraphNode, path: str, name: Scalar) -> Tally:
        """What is ahead when the name of a graph was chosen."""
        path = f"{path}.{name}" if isinstance(node.graph, Choice) else path
        count: Value = 1 if node.repeat is None else node.repeat
        return self.choice(f"{path}.repeat", count, partial(self.copies, node, str(name), path))

    def copies(self, node: GraphNode, name: str, path: str, number: Scalar, start: int = 0) -> Tally:
        """The tally of copies of a graph, from one of them on."""
        graph = node.graphs[name]
        if node.share == EVERYWHERE:  # decided once for the whole space, and not counted
            return self.nothing
        if node.repeat is None:
            return self.graph(graph, f"{path}.") if start == 0 else self.nothing
        if node.share:
            return self.graph(graph, f"{path}.") if start == 0 < int(number) else self.nothing
        key = ("copies", path, id(node), name, number, start)
        if key not in self._parts:
            self._parts[key] = self.product(self.graph(graph, f"{path}.{copy}.") for copy in range(start, int(number)))
        return self._parts[key]

    def block_copies(self, node: BlockNode, path: str, number: Scalar, start: int = 0) -> Tally:
        """The tally of copies of a block, from one of them on."""
        if node.repeat is None:
            return self.block(node, path, first=False, rest=True) if start == 0 else self.nothing
        if node.share:
            return (
                self.block(node, path, first=True, rest=int(number) > 1) if start == 0 < int(number) else self.nothing
            )
        return self.product(
            self.block(node, f"{path}.{copy}", first=copy == 0, rest=copy > 0) for copy in range(start, int(number))
        )

    def block(self, node: BlockNode, path: str, *, first: bool, rest: bool) -> Tally:
        """The tally of one copy of a block, or of all that decide alike."""
        key = ("block", path, id(node), first, rest)
        if key not in self._parts:
            self._parts[key] = self.choice(f"{path}.block", node.block, partial(self.params, node, path, first, rest))
        return self._parts[key]

    def params(self, node: BlockNode, path: str, first: bool, rest: bool, name: Scalar) -> Tally:
        """What is ahead when a block was chosen."""
        return self.product(
            self.choice(f"{path}.{key}", value) for key, value in block_choices(node, str(name), first, rest)
        )

    def choice(self, name: str, value: Value, under: Callable[[Scalar], Tally] | None = None) -> Tally:
        """The tally of a value and of what is under it: a choice is the sum over its options."""
        if not isinstance(value, Choice):
            return self.nothing if under is None else under(value)
        self.options_met[name] = dict.fromkeys(value.options)
        sums: dict[Counts, int] = {}
        for option in value.options:
            hit = self.hit(name, option)
            for counts, number in (self.nothing if under is None else under(option)).terms:
                self._add(sums, [a + b for a, b in zip(hit, counts, strict=True)], number)
        return self._tally(sums)

    def hit(self, name: str, value: Scalar) -> Counts:
        """Which rules count this decision."""
        key = (name, value, isinstance(value, bool))
        if key not in self._hits:
            self._hits[key] = tuple(int(rule.fits(name) and rule.takes(value)) for rule in self.rules)
        return self._hits[key]

    def product(self, parts: Iterable[Tally]) -> Tally:
        """The tally of parts that are decided one after the other."""
        whole = self.nothing
        for part in parts:
            whole = self.times(whole, part)
        return whole

    def times(self, a: Tally, b: Tally) -> Tally:
        """The tally of two parts."""
        key = (a, b)
        if key not in self._products:
            sums: dict[Counts, int] = {}
            for left, number in a.terms:
                for right, other in b.terms:
                    self._add(sums, [i + j for i, j in zip(left, right, strict=True)], number * other)
            self._products[key] = self._tally(sums)
        return self._products[key]

    def _tally(self, sums: dict[Counts, int]) -> Tally:
        terms = tuple(sorted(sums.items()))
        return self._tallies.setdefault(terms, Tally(terms))

    def _add(self, sums: dict[Counts, int], counts: Sequence[int], number: int) -> None:
        if any(rule.max is not None and count > rule.max for rule, count in zip(self.rules, counts, strict=True)):
            return
        # without a maximum, more than the minimum is as good as the minimum
        capped = tuple(
            min(count, rule.min) if rule.max is None else count for rule, count in zip(self.rules, counts, strict=True)
        )
        sums[capped] = sums.get(capped, 0) + number

    def offers(
        self, name: str, options: Options, taken: Counts, under: Callable[[Scalar], Tally] | None, ahead: Tally
    ) -> Options:
        """The options of a choice, weighed by the ways in which an assignment can be completed with each.

        `under` is the tally of what an option leads to, `ahead` that of what comes afterwards.
        """
        key = (name, taken, ahead, options)
        if key not in self._offers:
            ways = []
            for option in options:
                counts = tuple(a + b for a, b in zip(taken, self.hit(name, option), strict=True))
                part = self.nothing if under is None else under(option)
                ways.append(self.ways(self.times(part, ahead), counts))
            self._offers[key] = Options(tuple(options), lambda: tuple(ways), bounded=True)
        return self._offers[key]


def block_choices(node: BlockNode, name: str, first: bool, rest: bool) -> Iterator[tuple[str, Value]]:
    """Hyperparameters by the last part of their choice: those of a `first` copy, of the `rest`, or of both."""
    for key, value in node.params_of[name]:
        if key in node.first and first:
            yield f"first.{key}", node.first[key]
        if key not in node.first or rest:
            yield key, value


class CountedWalk:
    """One walk through a space with rules: what was taken, and what is ahead."""

    def __init__(self, counting: Counting, space: str) -> None:
        self.tallies = counting
        self._space = space
        self._taken: Counts = (0,) * len(counting.rules)
        self._ahead = [counting.nothing]

    def push(self, tally: Tally) -> None:
        """Until the next `pop`, this is ahead of what else is."""
        self._ahead.append(self.tallies.times(self._ahead[-1], tally))

    def pop(self) -> None:
        """What was pushed last is met now."""
        self._ahead.pop()

    def offered(self, name: str, options: Options, under: Callable[[Scalar], Tally] | None) -> Options:
        """The options of a choice as they are now; `under` is the tally of what an option leads to."""
        return self.tallies.offers(name, options, self._taken, under, self._ahead[-1])

    def take(self, name: str, value: Scalar, offered: Options) -> None:
        """Decides a choice. Raises AssignmentError when no completion is within the bounds."""
        hit = self.tallies.hit(name, value)
        if not any(value == option for option in offered.admissible):
            listed = ", ".join(map(plain, offered.admissible))
            rules = "; ".join(f"{rule.name}: {rule}" for rule in self._broken(hit))
            raise AssignmentError(
                f"{self._space}: the choice '{name}' cannot be {plain(value)} after the others; options: {listed} ({rules})"
            )
        self._taken = tuple(a + b for a, b in zip(self._taken, hit, strict=True))

    def _broken(self, hit: Counts) -> list[CountRule]:
        """The rules that a decision can have broken: the one it counts for, or those with a minimum."""
        rules = [rule for rule, counts in zip(self.tallies.rules, hit, strict=True) if counts]
        return rules or [rule for rule in self.tallies.rules if rule.min]
