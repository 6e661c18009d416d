"""A sheet that becomes SVG inside a web page: letters stay letters, and colours are the page's, by their role."""

from __future__ import annotations

import html
import re
from collections.abc import Collection
from typing import Final

from nas.drawing.geometry import Point, Rect, Wire
from nas.drawing.sheet import COLOURS, stroke, text_width
from nas.text.sanitize import visible

_EXTENT: Final = re.compile(r' (width|height)="([\d.]+)"')


class PageSheet:
    """A sheet of this size in points. Its classes (``f-…`` fills, ``s-…`` strokes) are coloured by `page.css`."""

    def __init__(self, width: float, height: float, label: str) -> None:
        self._parts = [
            f'<svg class="drawing" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}" '
            f'role="img" aria-label="{html.escape(visible(label))}">'
        ]

    def write(
        self, x: float, y: float, text: str, size: float, *, color: str, align: str = "left", bold: bool = False
    ) -> None:
        """See `Sheet`."""
        if not text:
            return
        # The layout counted on DejaVu Sans: another font is squeezed or stretched to the same length.
        length = text_width(text, size, bold)
        extent = f' textLength="{_n(length)}" lengthAdjust="spacingAndGlyphs"' if len(text) > 1 else ""
        anchor = ' text-anchor="end"' if align == "right" else ""
        weight = ' class="b f-' if bold else ' class="f-'
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y + 0.36 * size)}" font-size="{_n(size)}"{weight}{color}"{anchor}{extent}>'
            f"{html.escape(visible(text))}</text>"
        )

    def box(self, rect: Rect, *, fill: str, edge: str, width: float, rounding: float) -> None:
        """See `Sheet`."""
        self._parts.append(
            f'<rect x="{_n(rect.x)}" y="{_n(rect.y)}" width="{_n(rect.width)}" height="{_n(rect.height)}" '
            f'rx="{_n(rounding)}" class="f-{fill} s-{edge}" stroke-width="{_n(width)}"/>'
        )

    def wire(self, line: Wire, forks: Collection[Point]) -> None:
        """See `Sheet`."""
        drawn = stroke(line, forks)
        path = "".join(move + " ".join(_p(point) for point in points) for move, points in drawn.moves)
        self._parts.append(f'<path d="{path}" class="f-none s-wire"/>')
        if drawn.head is not None:
            self._parts.append(f'<path d="M{"L".join(_p(point) for point in drawn.head)}Z" class="f-wire"/>')

    def fork(self, point: Point) -> None:
        """See `Sheet`."""
        self._parts.append(f'<circle cx="{_n(point[0])}" cy="{_n(point[1])}" r="1.8" class="f-wire"/>')

    def markup(self) -> str:
        """The SVG element."""
        return "".join([*self._parts, "</svg>"])


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _p(point: Point) -> str:
    return f"{_n(point[0])},{_n(point[1])}"


def standalone(markup: str, zoom: float = 1.0) -> str:
    """An element of `PageSheet` as a file of its own, on white: the colours of its roles are written into it."""
    roles = "".join(f".f-{role}{{fill:{hue}}}.s-{role}{{stroke:{hue}}}" for role, hue in COLOURS.items())
    style = f"<style>text{{font-family:'DejaVu Sans',Verdana,sans-serif}}.b{{font-weight:700}}.f-none{{fill:none}}{roles}</style>"
    opened, inside = markup.split(">", 1)
    opened = _EXTENT.sub(lambda found: f' {found[1]}="{_n(float(found[2]) * zoom)}"', opened)
    return f'{opened} xmlns="http://www.w3.org/2000/svg">{style}<rect width="100%" height="100%" fill="#fff"/>{inside}'
