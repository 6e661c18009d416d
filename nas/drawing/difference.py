"""Two architectures side by side, with colours for what is removed, added and changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.architecture.difference import Difference
from nas.drawing.draw import Drawn, lay_out
from nas.drawing.geometry import Rect
from nas.drawing.matplotlib_sheet import FileSheet, check_ending
from nas.drawing.sheet import Sheet, text_width
from nas.text.formatting import short

if TYPE_CHECKING:
    from nas.network.lookup import Network

MARGIN: Final = 16.0
BETWEEN: Final = 44.0
TOP: Final = 74.0
SWATCH: Final = 9.0
LEGEND: Final = (
    ("removed", "only on the left"),
    ("added", "only on the right"),
    ("changed", "changed"),
    ("same", "the same"),
)


def draw_difference(before: Network, after: Network, found: Difference, path: Path) -> None:
    """Writes the picture as SVG or PNG by the ending of `path`. The same networks give the same bytes.

    Raises NasError when the ending is another or the file cannot be written.
    """
    check_ending(path)
    sides = [
        (network, lay_out(network.architecture, network.input, network.classes, marks=marks))
        for network, marks in ((before, found.marks_before), (after, found.marks_after))
    ]
    widths = [_width(network, drawn) for network, drawn in sides]
    legend = sum(SWATCH + 4 + text_width(name, 7.5) + 12 for _, name in LEGEND)
    width = max(sum(widths) + BETWEEN, legend) + 2 * MARGIN
    height = max(drawn.picture.height for _, drawn in sides) + TOP + 2 * MARGIN
    sheet = FileSheet(width, height)
    _write_legend(sheet, MARGIN, MARGIN + 6)
    x = MARGIN
    for (network, drawn), room in zip(sides, widths, strict=True):
        sheet.write(x, MARGIN + 32, network.title, 12, bold=True, color="ink")
        sheet.write(x, MARGIN + 50, _note(network), 8.5, color="faint")
        drawn.ink(sheet, x + (room - drawn.picture.width) / 2, MARGIN + TOP)
        x += room + BETWEEN
    sheet.save(path)


def _width(network: Network, drawn: Drawn) -> float:
    return max(drawn.picture.width, text_width(network.title, 12, bold=True), text_width(_note(network), 8.5))


def _note(network: Network) -> str:
    images = "×".join(map(str, network.input))
    return f"{images}  ·  {network.cost.parameters:,} parameters  ·  {short(network.cost.macs)} MACs"


def _write_legend(sheet: Sheet, x: float, y: float) -> None:
    for role, name in LEGEND:
        edge = "edge" if role == "same" else f"{role}_edge"
        sheet.box(Rect(x, y - SWATCH / 2, SWATCH, SWATCH), fill=role, edge=edge, width=0.9, rounding=1.5)
        sheet.write(x + SWATCH + 4, y, name, 7.5, color="faint")
        x += SWATCH + 4 + text_width(name, 7.5) + 12
