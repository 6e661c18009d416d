"""An architecture drawn as a graph: stages as frames, lines for tensors with their shapes, cost of each block as shade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blocks.base import Facts, Shape
from nas.architecture.architecture import INPUT, Architecture, Node
from nas.architecture.cost import facts
from nas.drawing.captions import DARK, DETAIL_LINE, MEASURES, NAME_LINE, PADDING, Measure, Wording, legend, wording
from nas.drawing.folding import fold as folded
from nas.drawing.geometry import Part, Picture, Rect
from nas.drawing.groups import Group, group
from nas.drawing.layout import TALL, block_picture, framed, level
from nas.drawing.matplotlib_sheet import FileSheet, check_ending
from nas.drawing.sheet import Sheet, text_width
from nas.drawing.svg_sheet import PageSheet
from nas.text.formatting import shape, short

MARGIN: Final = 16.0
TITLE: Final = 62.0
"""Heading, note and legend."""
HEADER: Final = 20.0
"""Height of the header of a group's frame."""
SWATCH: Final = 9.0
"""Side of a square of the legend."""


@dataclass(frozen=True)
class Drawn:
    """An architecture laid out and worded, still to be put on a sheet."""

    picture: Picture
    words: Wording
    found: Mapping[str, Facts]
    """Facts of each node."""

    def ink(self, sheet: Sheet, x: float, y: float) -> None:
        """Puts it on a sheet with its upper left corner at (x, y)."""
        placed = Picture(0, 0, 0)
        placed.put(self.picture, x + self.picture.left, y)
        _ink(sheet, placed, self.words)


def draw(
    architecture: Architecture,
    input: Shape,
    classes: int,
    path: str | Path,
    title: str = "",
    *,
    measure: Measure = "parameters",
    fold: bool = True,
) -> None:
    """Writes the picture of `architecture` for images of shape `input`, as SVG or PNG by the ending of `path`.

    Darker blocks hold more of the network's parameters or MACs (`measure`). With `fold`, three or more equal parts in a
    row are drawn once with their number. The same architecture gives the same bytes. Raises Infeasible when the shapes
    do not meet, NasError when the ending is another or the file cannot be written.
    """
    path = Path(path)
    check_ending(path)
    drawn = lay_out(architecture, input, classes, measure=measure, fold=fold)
    heading = title or "architecture"
    note = _note(drawn.found, input, classes)
    swatches = _legend_width(measure)
    inner = max(drawn.picture.width, text_width(heading, 12, bold=True), text_width(note, 8.5), swatches)
    width = inner + 2 * MARGIN
    height = drawn.picture.height + TITLE + 2 * MARGIN
    sheet = FileSheet(width, height)
    sheet.write(MARGIN, MARGIN + 6, heading, 12, bold=True, color="ink")
    sheet.write(MARGIN, MARGIN + 23, note, 8.5, color="faint")
    _write_legend(sheet, MARGIN, MARGIN + 40, measure)
    drawn.ink(sheet, (width - drawn.picture.width) / 2, MARGIN + TITLE)
    sheet.save(path)


def markup(architecture: Architecture, input: Shape, classes: int, label: str, measure: Measure = "parameters") -> str:
    """The picture as an SVG element for a web page, without heading. Raises Infeasible."""
    drawn = lay_out(architecture, input, classes, measure=measure)
    sheet = PageSheet(drawn.picture.width + 2, drawn.picture.height + 2, label)
    drawn.ink(sheet, 1, 1)
    return sheet.markup()


def lay_out(
    architecture: Architecture,
    input: Shape,
    classes: int,
    *,
    measure: Measure = "parameters",
    fold: bool = True,
    marks: Mapping[str, str] | None = None,
    tall: float = TALL,
) -> Drawn:
    """Every box at its place. `marks` gives each node the role of its colour; without it cost is the shade."""
    found = facts(architecture, input, classes)
    outer = group(architecture)
    if fold:
        outer = folded(outer, architecture, found, marks)
    words = wording(outer, found, input, measure, marks)
    image = block_picture(INPUT, words.blocks[INPUT].width, words.blocks[INPUT].height)
    below = [
        Part(part.picture, tuple(0 if source is None else source + 1 for source in part.inputs), part.is_block)
        for part in _parts(outer.members, words)
    ]
    return Drawn(level([Part(image, (), is_block=True), *below], exit=None, tall=tall), words, found)


