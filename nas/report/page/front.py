"""The front: a plot whose points tell what they are, and its networks with their drawings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nas.analysis.evidence import Evidence
from nas.analysis.front_tests import FrontTests
from nas.analysis.replicates import accuracy_text
from nas.drawing.draw import markup
from nas.drawing.geometry import Rect
from nas.drawing.label_placement import place
from nas.errors import Infeasible
from nas.objectives import OBJECTIVES, Objective
from nas.report.page.marks import Mark, cost_text, marks_of
from nas.report.page.markup import Child, Html, section, tag
from nas.report.page.plot import Axis, diamonds, dots, linear, logarithmic, plot, steps, upright
from nas.statistics.proportion import with_error
from nas.text.formatting import short, value_text

if TYPE_CHECKING:
    import pandas as pd

DOTS: Final = 4000
"""Of more networks an even sample is shown, with all of the front and all published ones."""
DRAWINGS: Final = 30
"""Of a longer front so many are drawn, evenly along it."""
NAMES: Final = 12
"""More published networks than this are not named in the plot, only in their cards."""
WIDTH: Final = 960.0
HEIGHT: Final = 370.0
"""Of the plot on a page of usual width, in pixels."""
_LOWEST: Final = 0.1
"""Below the front's lowest point, this part of the trials may fall off the plot, so that the front fills it."""


def front_section(evidence: Evidence, tests: FrontTests) -> Html:
    """The plot for each cost, and the networks of the front."""
    complete = evidence.complete
    lead = "Complete trials, each network once. Point at one to see it; networks on the front show their drawing."
    if complete.empty:
        return section("Pareto front", tag("p", "No complete trial yet.", class_="none"), id="front")
    marks = {cost: marks_of(evidence, tests, cost) for cost in evidence.costs}
    plots = [_plot(evidence, cost, nth, marks[cost]) for nth, cost in enumerate(evidence.costs)]
    kinds = {mark.kind: mark.look for found in marks.values() for mark in found}
    return section("Pareto front", _legend(evidence, kinds), plots, _networks(evidence, tests), id="front", lead=lead)


def _legend(evidence: Evidence, tests: Mapping[str, str]) -> Html:
    names = [("trials", "grey")]
    if (evidence.trials["state"] == "stopped_early").any():
        names.append(("stopped early", "hollow"))
    names.append(("front", "blue"))
    if evidence.complete["published"].notna().any():
        names.append(("published networks", "orange"))
    names += [(kind, f"diamond {look}") for kind, look in tests.items()]
    return tag("p", [tag("span", tag("i", class_=look), name) for name, look in names], class_="legend")


