"""An architecture drawn as a graph: stages as frames, lines for tensors with their shapes, parameters of each block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blocks import BLOCKS
from blocks.base import Facts, Scalar, Shape
from nas.architecture import INPUT, Architecture, Node
from nas.cost import facts
from nas.errors import NasError
from nas.report import canvas
from nas.report.canvas import EDGE, FAINT, INK, text_width
from nas.report.geometry import Part, Picture
from nas.report.groups import Group, group
from nas.report.layout import TALL, block_picture, framed, level
from nas.report.text import shape, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS: Final = (".svg", ".png")
PIXELS_PER_INCH: Final = 160
PIXELS_AT_MOST: Final = 16_000
"""Per side of a PNG, so that viewers open the picture of a very large network too."""

MARGIN: Final = 16.0
TITLE: Final = 44.0
HEADER: Final = 20.0
"""Of the frame of a group."""
PADDING: Final = 7.0
"""In the box of a block."""
NAME_LINE: Final = 12.0
DETAIL_LINE: Final = 9.5
NARROWEST: Final = 100.0
WIDEST_DETAIL: Final = 165.0
SHADES: Final = ("#ffffff", "#dcebf7", "#b3d4ea", "#7fb6dc")
"""A block's fill by its share of all parameters: none, below 3 %, below 15 %, more."""
SHARES: Final = (0.0, 0.03, 0.15)
FRAMES: Final = ("#f3f5f7", "#e8ecf0", "#dde3e8")
"""A frame's fill by its depth."""


@dataclass(frozen=True)
class _Words:
    """What is written on one block."""

    role: str
    """Its path, from the frame it stands in."""
    block: str
    parameters: str
    details: tuple[str, ...]
    shape: str
    fill: str

    @property
    def width(self) -> float:
        head = text_width(self.role, 7) + text_width(self.block, 9, bold=True) + text_width(self.parameters, 7)
        gaps = 5.0 * bool(self.role) + 9.0 * bool(self.parameters)
        widest = max((text_width(line, 7) for line in self.details), default=0.0)
        return max(NARROWEST, head + gaps + 2 * PADDING, widest + 2 * PADDING)

    @property
    def height(self) -> float:
        return NAME_LINE + DETAIL_LINE * len(self.details) + (PADDING if not self.details else PADDING + 2)


