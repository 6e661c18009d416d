"""A front as a PNG, for reports and READMEs."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from nas.drawing.geometry import Point, Rect
from nas.drawing.label_placement import gap, place
from nas.drawing.matplotlib_sheet import letters, save
from nas.objectives import OBJECTIVES
from nas.report.front.view import BLUE, FAINT, GREY, INK, ORANGE, PALE, Shown
from nas.text.formatting import counted, tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH: Final = 7.6
"""Inches for each cost."""
HEIGHT: Final = 5.2
PIXELS_PER_INCH: Final = 160
WORST_SHOWN: Final = 0.1
"""Below the front's lowest point, this part of the trials may fall off the picture, so that the front fills it."""
LEADER: Final = 16.0
"""A name further away than this many points gets a line to its point."""


def write_png(shown: Shown, path: Path) -> None:
    """Writes the picture. Raises NasError when the file cannot be written."""
    figure = Figure(figsize=(WIDTH * len(shown.costs), HEIGHT), dpi=PIXELS_PER_INCH)
    FigureCanvasAgg(figure)
    two_rows = shown.has_tests  # of the legend
    side, top = 0.72 / figure.get_figwidth(), 1 - (1.06 if two_rows else 0.86) / HEIGHT
    figure.text(
        0.14 / figure.get_figwidth(), 1 - 0.22 / HEIGHT, letters(shown.title), fontsize=13, weight="bold", color=INK
    )
    figure.texts[-1].set_verticalalignment("center")
    figure.text(
        0.14 / figure.get_figwidth(), 1 - 0.46 / HEIGHT, letters(shown.subtitle), fontsize=9, color=FAINT, va="center"
    )
    for place_, cost in enumerate(shown.costs):
        width = 1 / len(shown.costs)
        axes = figure.add_axes((place_ * width + side, 0.56 / HEIGHT, width - side - 0.016, top - 0.56 / HEIGHT))
        _panel(figure, axes, shown, cost)
        if place_ == 0:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.012, 1.0),
                ncols=4,
                frameon=False,
                fontsize=8.5,
                handletextpad=0.3,
                columnspacing=1.4,
                borderaxespad=0.1,
            )
    save(figure, path, dpi=PIXELS_PER_INCH)


