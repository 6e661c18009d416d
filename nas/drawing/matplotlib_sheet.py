"""A sheet that becomes an SVG or PNG file, written by matplotlib with letters as outlines: the same on every machine."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path as Line

from nas.drawing.geometry import Point, Rect, Wire
from nas.drawing.sheet import COLOURS, stroke
from nas.errors import NasError
from nas.text.sanitize import visible

FORMATS: Final = (".svg", ".png")
PIXELS_PER_INCH: Final = 160
PIXELS_AT_MOST: Final = 16_000
"""Per side of a PNG, so that viewers open the picture of a very large network too."""
# A name may be Chinese. Of letters that the font lacks a box is drawn; a page of warnings says no more.
warnings.filterwarnings("ignore", r"Glyph .* missing from")
_CODES: Final = {"M": (Line.MOVETO,), "L": (Line.LINETO,), "Q": (Line.CURVE3, Line.CURVE3)}


class FileSheet:
    """A sheet of this size in points. What is drawn later lies above."""

    def __init__(self, width: float, height: float) -> None:
        self.size = (width, height)
        self._figure = Figure(figsize=(width / 72, height / 72))
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(height, 0)
        self._axes.axis("off")
        self._layer = 0.0

    def write(
        self, x: float, y: float, text: str, size: float, *, color: str, align: str = "left", bold: bool = False
    ) -> None:
        """See `Sheet`."""
        self._axes.text(
            x,
            y,
            visible(text),
            fontsize=size,
            family="DejaVu Sans",
            weight="bold" if bold else "normal",
            ha=align,
            va="center_baseline",
            color=COLOURS[color],
            zorder=self._next(),
            parse_math=False,
        )

    def box(self, rect: Rect, *, fill: str, edge: str, width: float, rounding: float) -> None:
        """See `Sheet`."""
        self._axes.add_patch(
            FancyBboxPatch(
                (rect.x, rect.y),
                rect.width,
                rect.height,
                boxstyle=f"round,pad=0,rounding_size={rounding}",
                facecolor=COLOURS[fill],
                edgecolor=COLOURS[edge],
                linewidth=width,
                zorder=self._next(),
            )
        )

    def wire(self, line: Wire, forks: Collection[Point]) -> None:
        """See `Sheet`."""
        drawn = stroke(line, forks)
        color = COLOURS["wire"]
        path = Line(
            [point for _, points in drawn.moves for point in points],
            [code for move, _ in drawn.moves for code in _CODES[move]],
        )
        self._axes.add_patch(
            PathPatch(path, fill=False, edgecolor=color, linewidth=1.0, zorder=self._next(), snap=False)
        )
        if drawn.head is not None:
            tip, left, right = drawn.head
            triangle = Line([tip, left, right, tip], [Line.MOVETO, Line.LINETO, Line.LINETO, Line.CLOSEPOLY])
            self._axes.add_patch(PathPatch(triangle, facecolor=color, linewidth=0, zorder=self._next()))

    def fork(self, point: Point) -> None:
        """See `Sheet`."""
        self._axes.add_patch(Circle(point, 1.8, facecolor=COLOURS["wire"], linewidth=0, zorder=self._next()))

    def save(self, path: Path) -> None:
        """Writes the file, at most `PIXELS_AT_MOST` a side. Raises NasError when it cannot."""
        save(self._figure, path, dpi=min(PIXELS_PER_INCH, 72 * PIXELS_AT_MOST / max(self.size)))

    def _next(self) -> float:
        self._layer += 1
        return self._layer


def letters(text: str) -> str:
    """Text for matplotlib, which would set what stands between two dollars as a formula, or fail to."""
    return visible(text).replace("$", r"\$")


def check_ending(path: Path) -> None:
    """Raises NasError when drawings are not written with this ending."""
    if path.suffix.lower() not in FORMATS:
        raise NasError(f"{path}: a drawing is written as {' or '.join(FORMATS)}, not as '{path.suffix or path.name}'")


def save(figure: Figure, path: Path, dpi: float) -> None:
    """Writes a figure without the date, so that equal figures are equal files. Raises NasError when it cannot."""
    metadata: dict[str, Any] = {"Software": None} if path.suffix.lower() == ".png" else {"Date": None}
    try:
        with matplotlib.rc_context({"svg.hashsalt": "nas", "svg.fonttype": "path"}):
            figure.savefig(path, dpi=dpi, metadata=metadata)
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None