def draw(architecture: Architecture, input: Shape, classes: int, path: str | Path, title: str = "") -> None:
    """Writes the picture of `architecture` for images of shape `input`, as SVG or PNG by the ending of `path`.

    Darker blocks hold more of the parameters. The same architecture gives the same bytes. Raises Infeasible when the
    shapes do not meet, NasError when the ending is another or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise NasError(f"{path}: a drawing is written as {' or '.join(FORMATS)}, not as '{path.suffix or path.name}'")
    found = facts(architecture, input, classes)
    outer = group(architecture)
    words = _words(outer, found, input)
    picture = _outermost(outer, words, found)
    heading = title or "architecture"
    note = _note(found, input, classes)
    width = max(picture.width, text_width(heading, 12, bold=True), text_width(note, 8.5)) + 2 * MARGIN
    height = picture.height + TITLE + 2 * MARGIN
    figure, axes = canvas.paper(width, height)
    canvas.write(axes, MARGIN, MARGIN + 6, heading, 12, bold=True, color=INK)
    canvas.write(axes, MARGIN, MARGIN + 23, note, 8.5, color=FAINT)
    placed = Picture(0, width, height)
    placed.put(picture, (width - picture.width) / 2 + picture.left, MARGIN + TITLE)
    _ink(axes, placed, words, found)
    canvas.save(figure, path, dpi=min(PIXELS_PER_INCH, 72 * PIXELS_AT_MOST / max(width, height)))


def _note(found: Mapping[str, Facts], input: Shape, classes: int) -> str:
    parameters = sum(fact.parameters for fact in found.values())
    macs = sum(fact.macs for fact in found.values())
    items = (
        f"{shape(input)} → {classes} classes",
        f"{len(found)} blocks",
        f"{parameters:,} parameters",
        f"{short(macs)} MACs",
        "darker: more of the parameters",
    )
    return "  ·  ".join(items)


def _words(outer: Group, found: Mapping[str, Facts], input: Shape) -> dict[str, _Words]:
    total = max(1, sum(fact.parameters for fact in found.values()))
    channels = {INPUT: input[0]} | {name: fact.out_shape[0] for name, fact in found.items()}
    words = {INPUT: _Words("", INPUT, "", (), shape(input), SHADES[0])}

    def visit(frame: Group) -> None:
        for member in frame.members:
            if isinstance(member, Group):
                visit(member)
                continue
            role = member.name[len(frame.path) + 1 :] if frame.path else member.name
            fact = found[member.name]
            share = fact.parameters / total
            words[member.name] = _Words(
                "" if role == member.block else role,
                member.block,
                short(fact.parameters) if fact.parameters else "",
                _details(member, channels[member.inputs[0]]),
                shape(fact.out_shape),
                SHADES[sum(share > bound for bound in SHARES)],
            )

    visit(outer)
    return words


def _details(node: Node, in_channels: int) -> tuple[str, ...]:
    """The hyperparameters that are not the default, in lines. A width that changes nothing is left out."""
    items: list[str] = []
    for name, value in node.params:
        parameter = BLOCKS[node.block].hyperparameters[name]
        usual = in_channels if parameter.is_width else parameter.default
        if value != usual:
            items.append(f"{name} {_value(value)}")
    lines: list[str] = []
    for item in items:
        joined = f"{lines[-1]} · {item}" if lines else item
        if lines and text_width(joined, 7) <= WIDEST_DETAIL:
            lines[-1] = joined
        else:
            lines.append(item)
    return tuple(lines)


def _value(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _outermost(outer: Group, words: Mapping[str, _Words], found: Mapping[str, Facts]) -> Picture:
    """The whole network below the box of its input."""
    image = block_picture(INPUT, words[INPUT].width, words[INPUT].height)
    below = [
        Part(part.picture, tuple(0 if source is None else source + 1 for source in part.inputs), part.is_block)
        for part in _parts(outer.members, words, found)
    ]
    return level([Part(image, (), is_block=True), *below], exit=None, tall=TALL)


def _parts(members: Sequence[Node | Group], words: Mapping[str, _Words], found: Mapping[str, Facts]) -> list[Part]:
    where: dict[str, int] = {}
    parts: list[Part] = []
    for place, member in enumerate(members):
        if isinstance(member, Group):
            inside = {node.name for node in member.nodes()}
            entering = next(name for node in member.nodes() for name in node.inputs if name not in inside)
            parts.append(Part(_frame(member, words, found), (where.get(entering),), is_block=False))
            where |= dict.fromkeys(inside, place)
        else:
            picture = block_picture(member.name, words[member.name].width, words[member.name].height)
            parts.append(Part(picture, tuple(where.get(name) for name in member.inputs), is_block=True))
            where[member.name] = place
    return parts


def _frame(member: Group, words: Mapping[str, _Words], found: Mapping[str, Facts]) -> Picture:
    content = level(_parts(member.members, words, found), exit=len(member.members) - 1)
    header = max(text_width(text, 7.5, bold=True) for text in _header(member, found)) + 2 * PADDING
    return framed(content, member.path, header, HEADER)


def _header(member: Group, found: Mapping[str, Facts]) -> tuple[str, str]:
    parameters = sum(found[node.name].parameters for node in member.nodes())
    return member.path, short(parameters) if parameters else ""


def _ink(axes: Axes, picture: Picture, words: Mapping[str, _Words], found: Mapping[str, Facts]) -> None:
    for path, frame in picture.frames.items():
        depth = sum(path.startswith(f"{other}.") for other in picture.frames)
        fill = FRAMES[min(depth, len(FRAMES) - 1)]
        canvas.box(axes, frame, fill=fill, edge="#c3ccd4", width=0.8, rounding=6, zorder=1 + depth / 100)
        inside = [fact.parameters for name, fact in found.items() if name.startswith(f"{path}.")]
        y = frame.y + HEADER / 2
        canvas.write(axes, frame.x + PADDING, y, path, 7.5, bold=True, color=FAINT)
        total = short(sum(inside)) if sum(inside) else ""
        canvas.write(axes, frame.x + frame.width - PADDING, y, total, 7.5, bold=True, color=FAINT, align="right")
    forks = set(picture.forks)
    for line in picture.wires:
        canvas.wire(axes, line, forks)
    for point in picture.forks:
        canvas.fork(axes, point)
    for name, rect in picture.boxes.items():
        word = words[name]
        canvas.box(axes, rect, fill=word.fill, edge=EDGE, width=0.9, rounding=4, zorder=4)
        y = rect.y + (rect.height - DETAIL_LINE * len(word.details)) / 2
        x = rect.x + PADDING
        if word.role:
            canvas.write(axes, x, y, word.role, 7, color=FAINT, zorder=5)
            x += text_width(word.role, 7) + 5
        canvas.write(axes, x, y, word.block, 9, bold=True, color=INK, zorder=5)
        canvas.write(axes, rect.x + rect.width - PADDING, y, word.parameters, 7, align="right", color=INK, zorder=5)
        for nth, detail in enumerate(word.details):
            below = y + NAME_LINE / 2 + DETAIL_LINE * (nth + 0.5)
            canvas.write(axes, rect.x + PADDING, below, detail, 7, color=INK, zorder=5)
        label = rect.y + rect.height + 5.5
        canvas.write(axes, rect.x + rect.width / 2 - 4, label, word.shape, 6.5, align="right", color=FAINT, zorder=5)