def _panel(figure: Figure, axes: Axes, shown: Shown, cost: str) -> None:
    complete, front, known, stopped = shown.complete, shown.front, shown.published, shown.stopped
    axes.set_xscale("log")
    axes.scatter(
        complete[cost], complete["accuracy"] * 100, s=20, color=GREY, alpha=0.75, lw=0, label="trials", zorder=2
    )
    if len(stopped):
        y = stopped["accuracy"] * 100
        axes.scatter(
            stopped[cost], y, s=15, facecolors="none", edgecolors=GREY, lw=0.8, label="stopped early", zorder=2
        )
    xs, ys = shown.staircase(cost)
    axes.step(xs, ys, where="post", color=BLUE, linewidth=1.4, zorder=3)
    y = front["accuracy"] * 100
    axes.scatter(front[cost], y, s=38, color=BLUE, edgecolors="white", lw=0.8, label="Pareto front", zorder=4)
    if len(known):
        y = known["accuracy"] * 100
        axes.scatter(
            known[cost], y, s=52, color=ORANGE, edgecolors="white", lw=0.8, label="published networks", zorder=5
        )
    _tests(axes, shown, cost)
    axes.set_xlabel(OBJECTIVES[cost].label, color=INK)
    axes.set_ylabel(shown.accuracy_label, color=INK)
    axes.grid(True, which="major", color="#e6e9ec", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
    if complete.empty:
        axes.text(0.5, 0.5, "no complete trial yet", transform=axes.transAxes, ha="center", color=FAINT)
        axes.xaxis.set_major_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(NullFormatter())
        return
    _limits(axes, shown, cost)
    _label(figure, axes, shown, cost)


def _tests(axes: Axes, shown: Shown, cost: str) -> None:
    """Diamonds: what was measured on a test set (filled, with one standard deviation) or claimed for one (hollow)."""
    bars: dict[str, Any] = {
        "elinewidth": 1.2,
        "capsize": 2.5,
        "linestyle": "none",
        "marker": "D",
        "ms": 6,
        "mec": "white",
        "mew": 0.7,
    }
    replayed, claimed = shown.replayed(cost), shown.claimed(cost)
    for points, color, label in (
        (shown.retrained(cost, tied=False), BLUE, "retrained"),
        (shown.retrained(cost, tied=True), PALE, "retrained, no better than a cheaper one"),
        (replayed, ORANGE, "replayed"),
    ):
        if points:
            _, xs, ys, deviations = zip(*points, strict=True)
            axes.errorbar(xs, ys, yerr=deviations, color=color, label=label, zorder=5.5, **bars)
    if claimed:
        _, xs, ys = zip(*claimed, strict=True)
        label = letters(shown.claim_label)
        axes.scatter(xs, ys, s=40, facecolors="none", edgecolors=ORANGE, lw=1.4, marker="D", label=label, zorder=5)
    spans: dict[str, list[tuple[float, float]]] = {}
    for name, x, y in (*claimed, *((name, x, y) for name, x, y, _ in replayed), *shown.named(cost)):
        spans.setdefault(name, []).append((x, y))
    for points_ in spans.values():  # what belongs to one network is joined
        heights = [y for _, y in points_]
        axes.plot([points_[0][0]] * 2, [min(heights), max(heights)], color=ORANGE, lw=0.8, ls=":", zorder=3)


def _limits(axes: Axes, shown: Shown, cost: str) -> None:
    more_x, more_y = shown.extent(cost)
    costs = np.log10(np.concatenate([shown.complete[cost], shown.stopped[cost], more_x]).astype(float))
    margin = max(0.08 * (costs.max() - costs.min()), 0.06)
    low_x, high_x = costs.min() - margin, costs.max() + margin
    axes.set_xlim(10**low_x, 10**high_x)
    decades = high_x - low_x
    if decades > 0.7:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2.5 else (1.0, 2.0, 5.0), numticks=50))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.xaxis.set_minor_locator(LogLocator(subs=tuple(range(2, 10)), numticks=100) if decades > 2.5 else NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    accuracy = np.concatenate([shown.complete["accuracy"], shown.stopped["accuracy"]]) * 100
    must = np.concatenate([shown.front["accuracy"] * 100, shown.published["accuracy"] * 100, more_y])
    low = min(must.min(), np.quantile(accuracy, WORST_SHOWN))
    high = max(accuracy.max(), must.max())
    margin = max(0.08 * (high - low), 0.5)
    axes.set_ylim(low - margin, high + margin)
    below = int((accuracy < low - margin).sum())
    notes = [f"{counted(below, 'trial')} below"] if below else []
    notes += [f"{counted(shown.untrained, 'trial')} untrained"] if shown.untrained else []
    if notes:
        axes.text(0.995, 0.012, ", ".join(notes), transform=axes.transAxes, ha="right", fontsize=8, color=FAINT)


def _label(figure: Figure, axes: Axes, shown: Shown, cost: str) -> None:
    """The names of published networks, where they hide least."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    unit = figure.dpi / 72
    known = shown.named(cost)
    halo = [withStroke(linewidth=2.5, foreground="white")]
    texts = [
        axes.text(
            0, 0, letters(str(name)), fontsize=8.5, color=ORANGE, zorder=7, path_effects=halo, va="bottom", ha="left"
        )
        for name, _, _ in known
    ]

    def pixels(xs: object, ys: object) -> list[Point]:
        points = axes.transData.transform(np.column_stack([np.asarray(xs, float), np.asarray(ys, float)]))
        return [(float(x) / unit, float(y) / unit) for x, y in points]

    boxes = [text.get_window_extent(renderer) for text in texts]
    anchors = pixels([x for _, x, _ in known], [y for _, _, y in known])
    area = axes.get_window_extent(renderer)
    more_x, more_y = shown.extent(cost)
    xs, ys = shown.staircase(cost)
    corners = pixels(xs, ys)
    lines: list[tuple[Point, Point]] = []
    for before, after in pairwise(corners):
        corner = (after[0], before[1])
        lines += [(before, corner), (corner, after)]
    placed = place(
        anchors,
        [(box.width / unit + 2, box.height / unit + 1) for box in boxes],
        pixels([*shown.complete[cost], *more_x], [*shown.complete["accuracy"] * 100, *more_y]),
        lines,
        Rect(area.x0 / unit + 2, area.y0 / unit + 2, area.width / unit - 4, area.height / unit - 4),
    )
    to_data = axes.transData.inverted()
    for text, box, anchor in zip(texts, placed, anchors, strict=True):
        x, y = to_data.transform(((box.x + 1) * unit, (box.y + 1) * unit))
        text.set_position((float(x), float(y)))
        distance, nearest = gap(anchor, box)
        if distance > LEADER:
            ends = to_data.transform([(nearest[0] * unit, nearest[1] * unit), (anchor[0] * unit, anchor[1] * unit)])
            axes.plot(ends[:, 0], ends[:, 1], color=ORANGE, linewidth=0.8, alpha=0.8, zorder=4.5)
