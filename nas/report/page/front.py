"""The front: a plot whose points tell what they are, and its networks with their drawings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nas.errors import Infeasible
from nas.report.analysis.evidence import Evidence
from nas.report.drawing import markup
from nas.report.geometry import Rect
from nas.report.labels import place
from nas.report.page.markup import Html, section, tag
from nas.report.page.plot import Axis, dots, linear, logarithmic, plot, steps
from nas.report.text import short

if TYPE_CHECKING:
    import pandas as pd

DOTS: Final = 4000
"""Of more networks an even sample is shown, with all of the front and all published ones."""
DRAWINGS: Final = 30
"""Of a longer front so many are drawn, evenly along it."""
LABELS: Final = {
    "parameters": "parameters",
    "macs": "multiply-accumulates (MACs) for one image",
    "activation_bytes": "peak activation bytes for one image",
    "latency": "latency in milliseconds for one image",
}
NAMES: Final = 12
"""More published networks than this are not named in the plot, only in their cards."""
WIDTH: Final = 960.0
HEIGHT: Final = 370.0
"""Of the plot on a page of usual width, in pixels."""
_LOWEST: Final = 0.1
"""Below the front's lowest point, this part of the trials may fall off the plot, so that the front fills it."""


def front_section(evidence: Evidence) -> Html:
    """The plot for each cost, and the networks of the front."""
    complete = evidence.complete
    lead = "Complete trials, each network once. Point at one to see it; networks on the front show their drawing."
    if complete.empty:
        return section("Pareto front", tag("p", "No complete trial yet.", class_="none"), id="front")
    plots = [_plot(evidence, cost, nth) for nth, cost in enumerate(evidence.costs)]
    return section("Pareto front", _legend(evidence), plots, _networks(evidence), id="front", lead=lead)


def _legend(evidence: Evidence) -> Html:
    names = [("trials", "grey")]
    if (evidence.trials["state"] == "stopped_early").any():
        names.append(("stopped early", "hollow"))
    names.append(("front", "blue"))
    if evidence.complete["published"].notna().any():
        names.append(("published networks", "orange"))
    return tag("p", [tag("span", tag("i", class_=look), name) for name, look in names], class_="legend")


