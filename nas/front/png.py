"""A front as a PNG, for reports and READMEs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from nas.drawing.geometry import Point, Rect
from nas.drawing.label_placement import gap, place
from nas.drawing.matplotlib_sheet import letters, save
from nas.front.view import FrontView, Look, Panel, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which people with any colour vision can tell apart.
GREY: Final = "#8b929a"
BLUE: Final = "#0072B2"
PALE: Final = "#8fc1e3"
ORANGE: Final = "#D55E00"
INK: Final = "#1b2733"
FAINT: Final = "#5d6b78"

_EDGE: Final = {"markeredgecolor": "white", "markeredgewidth": 0.8}
_OPEN: Final = {"markerfacecolor": "none"}
LOOKS: Final[Mapping[Look, Mapping[str, Any]]] = {
    "trial": {"color": GREY, "markersize": 4.5, "alpha": 0.75, "markeredgewidth": 0, "zorder": 2},
    "stopped": {"color": GREY, "markersize": 4, "markeredgewidth": 0.8, "zorder": 2, **_OPEN},
    "front": {"color": BLUE, "markersize": 7, "zorder": 4, **_EDGE},
    "published": {"color": ORANGE, "markersize": 8, "zorder": 5, **_EDGE},
    "retrained": {"color": BLUE, "marker": "D", "markersize": 6, "zorder": 5.5, **_EDGE},
    "tied": {"color": PALE, "marker": "D", "markersize": 6, "zorder": 5.5, **_EDGE},
    "replayed": {"color": ORANGE, "marker": "D", "markersize": 6, "zorder": 5.5, **_EDGE},
    "claimed": {"color": ORANGE, "marker": "D", "markersize": 6, "markeredgewidth": 1.4, "zorder": 5, **_OPEN},
}
WIDTH: Final = 7.6
"""Inches for each cost."""
HEIGHT: Final = 5.2
PIXELS_PER_INCH: Final = 160
LEADER: Final = 16.0
"""A name further away than this many points gets a line to its point."""
LETTER: Final = 0.075
"""Inches that a letter of the legend takes, and a bit more."""


def write_png(view: FrontView, path: Path) -> None:
    """Writes the picture; equal views give equal bytes. Raises NasError when the file cannot be written."""
    save(draw(view), path, dpi=PIXELS_PER_INCH)


def draw(view: FrontView) -> Figure:
    """The picture: a plot for each cost, whose axes are the unit square of its `Panel`."""
    plots = max(1, len(view.panels))
    figure = Figure(figsize=(WIDTH * plots, HEIGHT), dpi=PIXELS_PER_INCH)
    FigureCanvasAgg(figure)
    wide, legend = figure.get_figwidth(), _legend_columns([series.label for series in view.series])
    lines = -(-len(view.series) // legend)
    side, top = 0.86 / wide, 1 - (0.82 + 0.2 * lines) / HEIGHT
    figure.text(0.14 / wide, 1 - 0.22 / HEIGHT, letters(view.title), size=13, weight="bold", color=INK, va="center")
    figure.text(0.14 / wide, 1 - 0.46 / HEIGHT, letters(view.subtitle), size=9, color=FAINT, va="center")
    figure.text(0.14 / wide, 1 - 0.65 / HEIGHT, view.counts, size=9, color=FAINT, va="center")
    for nth in range(plots):
        share = 1 / plots
        axes = figure.add_axes((nth * share + side, 0.56 / HEIGHT, share - side - 0.016, top - 0.56 / HEIGHT))
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        axes.spines[["top", "right"]].set_visible(False)
        if not view.panels:
            axes.text(0.5, 0.5, "no complete trial yet", ha="center", color=FAINT)
            continue
        _panel(figure, axes, view, view.panels[nth])
        if nth == 0:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.012, 1.0),
                ncols=legend,
                frameon=False,
                fontsize=8.5,
                labelcolor=INK,
                handletextpad=0.3,
                columnspacing=1.4,
                borderaxespad=0.1,
            )
    return figure


def _legend_columns(labels: Sequence[str]) -> int:
    """How many columns of the legend have room beside each other."""
    for number in range(min(4, len(labels)), 1, -1):
        parts = np.array_split([LETTER * len(label) + 0.3 for label in labels], number)
        if sum(part.max() for part in parts) < WIDTH - 0.8:
            return number
    return 1


def _panel(figure: Figure, axes: Axes, view: FrontView, panel: Panel) -> None:
    corners = [panel.place(*corner) for corner in panel.staircase]
    axes.step([x for x, _ in corners], [y for _, y in corners], where="post", color=BLUE, linewidth=1.4, zorder=3)
    for series in view.series:
        _points(axes, panel, series)
    for cost, low, high in panel.joins:
        (x, lower), (_, upper) = panel.place(cost, low), panel.place(cost, high)
        axes.plot([x, x], [lower, upper], color=ORANGE, lw=0.8, ls=":", zorder=3)
    axes.set_xlabel(panel.x.label, color=INK)
    axes.set_ylabel(panel.y.label, color=INK)
    axes.set_xticks([panel.x.at(value) for value, _ in panel.x.ticks], [text for _, text in panel.x.ticks])
    axes.set_yticks([panel.y.at(value) for value, _ in panel.y.ticks], [text for _, text in panel.y.ticks])
    axes.grid(True, color="#e6e9ec", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, colors=INK)
    axes.text(0.995, 0.012, panel.note, ha="right", size=8, color=FAINT)
    _names(figure, axes, view, panel, corners)


def _points(axes: Axes, panel: Panel, series: Series) -> None:
    look = {"marker": "o", "linestyle": "none", "label": letters(series.label), **LOOKS[series.look]}
    shown = [point for point in series.points if panel.has(point)]
    places = [panel.at(point) for point in shown]
    axes.plot([x for x, _ in places], [y for _, y in places], **look)
    for point, (x, _) in zip(shown, places, strict=True):
        if point.spread:
            ends = [panel.y.at(end) for end in panel.ends(point)]
            color, layer = look["color"], look["zorder"]
            axes.plot([x, x], ends, color=color, lw=1.2, marker="_", markersize=5, zorder=layer - 0.1)


def _names(figure: Figure, axes: Axes, view: FrontView, panel: Panel, corners: Sequence[Point]) -> None:
    """The names of published networks, where they hide least."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    unit = figure.dpi / 72
    halo = [withStroke(linewidth=2.5, foreground="white")]
    style: dict[str, Any] = {"size": 8.5, "color": ORANGE, "zorder": 7, "path_effects": halo, "va": "bottom"}
    texts = [axes.text(0, 0, letters(name), **style) for name, _, _ in panel.names]

    def points(places: Sequence[Point]) -> list[Point]:
        found = axes.transData.transform(np.array(places, float).reshape(-1, 2)) / unit
        return [(float(x), float(y)) for x, y in found]

    def box(text: Any) -> Rect:
        extent = text.get_window_extent(renderer)
        return Rect(extent.x0 / unit, extent.y0 / unit, extent.width / unit, extent.height / unit)

    anchors = points([panel.place(cost, value) for _, cost, value in panel.names])
    lines: list[tuple[Point, Point]] = []
    for before, after in pairwise(points(corners)):
        lines += [(before, (after[0], before[1])), ((after[0], before[1]), after)]
    note = box(axes.texts[0])
    lines += [((note.x, at), (note.x + note.width, at)) for at in (note.y, note.y + note.height)]
    area = box(axes)
    placed = place(
        anchors,
        [(size.width + 2, size.height + 1) for size in map(box, texts)],
        points([panel.at(point) for series in view.series for point in series.points if panel.has(point)]),
        lines,
        Rect(area.x + 2, area.y + 2, area.width - 4, area.height - 4),
    )
    to_data = axes.transData.inverted()
    for text, where, anchor in zip(texts, placed, anchors, strict=True):
        x, y = to_data.transform(((where.x + 1) * unit, (where.y + 1) * unit))
        text.set_position((float(x), float(y)))
        distance, nearest = gap(anchor, where)
        if distance > LEADER:
            ends = to_data.transform([(nearest[0] * unit, nearest[1] * unit), (anchor[0] * unit, anchor[1] * unit)])
            axes.plot(ends[:, 0], ends[:, 1], color=ORANGE, linewidth=0.8, alpha=0.8, zorder=4.5)