def _plot(evidence: Evidence, cost: str, nth: int, marks: Sequence[Mark]) -> Html:
    front, complete = evidence.front, _sample(evidence)
    trials = evidence.trials
    stopped = trials[(trials["state"] == "stopped_early") & trials["accuracy"].notna()].drop_duplicates("hash")
    stopped = stopped[
        ~stopped["hash"].isin(evidence.complete["hash"])
    ]  # not those that were trained to the end after all
    stopped = stopped.iloc[:: max(1, len(stopped) // DOTS + 1)]
    shown = complete if stopped.empty else _joined(complete, stopped)
    accuracy = evidence.complete["accuracy"].to_numpy(float) * 100
    low = min(float(np.quantile(accuracy, _LOWEST)), float(front["accuracy"].min()) * 100)
    x = logarithmic(
        [_positive(cost, at) for at in (*shown[cost], *(mark.cost for mark in marks))], OBJECTIVES[cost].label
    )
    bars = [(mark.cost, mark.accuracy - mark.deviation, mark.accuracy + mark.deviation) for mark in marks]
    ends = [low, float(accuracy.max()), *(end for bar in bars for end in bar[1:])]
    y = linear(ends, "accuracy: ● validation  ◆ test" if marks else "validation accuracy", unit=" %", margin=0.08)
    inside = shown[shown["accuracy"] * 100 >= y.low]
    known = inside[(inside["state"] == "complete") & inside["published"].notna()]
    layers = [
        dots("grey", x, y, _points(inside[inside["state"] == "complete"], cost)),
        dots("hollow", x, y, _points(inside[inside["state"] != "complete"], cost)),
        steps("blue", x, y, _staircase(front, cost)),
        dots("blue big", x, y, _points(front, cost)),
        dots("orange big", x, y, _points(known, cost)),
        upright("bar", x, y, bars),
    ]
    below = int((accuracy < y.low).sum())
    notes = [f"{below} below {y.low:.0f} %"] if below else []
    untrained = int((trials["state"] == "untrained").sum())
    notes += [f"{untrained:,} untrained, not shown"] if untrained else []
    if len(complete) < len(evidence.complete):
        notes.append(f"{len(complete):,} of {len(evidence.complete):,} networks shown")
    data = _hover(evidence, inside, cost, x, y, marks)
    extra = [
        *(diamonds(mark.look, x, y, [(mark.cost, mark.accuracy)]) for mark in marks),
        _names(known, inside, marks, cost, x, y),
        tag("span", " · ".join(notes), class_="note") if notes else None,
    ]
    name = f"points-{nth}"
    return tag(
        "div",
        plot(
            x,
            y,
            layers,
            label=f"Accuracy against {OBJECTIVES[cost].label}; {len(front)} networks on the front",
            data=name,
            extra=extra,
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
        (_positive(cost, x), float(accuracy) * 100) for x, accuracy in zip(frame[cost], frame["accuracy"], strict=True)
    ]


def _positive(cost: str, value: float) -> float:
    """A cost that has a place on a logarithmic axis."""
    return max(float(value), OBJECTIVES[cost].least)


def _staircase(front: pd.DataFrame, cost: str) -> list[tuple[float, float]]:
    best, corners = -1.0, []
    for point in sorted(_points(front, cost)):
        if point[1] > best:
            best = point[1]
            corners.append(point)
    return corners


def _names(known: pd.DataFrame, shown: pd.DataFrame, marks: Sequence[Mark], cost: str, x: Axis, y: Axis) -> list[Html]:
    """Names of published networks, where they hide least on a page of usual width: once each."""
    named = dict(zip(map(str, known["published"]), _points(known, cost), strict=True))
    for mark in marks:
        if mark.published is not None:
            named.setdefault(mark.published, (mark.cost, mark.accuracy))
    if not named or len(named) > NAMES:
        return []

    def pixels(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(WIDTH * x.at(a), HEIGHT * (1 - y.at(b))) for a, b in points]

    names = list(named)
    sizes = [(7.2 * len(name), 17.0) for name in names]
    others = [*_points(shown, cost), *((mark.cost, mark.accuracy) for mark in marks)]
    boxes = place(pixels(named.values()), sizes, pixels(others), [], Rect(0, 0, WIDTH, HEIGHT))
    return [
        tag(
            "span",
            name,
            class_="name",
            style=f"left:{100 * box.x / WIDTH:.2f}%;top:{100 * (box.y + box.height / 2) / HEIGHT:.2f}%",
        )
        for name, box in zip(names, boxes, strict=True)
    ]


def _hover(evidence: Evidence, frame: pd.DataFrame, cost: str, x: Axis, y: Axis, marks: Sequence[Mark]) -> Html:
    """Per point: place in the plot (parts of a thousand), and what its card says."""
    front = set(evidence.front["hash"])
    rows = []
    for row in frame.to_dict("records"):
        blocks = {name: number for name, number in evidence.parts.get(row["hash"], {}).items() if " " not in name}
        rows.append(
            [
                round(1000 * x.at(_positive(cost, row[cost]))),
                round(1000 * (1 - y.at(row["accuracy"] * 100))),
                with_error(row["accuracy"], evidence.study.validation_images),
                cost_text(row),
                f"trial {row['trial']}" + ("" if row["state"] == "complete" else f" · {row['state']}"),
                row["published"] if isinstance(row["published"], str) else "",
                _blocks(blocks),
                row["hash"][:8] if row["hash"] in front else "",
            ]
        )
    rows += [
        [
            round(1000 * x.at(mark.cost)),
            round(1000 * (1 - y.at(mark.accuracy))),
            mark.says,
            mark.costs,
            mark.name,
            "",
            "",
            "",
        ]
        for mark in marks
    ]
    # `<` could end the script element; in JSON it may be written so.
    return Html(json.dumps(rows, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"))


def _blocks(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name} ×{number}" if number > 1 else name
        for name, number in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _networks(evidence: Evidence, tests: FrontTests) -> Html:
    """The table of the front; each row opens to the drawing."""
    front = evidence.front
    columns = _columns(evidence, tests)
    drawn = set(np.linspace(0, len(front) - 1, min(len(front), DRAWINGS)).round().astype(int))
    head = tag("div", [tag("span", column.name, class_=column.look) for column in columns], class_="row head")
    rows = [_network(evidence, columns, row, place in drawn) for place, row in enumerate(front.to_dict("records"))]
    widths = " ".join(column.width for column in columns)
    return tag("div", head, rows, class_="front-table", style=f"--columns:{widths}")


@dataclass(frozen=True)
class _Column:
    """Of the table of the front."""

    name: str
    width: str
    look: str
    """Classes of `page.css`; what is `wide` is left out on a phone."""
    cell: Callable[[Mapping[str, Any]], Child]


def _columns(evidence: Evidence, tests: FrontTests) -> list[_Column]:
    images = evidence.study.validation_images
    columns = [
        _Column("trial", "3.5rem", "n", lambda row: row["trial"]),
        _Column("accuracy", "7rem", "n strong", lambda row: with_error(row["accuracy"], images)),
    ]
    if tests.retrained:
        columns.append(_Column("test, retrained", "16rem", "n wide", lambda row: _test(tests, row)))
    columns += [
        _Column("parameters", "7.5rem", "n", lambda row: f"{row['parameters']:,}"),
        _Column("MACs", "5.5rem", "n", lambda row: short(row["macs"])),
    ]
    for name in evidence.costs:
        if name not in ("parameters", "macs"):
            columns.append(_Column(OBJECTIVES[name].heading, "7.5rem", "n wide", partial(_value, OBJECTIVES[name])))
    return [
        *columns,
        _Column("seconds", "5rem", "n wide", lambda row: f"{row['seconds']:.1f}" if row["seconds"] > 0 else ""),
        _Column("network", "1fr", "wide", _name),
    ]


def _value(objective: Objective, row: Mapping[str, Any]) -> str:
    return value_text(objective, row[objective.name])


def _name(row: Mapping[str, Any]) -> Html:
    if isinstance(row["published"], str):
        return tag("span", row["published"], class_="published")
    return tag("span", row["hash"][:8], class_="mono")


def _network(evidence: Evidence, columns: Sequence[_Column], row: Mapping[str, Any], drawn: bool) -> Html:
    digest = row["hash"]
    cells = tag("summary", [tag("span", column.cell(row), class_=column.look) for column in columns], class_="row")
    blocks = {part: number for part, number in evidence.parts.get(digest, {}).items() if " " not in part}
    body = [tag("p", _blocks(blocks), class_="blocks")]
    if drawn:
        body.append(tag("div", _drawing(evidence, digest, f"trial {row['trial']}"), class_="sheet"))
    else:
        body.append(tag("p", f"Not drawn here, to keep the page light: nas space draw … or nas diff {row['trial']} …"))
    return tag("details", cells, body, id=f"net-{digest[:8]}")


def _test(tests: FrontTests, row: Mapping[str, Any]) -> str:
    summary, verdict = tests.retrained.get(row["hash"]), tests.verdicts.get(int(row["trial"]))
    if summary is None:
        return ""
    return accuracy_text(summary.record(), short=True) + (f" {verdict}" if verdict else "")


def _drawing(evidence: Evidence, digest: str, label: str) -> Html:
    try:
        return Html(markup(evidence.architecture(digest), evidence.input, evidence.classes, label))
    except (KeyError, Infeasible) as problem:
        return tag("p", f"no drawing: the study does not say for which images it is ({problem})", class_="none")
