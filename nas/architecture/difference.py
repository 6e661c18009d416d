"""What two architectures have in common and what not: their nodes matched in the order they run.

Finding the smallest difference of two graphs is hard; the nodes of a network, though, have an order, and two networks of
one space mostly have the names of their nodes in common. So the nodes are aligned like two texts (Needleman and Wunsch
1970): a pair counts more the more it has in common (block, name, hyperparameters), and pairs may not cross.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from blocks import BLOCKS
from blocks.base import Scalar
from nas.architecture.architecture import INPUT, Architecture, Node

Status = Literal["same", "changed", "added", "removed"]

SAME_BLOCK: Final = 2.0
SAME_NAME: Final = 2.0
SAME_VALUES: Final = 1.0
"""Score for the share of equal hyperparameters of two equal blocks."""


@dataclass(frozen=True)
class Change:
    """A node that one or both of two architectures have."""

    status: Status
    before: Node | None
    after: Node | None
    values: tuple[tuple[str, Scalar, Scalar], ...] = ()
    """Hyperparameters of the same block that differ: name, before, after."""
    rewired: bool = False
    """Whether it reads other nodes that both have; what was only put in between, or taken out, does not count."""

    @property
    def node(self) -> Node:
        """The node as it is after, or was before where it is gone."""
        node = self.after or self.before
        assert node is not None
        return node


@dataclass(frozen=True)
class Difference:
    """Every node of either architecture, in an order in which both run."""

    changes: tuple[Change, ...]
    same: bool
    """Whether they are one network, up to the names of nodes."""
    marks_before: Mapping[str, Status] = field(default_factory=dict)
    """Marks of the nodes before, by name."""
    marks_after: Mapping[str, Status] = field(default_factory=dict)

    def count(self, status: Status) -> int:
        """How many nodes have this status."""
        return sum(change.status == status for change in self.changes)


def difference(before: Architecture, after: Architecture) -> Difference:
    """What makes `after` out of `before`. Memory and time grow with the product of the numbers of nodes."""
    changes: list[Change] = []
    partner: dict[str, str] = {INPUT: INPUT}
    pairs = _aligned(before.nodes, after.nodes)
    partner |= {first.name: second.name for first, second in pairs if first is not None and second is not None}
    kept = set(partner.values())
    reach_before = _reach(before, partner)
    reach_after = _reach(after, {name: name for name in kept})
    for first, second in pairs:
        if first is None:
            changes.append(Change("added", None, second))
        elif second is None:
            changes.append(Change("removed", first, None))
        else:
            values = _values(first, second) if first.block == second.block else ()
            rewired = _rewired(first, second, partner, reach_before, reach_after)
            same = first.block == second.block and not values and not rewired
            changes.append(Change("same" if same else "changed", first, second, values, rewired))
    return Difference(
        tuple(changes),
        before.hash == after.hash,
        {change.before.name: change.status for change in changes if change.before is not None},
        {change.after.name: change.status for change in changes if change.after is not None},
    )


def _reach(architecture: Architecture, partner: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """For each node: itself where both have it; otherwise the nodes that both have which it is made of, without others between."""
    reach: dict[str, frozenset[str]] = {INPUT: frozenset((INPUT,))}
    for node in architecture.nodes:
        own = partner.get(node.name)
        reach[node.name] = (
            frozenset().union(*(reach[name] for name in node.inputs)) if own is None else frozenset((own,))
        )
    return reach


def _rewired(
    first: Node,
    second: Node,
    partner: Mapping[str, str],
    before: Mapping[str, frozenset[str]],
    after: Mapping[str, frozenset[str]],
) -> bool:
    theirs = [partner.get(name) for name in first.inputs]
    ours = list(second.inputs)
    if None not in theirs and set(ours) <= set(partner.values()):  # nothing came between: the very same inputs
        if BLOCKS[second.block].commutative:
            return sorted(map(str, theirs)) != sorted(ours)
        return theirs != ours
    was = frozenset().union(*(before[name] for name in first.inputs))
    now = frozenset().union(*(after[name] for name in ours))
    kept = set(partner.values())
    gone = any(name is not None and name not in now for name in theirs)
    new = any(name in kept and name not in was for name in ours)
    return gone or new


def _aligned(before: tuple[Node, ...], after: tuple[Node, ...]) -> list[tuple[Node | None, Node | None]]:
    """The pairs of the best alignment, in order; None stands for no partner."""
    rows, columns = len(before), len(after)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        below, here, node = best[row + 1], best[row], before[row]
        for column in range(columns - 1, -1, -1):
            value = max(below[column], here[column + 1])
            pair = _likeness(node, after[column])
            here[column] = max(value, pair + below[column + 1]) if pair else value
    pairs: list[tuple[Node | None, Node | None]] = []
    row = column = 0
    while row < rows or column < columns:
        pair = _likeness(before[row], after[column]) if row < rows and column < columns else 0.0
        if pair and best[row][column] == pair + best[row + 1][column + 1]:
            pairs.append((before[row], after[column]))
            row, column = row + 1, column + 1
        elif row < rows and best[row][column] == best[row + 1][column]:
            pairs.append((before[row], None))
            row += 1
        else:
            pairs.append((None, after[column]))
            column += 1
    return pairs


def _likeness(first: Node, second: Node) -> float:
    """How much two nodes have in common; 0 means that they are never a pair."""
    value = SAME_NAME if first.name == second.name else 0.0
    if first.block == second.block:
        value += SAME_BLOCK
        if first.params == second.params:
            value += SAME_VALUES
        elif first.params:
            value += SAME_VALUES * (1 - len(_values(first, second)) / len(first.params))
    return value


def _values(first: Node, second: Node) -> tuple[tuple[str, Scalar, Scalar], ...]:
    theirs = dict(second.params)
    return tuple(
        (name, value, theirs[name])
        for name, value in first.params
        if value != theirs[name] or isinstance(value, bool) != isinstance(theirs[name], bool)
    )