def _plot(evidence: Evidence, cost: str, nth: int) -> Html:
    front, complete = evidence.front, _sample(evidence)
    trials = evidence.trials
    stopped = trials[(trials["state"] == "stopped_early") & trials["accuracy"].notna()].drop_duplicates("hash")
    stopped = stopped.iloc[:: max(1, len(stopped) // DOTS + 1)]
    shown = complete if stopped.empty else _joined(complete, stopped)
    accuracy = evidence.complete["accuracy"].to_numpy(float) * 100
    low = min(float(np.quantile(accuracy, _LOWEST)), float(front["accuracy"].min()) * 100)
    x = logarithmic([float(max(value, 1)) for value in shown[cost]], LABELS[cost])
    y = linear([low, float(accuracy.max())], "validation accuracy", unit=" %", margin=0.08)
    inside = shown[shown["accuracy"] * 100 >= y.low]
    known = inside[(inside["state"] == "complete") & inside["published"].notna()]
    layers = [
        dots("grey", x, y, _points(inside[inside["state"] == "complete"], cost)),
        dots("hollow", x, y, _points(inside[inside["state"] != "complete"], cost)),
        dots("orange ring", x, y, _points(known, cost)),
        dots("hole", x, y, _points(known, cost)),
        dots("grey", x, y, _points(known, cost)),
        steps("blue", x, y, _staircase(front, cost)),
        dots("blue big", x, y, _points(front, cost)),
    ]
    below = int((accuracy < y.low).sum())
    notes = [f"{below} below {y.low:.0f} %"] if below else []
    if len(complete) < len(evidence.complete):
        notes.append(f"{len(complete):,} of {len(evidence.complete):,} networks shown")
    data = _hover(evidence, inside, cost, x, y)
    name = f"points-{nth}"
    return tag(
        "div",
        plot(
            x,
            y,
            layers,
            label=f"Accuracy against {LABELS[cost]}; {len(front)} networks on the front",
            data=name,
            extra=[_names(known, inside, cost, x, y), tag("span", " · ".join(notes), class_="note") if notes else None],
        ),
        tag("script", data, type="application/json", id=name),
        class_="tall",
    )


def _sample(evidence: Evidence) -> pd.DataFrame:
    complete = evidence.complete
    if len(complete) <= DOTS:
        return complete
    keep = np.zeros(len(complete), dtype=bool)
    keep[np.linspace(0, len(complete) - 1, DOTS).round().astype(int)] = True
    keep |= complete["hash"].isin(evidence.front["hash"]).to_numpy() | complete["published"].notna().to_numpy()
    return complete[keep]


def _joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([first, second])


def _points(frame: pd.DataFrame, cost: str) -> list[tuple[float, float]]:
    return [
        (max(float(x), 1.0), float(accuracy) * 100) for x, accuracy in zip(frame[cost], frame["accuracy"], strict=True)
    ]


def _staircase(front: pd.DataFrame, cost: str) -> list[tuple[float, float]]:
    best, corners = -1.0, []
    for point in sorted(_points(front, cost)):
        if point[1] > best:
            best = point[1]
            corners.append(point)
    return corners


def _names(known: pd.DataFrame, shown: pd.DataFrame, cost: str, x: Axis, y: Axis) -> list[Html]:
    """Names of published networks, where they hide least on a page of usual width."""
    if known.empty or len(known) > NAMES:
        return []

    def pixels(frame: pd.DataFrame) -> list[tuple[float, float]]:
        return [(WIDTH * x.at(a), HEIGHT * (1 - y.at(b))) for a, b in _points(frame, cost)]

    names = [str(name) for name in known["published"]]
    sizes = [(7.2 * len(name), 17.0) for name in names]
    boxes = place(pixels(known), sizes, pixels(shown), [], Rect(0, 0, WIDTH, HEIGHT))
    return [
        tag(
            "span",
            name,
            class_="name",
            style=f"left:{100 * box.x / WIDTH:.2f}%;top:{100 * (box.y + box.height / 2) / HEIGHT:.2f}%",
        )
        for name, box in zip(names, boxes, strict=True)
    ]


def _hover(evidence: Evidence, frame: pd.DataFrame, cost: str, x: Axis, y: Axis) -> Html:
    """Per point: place in the plot (parts of a thousand), and what its card says."""
    front = set(evidence.front["hash"])
    rows = []
    for row in frame.to_dict("records"):
        blocks = {name: number for name, number in evidence.parts.get(row["hash"], {}).items() if " " not in name}
        rows.append(
            [
                round(1000 * x.at(max(row[cost], 1))),
                round(1000 * (1 - y.at(row["accuracy"] * 100))),
                f"{row['accuracy']:.2%}",
                _costs(row),
                f"trial {row['trial']}" + ("" if row["state"] == "complete" else f" · {row['state']}"),
                row["published"] if isinstance(row["published"], str) else "",
                _blocks(blocks),
                row["hash"][:8] if row["hash"] in front else "",
            ]
        )
    # `<` could end the script element; in JSON it may be written so.
    return Html(json.dumps(rows, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"))


def _costs(row: Mapping[str, Any]) -> str:
    return f"{short(row['parameters'])} parameters · {short(row['macs'])} MACs"


def _blocks(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name} ×{number}" if number > 1 else name
        for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _networks(evidence: Evidence) -> Html:
    """The table of the front; each row opens to the drawing."""
    front = evidence.front
    drawn = set(np.linspace(0, len(front) - 1, min(len(front), DRAWINGS)).round().astype(int))
    head = tag(
        "div",
        [
            tag("span", name, class_=kind)
            for name, kind in (
                ("trial", "n"),
                ("accuracy", "n"),
                ("parameters", "n"),
                ("MACs", "n"),
                ("seconds", "n wide"),
                ("network", "wide"),
            )
        ],
        class_="row head",
    )
    rows = [_network(evidence, row, place in drawn) for place, row in enumerate(front.to_dict("records"))]
    return tag("div", head, rows, class_="front-table")


def _network(evidence: Evidence, row: Mapping[str, Any], drawn: bool) -> Html:
    digest = row["hash"]
    name = row["published"] if isinstance(row["published"], str) else digest[:8]
    cells = tag(
        "summary",
        tag("span", row["trial"], class_="n"),
        tag("span", f"{row['accuracy']:.2%}", class_="n strong"),
        tag("span", f"{row['parameters']:,}", class_="n"),
        tag("span", short(row["macs"]), class_="n"),
        tag("span", f"{row['seconds']:.1f}" if row["seconds"] == row["seconds"] else "", class_="n wide"),
        tag("span", name, class_="wide published" if isinstance(row["published"], str) else "wide mono"),
        class_="row",
    )
    blocks = {part: number for part, number in evidence.parts.get(digest, {}).items() if " " not in part}
    body = [tag("p", _blocks(blocks), class_="blocks")]
    if drawn:
        body.append(tag("div", _drawing(evidence, digest, f"trial {row['trial']}"), class_="sheet"))
    else:
        body.append(tag("p", f"Not drawn here, to keep the page light: nas space draw … or nas diff {row['trial']} …"))
    return tag("details", cells, body, id=f"net-{digest[:8]}")


def _drawing(evidence: Evidence, digest: str, label: str) -> Html:
    try:
        return Html(markup(evidence.architecture(digest), evidence.input, evidence.classes, label))
    except (KeyError, Infeasible) as problem:
        return tag("p", f"no drawing: the study does not say for which images it is ({problem})", class_="none")
