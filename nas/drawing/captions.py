"""What is written on the boxes and frames of a drawn architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from blocks import BLOCKS
from blocks.base import Facts, Shape
from nas.architecture.architecture import INPUT, Node
from nas.drawing.groups import Group
from nas.drawing.sheet import text_width
from nas.space.choices import plain
from nas.text.formatting import shape, short

Measure = Literal["parameters", "macs"]
MEASURES: Final[Mapping[Measure, str]] = {"parameters": "parameters", "macs": "MACs"}

PADDING: Final = 7.0
"""Padding inside the box of a block."""
NAME_LINE: Final = 12.0
DETAIL_LINE: Final = 9.5
NARROWEST: Final = 100.0
WIDEST_DETAIL: Final = 165.0
SHARES: Final = (0.0, 0.02, 0.05, 0.15)
"""Bounds of the shares of a network's cost that fill a block with the next darker shade."""


DARK: Final = ("shade3", "shade4")
"""Shades on which small letters need the darkest ink."""


@dataclass(frozen=True)
class Words:
    """What is written on one block, and its colours."""

    role: str
    """Its path, from the frame it stands in."""
    block: str
    cost: str
    details: tuple[str, ...]
    shape: str
    fill: str
    edge: str = "edge"

    @property
    def width(self) -> float:
        """Width of its box in points."""
        head = text_width(self.role, 7) + text_width(self.block, 9, bold=True) + text_width(self.cost, 7)
        gaps = 5.0 * bool(self.role) + 9.0 * bool(self.cost)
        widest = max((text_width(line, 7) for line in self.details), default=0.0)
        # A renderer that snaps letters to pixels makes a line up to 3 % longer than its outlines.
        return max(NARROWEST, head + gaps + 2 * PADDING, 1.03 * widest + 2 * PADDING)

    @property
    def height(self) -> float:
        """Height of its box in points."""
        return NAME_LINE + DETAIL_LINE * len(self.details) + (PADDING if not self.details else PADDING + 2)


@dataclass(frozen=True)
class Header:
    """What is written on the frame of a group."""

    title: str
    total: str

    @property
    def side(self) -> float:
        """Room on each side of the axis, in points."""
        return max(text_width(text, 7.5, bold=True) for text in (self.title, self.total)) + 2 * PADDING


@dataclass(frozen=True)
class Wording:
    """Everything that is written, by the name of the node or the path of the group."""

    blocks: dict[str, Words] = field(default_factory=dict)
    frames: dict[str, Header] = field(default_factory=dict)


def wording(
    outer: Group,
    found: Mapping[str, Facts],
    input: Shape,
    measure: Measure,
    marks: Mapping[str, str] | None = None,
) -> Wording:
    """The words of a network whose blocks cost `found`. `marks` colours nodes by a role instead of their cost."""
    total = max(1, sum(_cost(fact, measure) for fact in found.values()))
    channels = {INPUT: input[0]} | {name: fact.out_shape[0] for name, fact in found.items()}
    result = Wording()
    result.blocks[INPUT] = Words("", INPUT, "", (), shape(input), "shade0")

    def visit(frame: Group) -> None:
        for member in frame.members:
            if isinstance(member, Group):
                inside = sum(_cost(found[node.name], measure) for node in member.nodes())
                title = f"{member.title}  × {len(member.others) + 1}" if member.others else member.path
                result.frames[member.path] = Header(title, short(inside) if inside else "")
                visit(member)
                continue
            role = member.name[len(frame.path) + 1 :] if frame.path else member.name
            fact = found[member.name]
            price = _cost(fact, measure)
            mark = None if marks is None else marks[member.name]
            result.blocks[member.name] = Words(
                "" if role == member.block else role,
                member.block,
                short(price) if price else "",
                details(member, channels[member.inputs[0]]),
                shape(fact.out_shape),
                mark or shade(price / total),
                "edge" if mark in (None, "same") else f"{mark}_edge",
            )

    visit(outer)
    return result


def shade(share: float) -> str:
    """The colour of a block with this share of the network's cost."""
    return f"shade{sum(share > bound for bound in SHARES)}"


def legend() -> list[tuple[str, str]]:
    """The shades, from light to dark, and what each means."""
    percents = [f"{bound:.0%}" for bound in SHARES]
    names = ["none", f"up to {percents[1]}", *(f"to {bound}" for bound in percents[2:]), "more"]
    return [(f"shade{place}", name) for place, name in enumerate(names)]


def details(node: Node, in_channels: int) -> tuple[str, ...]:
    """The hyperparameters that are not the default, in lines. A width that changes nothing is left out."""
    items: list[str] = []
    for name, value in node.params:
        parameter = BLOCKS[node.block].hyperparameters[name]
        usual = in_channels if parameter.is_width else parameter.default
        if value != usual:
            items.append(f"{name} {plain(value)}")
    lines: list[str] = []
    for item in items:
        joined = f"{lines[-1]} · {item}" if lines else item
        if lines and text_width(joined, 7) <= WIDEST_DETAIL:
            lines[-1] = joined
        else:
            lines.append(item)
    return tuple(lines)


def _cost(fact: Facts, measure: Measure) -> int:
    return fact.parameters if measure == "parameters" else fact.macs