def _note(found: Mapping[str, Facts], input: Shape, classes: int) -> str:
    parameters = sum(fact.parameters for fact in found.values())
    macs = sum(fact.macs for fact in found.values())
    items = (
        f"{shape(input)} → {classes} classes",
        f"{len(found)} blocks",
        f"{parameters:,} parameters",
        f"{short(macs)} MACs",
    )
    return "  ·  ".join(items)


def _legend_title(measure: Measure) -> str:
    return f"share of all {MEASURES[measure]}:"


def _legend_width(measure: Measure) -> float:
    entries = sum(SWATCH + 4 + text_width(name, 7.5) + 10 for _, name in legend())
    return text_width(_legend_title(measure), 7.5) + 8 + entries


def _write_legend(sheet: Sheet, x: float, y: float, measure: Measure) -> None:
    sheet.write(x, y, _legend_title(measure), 7.5, color="faint")
    x += text_width(_legend_title(measure), 7.5) + 8
    for colour, name in legend():
        sheet.box(Rect(x, y - SWATCH / 2, SWATCH, SWATCH), fill=colour, edge="edge", width=0.7, rounding=1.5)
        sheet.write(x + SWATCH + 4, y, name, 7.5, color="faint")
        x += SWATCH + 4 + text_width(name, 7.5) + 10


def _parts(members: Sequence[Node | Group], words: Wording) -> list[Part]:
    where: dict[str, int] = {}
    parts: list[Part] = []
    for place, member in enumerate(members):
        if isinstance(member, Group):
            inside = {node.name for node in member.nodes()}
            entering = next(name for node in member.nodes() for name in node.inputs if name not in inside)
            parts.append(Part(_frame(member, words), (where.get(entering),), is_block=False))
            where |= dict.fromkeys(inside, place)
        else:
            box = words.blocks[member.name]
            picture = block_picture(member.name, box.width, box.height)
            parts.append(Part(picture, tuple(where.get(name) for name in member.inputs), is_block=True))
            where[member.name] = place
    return parts


def _frame(member: Group, words: Wording) -> Picture:
    content = level(_parts(member.members, words), exit=len(member.members) - 1)
    return framed(content, member.path, words.frames[member.path].side, HEADER)


def _ink(sheet: Sheet, picture: Picture, words: Wording) -> None:
    for path, frame in picture.frames.items():
        depth = sum(path.startswith(f"{other}.") for other in picture.frames)
        sheet.box(frame, fill=f"frame{min(depth, 2)}", edge="rim", width=0.8, rounding=6)
        y = frame.y + HEADER / 2
        header = words.frames[path]
        sheet.write(frame.x + PADDING, y, header.title, 7.5, bold=True, color="faint")
        sheet.write(frame.x + frame.width - PADDING, y, header.total, 7.5, bold=True, color="faint", align="right")
    forks = set(picture.forks)
    for line in picture.wires:
        sheet.wire(line, forks)
    for point in picture.forks:
        sheet.fork(point)
    for name, rect in picture.boxes.items():
        word = words.blocks[name]
        sheet.box(rect, fill=word.fill, edge=word.edge, width=0.9, rounding=4)
        y = rect.y + (rect.height - DETAIL_LINE * len(word.details)) / 2
        x = rect.x + PADDING
        if word.role:
            sheet.write(x, y, word.role, 7, color="ink" if word.fill in DARK else "faint")
            x += text_width(word.role, 7) + 5
        sheet.write(x, y, word.block, 9, bold=True, color="ink")
        sheet.write(rect.x + rect.width - PADDING, y, word.cost, 7, align="right", color="ink")
        for nth, detail in enumerate(word.details):
            below = y + NAME_LINE / 2 + DETAIL_LINE * (nth + 0.5)
            sheet.write(rect.x + PADDING, below, detail, 7, color="ink")
        label = rect.y + rect.height + 5.5
        sheet.write(rect.x + rect.width / 2 - 4, label, word.shape, 6.5, align="right", color="faint")
