"""The front: a plot whose points tell what they are, and its networks with their drawings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from nas.analysis.evidence import Evidence
from nas.drawing.draw import markup
from nas.drawing.geometry import Rect
from nas.drawing.label_placement import place
from nas.errors import Infeasible
from nas.front.table import TIED, Column, columns
from nas.front.view import FrontView, Look, Mark, Network, Panel, Series, cost_text
from nas.objectives import OBJECTIVES
from nas.report.page.plot import Layer, dots, line, placed, plot, steps, upright, zooms
from nas.text.markup import Html, section, tag

DOTS: Final = 4000
"""More networks than these are shown as an even sample, with all of the front and all published ones."""
DRAWINGS: Final = 30
"""So many members of a longer front are drawn, evenly along it."""
WIDTH: Final = 960.0
HEIGHT: Final = 370.0
"""Size of the plot on a page of usual width, in pixels."""
WIDTHS: Final = {
    "trial": "3rem",
    "parameters": "6rem",
    "MACs": "4rem",
    "test (seeds)": "9.5rem",
    "vs cheaper": "6rem",
    "seconds": "4rem",
    "hash": "5rem",
}
"""Widths of columns of the table."""
METRIC_WIDTH: Final = "6.5rem"
LOOKS: Final[Mapping[Look, str]] = {
    "trial": "grey",
    "stopped": "hollow",
    "front": "blue big",
    "published": "orange big",
    "retrained": "diamond blue",
    "tied": "diamond pale",
    "replayed": "diamond orange",
    "claimed": "diamond open",
}
"""Classes of `page.css`."""


def front_section(evidence: Evidence, view: FrontView) -> Html:
    """The plot for each cost, and the networks of the front."""
    if not view.panels:
        return section("Pareto front", tag("p", "No complete trial yet.", class_="none"), id="front")
    lead = (
        f"{view.counts}. Point at a network to see it, click to copy the number of its trial, drag a box to look closer; "
        "networks on the front show their drawing."
    )
    legend = [tag("span", tag("i", class_=LOOKS[series.look]), series.label) for series in view.series]
    plots = [_plot(evidence, view, panel, f"points-{nth}") for nth, panel in enumerate(view.panels)]
    return section(
        "Pareto front", tag("p", legend, class_="legend"), plots, _networks(evidence, view), id="front", lead=lead
    )


def _plot(evidence: Evidence, view: FrontView, panel: Panel, name: str) -> Html:
    x, y = panel.x, panel.y
    layers: list[Layer] = [line("orange dotted", x, y, *([(at, low), (at, high)] for at, low, high in panel.joins))]
    marks: list[Html] = []
    shown: list[Network | Mark] = []
    for series in view.series:
        points = [point for point in _sample(view, series) if panel.has(point)]
        places = [(point.values[panel.cost], panel.of(point)) for point in points]
        if series.look == "front":
            layers.append(steps("blue", x, y, panel.staircase))
        if series.look in ("trial", "stopped", "front", "published"):
            places = [(OBJECTIVES[panel.cost].on_axis(cost), value) for cost, value in places]
            layers.append(dots(LOOKS[series.look], x, y, places))
        else:
            bars = [(one.values[panel.cost], *panel.ends(one)) for one in points]
            layers.append(upright("bar", x, y, bars))
            marks += [placed("i", panel.at(point), class_=LOOKS[series.look]) for point in points]
        if series.look not in ("front", "published"):  # which are among the trials
            shown += points
    notes = [panel.note]
    if len(view.networks) > DOTS:
        notes.append(f"{sum(isinstance(one, Network) for one in shown):,} of {len(view.networks):,} networks shown")
    note = " · ".join(filter(None, notes))
    data = {"points": [_hover(evidence, view, panel, one) for one in shown], **zooms(x, y)}
    extra = [*marks, *_names(panel, shown), tag("span", note, class_="note") if note else None]
    label = f"{y.label} against {x.label}; {len(view.members)} networks on the front"
    return tag(
        "div",
        plot(x, y, layers, label=label, data=name, extra=extra),
        # `<` could end the script element; in JSON it may be written so.
        tag(
            "script",
            Html(json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")),
            type="application/json",
            id=name,
        ),
        class_="tall",
    )


def _sample(view: FrontView, series: Series) -> Sequence[Network | Mark]:
    points = series.points
    if series.look not in ("trial", "stopped") or len(points) <= DOTS:
        return points
    keep = set(np.linspace(0, len(points) - 1, DOTS).round().astype(int))
    return [
        one
        for nth, one in enumerate(points)
        if nth in keep or one.published or (isinstance(one, Network) and one.hash in view.hashes)
    ]


def _names(panel: Panel, shown: Sequence[Network | Mark]) -> list[Html]:
    """Names of published networks, where they hide least on a page of usual width."""

    def pixels(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(WIDTH * x, HEIGHT * (1 - y)) for x, y in places]

    places = [panel.place(cost, value) for _, cost, value in panel.names]
    sizes = [(7.8 * len(name), 18.0) for name, _, _ in panel.names]
    anchors = pixels(places)
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for before, after in pairwise(pixels([panel.place(*corner) for corner in panel.staircase])):
        lines += [(before, (after[0], before[1])), ((after[0], before[1]), after)]
    boxes = place(anchors, sizes, pixels([panel.at(one) for one in shown]), lines, Rect(0, 0, WIDTH, HEIGHT))
    return [
        placed("span", where, name, class_="name", style=f"margin:{box.y - y:.0f}px 0 0 {box.x - x:.0f}px")
        for (name, _, _), where, (x, y), box in zip(panel.names, places, anchors, boxes, strict=True)
    ]


def _hover(evidence: Evidence, view: FrontView, panel: Panel, one: Network | Mark) -> list[Any]:
    """What a point tells: its place in the plot (parts of a thousand), what its card says, and the number of its trial."""
    x, y = panel.at(one)
    at = [round(1000 * x), round(1000 * (1 - y)), one.text, cost_text(one.values)]
    if isinstance(one, Mark):
        return [*at, f"{one.name} · {one.kind}", "", "", "", one.trial]
    state = "" if one.state == "complete" else f" · {one.state.replace('_', ' ')}"
    drawing = one.hash[:8] if one.hash in view.hashes else ""
    name = f"trial {one.trial} · {one.hash[:8]}{state}"
    return [*at, name, one.published or "", _blocks(evidence, one), drawing, one.trial]


def _networks(evidence: Evidence, view: FrontView) -> Html:
    """The table of the front; each row opens to the drawing."""
    found = columns(view)
    drawn = set(np.linspace(0, len(view.members) - 1, min(len(view.members), DRAWINGS)).round().astype(int))
    head = tag("div", [tag("span", column.name, class_=_look(column)) for column in found], class_="row head")
    rows = [
        tag("details", _row(found, nth), _opened(evidence, one, nth in drawn), id=f"net-{one.hash[:8]}")
        for nth, one in enumerate(view.members)
    ]
    widths = " ".join(
        [*(METRIC_WIDTH if column.is_metric else WIDTHS.get(column.name, "7.5rem") for column in found[:-1]), "1fr"]
    )
    tied = tag("p", TIED, class_="lead") if view.is_tested else None
    return tag("div", head, rows, tied, class_="front-table", style=f"--columns:{widths}")


def _look(column: Column) -> str:
    """Classes of `page.css`; what is `wide` is left out on a phone."""
    narrow = column.is_metric or column.name in ("trial", "parameters", "MACs")
    return " ".join(filter(None, ("" if column.is_text else "n", "" if narrow else "wide")))


def _row(found: Sequence[Column], nth: int) -> Html:
    looks = {"hash": "mono", "published": "published"}
    cells = [
        tag("span", column.cells[nth], class_=f"{_look(column)} {_weight(column, looks)}".strip()) for column in found
    ]
    return tag("summary", cells, tag("span", class_="opener"), class_="row")


def _weight(column: Column, looks: Mapping[str, str]) -> str:
    return "strong" if column.is_metric else looks.get(column.name, "")


def _opened(evidence: Evidence, one: Network, drawn: bool) -> list[Html]:
    blocks = tag("p", _blocks(evidence, one), class_="blocks")
    if drawn:
        return [blocks, tag("div", _drawing(evidence, one), class_="sheet")]
    return [blocks, tag("p", f"Not drawn here, to keep the page light: nas space draw … or nas diff {one.trial} …")]


def _blocks(evidence: Evidence, one: Network) -> str:
    counts = [(name, n) for name, n in evidence.parts.get(one.hash, {}).items() if " " not in name]
    ordered = sorted(counts, key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} ×{number}" if number > 1 else name for name, number in ordered)


def _drawing(evidence: Evidence, one: Network) -> Html:
    try:
        label = f"trial {one.trial}"
        return Html(markup(evidence.architecture(one.hash), evidence.input, evidence.classes, label))
    except (KeyError, Infeasible) as problem:
        return tag("p", f"no drawing: the study does not say for which images it is ({problem})", class_="none")
