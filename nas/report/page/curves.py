"""Learning curves, and how well an early epoch ranks networks."""

from __future__ import annotations

from typing import Final

import numpy as np

from nas.analysis.evidence import Evidence
from nas.analysis.rank_correlation import RankCorrelation, rank_correlation
from nas.front.axes import linear
from nas.report.page.plot import line, plot
from nas.text.formatting import words
from nas.text.markup import Html, section, tag

CURVES: Final = 250


def curves_section(evidence: Evidence) -> Html:
    """The curves, and the table of rank correlations where there are enough."""
    metric = evidence.metric
    scale, unit = (100, " %") if metric.is_share else (1, "")
    epochs = evidence.epochs[evidence.epochs[metric.name].notna() & evidence.epochs["trial"].notna()]
    last = int(epochs["epoch"].max()) if len(epochs) else 0
    if last < 2:
        return Html("")
    front, name = set(evidence.front["trial"]), f"{words(metric.name)[0].upper()}{words(metric.name)[1:]}"
    curves: dict[int, list[tuple[float, float]]] = {}
    for number, epoch, value in zip(epochs["trial"], epochs["epoch"], epochs[metric.name], strict=True):
        curves.setdefault(int(number), []).append((float(epoch), float(value) * scale))
    others = [number for number in curves if number not in front]
    shown = [others[place] for place in np.linspace(0, len(others) - 1, min(len(others), CURVES)).round().astype(int)]
    values = [point[1] for number in (*shown, *front) for point in curves.get(number, ())]
    x = linear([1.0, float(last)], "epoch", margin=0.02, whole=True)
    y = linear(values, f"validation {words(metric.name)}", unit=unit, floor=0.0 if metric.is_share else None)
    layers = [
        line("grey thin", x, y, *(curves[number] for number in shown)),
        line("blue medium", x, y, *(curves[number] for number in sorted(front) if number in curves)),
    ]
    note = (
        f"{len(shown):,} of {len(others):,} other trials"
        if len(shown) < len(others)
        else f"{len(others):,} other trials"
    )
    picture = tag(
        "div",
        tag(
            "p",
            tag("span", tag("i", class_="blue"), "front"),
            tag("span", tag("i", class_="grey"), note),
            class_="legend",
        ),
        plot(x, y, layers, label=f"{name} over {last} epochs"),
    )
    found = rank_correlation(evidence.epochs, evidence.complete, metric)
    lead = f"{name} on the validation images, after the epochs at which networks were measured."
    if found is None:
        return section("Learning curves", picture, id="curves", lead=lead)
    return section("Learning curves", tag("div", picture, _matrix(found), class_="pair"), id="curves", lead=lead)


def _matrix(found: RankCorrelation) -> Html:
    head = tag("tr", tag("th", "epoch"), [tag("th", epoch) for epoch in found.epochs[1:]])
    rows = []
    for place, epoch in enumerate(found.epochs[:-1]):
        cells = [
            tag("td") if later <= place else _cell(found.tau[place][later]) for later in range(1, len(found.epochs))
        ]
        rows.append(tag("tr", tag("th", epoch), cells))
    note = (
        f"Kendall's τ between the rankings after two epochs, from {found.networks:,} networks trained to the end. "
        "1: the early epoch ranks them as the late one does; 0: it tells nothing."
    )
    return tag("div", tag("table", head, rows, class_="tau"), tag("p", note, class_="lead"))


def _cell(tau: float | None) -> Html:
    if tau is None:
        return tag("td", "–")
    return tag("td", f"{tau:.2f}".replace("-", "−"), style=f"--t:{max(0.0, tau) * 100:.0f}%")
