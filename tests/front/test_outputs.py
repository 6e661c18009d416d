"""Terminal, picture, page and note show one front: the same members, order, labels, staircase, ticks and counts."""

from __future__ import annotations

import html
import io
import json
import math
import random
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nas.analysis.evidence import Evidence
from nas.architecture.cost import Cost
from nas.dashboard import notes
from nas.front.png import draw
from nas.front.table import columns, front_records, front_table
from nas.front.view import FrontView, front_view
from nas.report.page.page import page, write_front_page
from nas.searches.progress import EndedTrial, LiveView
from nas.store import Store
from tests.store.filling import finish, make_study, measure, start

TASK = {"dataset": "cifar10", "input": [3, 32, 32], "classes": 10, "validation_images": 5000}
Rows = list[list[str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Crowded accuracies, one published network, a member retrained with two seeds, one tied with it, and all other ends."""
    opened = Store.open(f"sqlite:///{tmp_path_factory.mktemp('front')}/nas.db", create=True)
    make_study(opened, task=TASK)
    rng = random.Random(5)
    with opened.claim("first"):
        finish(opened, start(opened, "first", rng, published="kong_aim"), 0.97)
        for number in range(14):
            finish(opened, start(opened, "first", rng), 0.9 + 0.007 * number)
        finish(opened, start(opened, "first", rng), 0.6, "stopped_early")
        finish(opened, start(opened, "first", rng), 0.1, "untrained", reason="chance")
        finish(opened, start(opened, "first", rng), None, "diverged", reason="the loss was nan in epoch 2")
    for number in [int(trial) for trial in opened.front("first")["trial"]][-2:]:
        for seed, accuracy in enumerate((0.985, 0.991)):
            measure(opened, "first", number, "retrain", seed=seed, accuracy=accuracy)
    measure(opened, "first", 0, "replay", published="kong_aim", accuracy=0.93, task={"dataset": "cifar10"})
    return opened


@pytest.fixture(scope="module")
def view(store: Store) -> FrontView:
    found = front_view(store.study("first"), store.trials("first"), store.measurements())
    assert len(found.members) >= 3
    assert found.is_tested
    return found


def terminal(store: Store, view: FrontView) -> Rows:
    stream = io.StringIO()
    Console(file=stream, width=200).print(front_table(view, "the front"))
    assert view.counts in stream.getvalue()
    return _of_lines(stream.getvalue().splitlines()[1:])


def live(store: Store, view: FrontView) -> Rows:
    stream = io.StringIO()
    shown = LiveView(Console(file=stream, width=200))
    trials = store.trials("first")
    shown.begin("first", trials.head(0), ("accuracy", "parameters"), 20, time.monotonic() + 100, 5000)
    for row in trials.to_dict("records"):
        price = Cost(row["parameters"], row["macs"], row["activation_bytes"])
        accuracy = None if math.isnan(row["accuracy"]) else row["accuracy"]
        published = row["published"] if isinstance(row["published"], str) else None
        ended = EndedTrial(row["trial"], row["hash"], price, published, row["state"], accuracy, seconds=row["seconds"])
        shown.finished(ended, 0)
    shown.end()
    stream.truncate(0)
    stream.seek(0)
    Console(file=stream, width=200).print(shown._render())
    return _of_lines(stream.getvalue().splitlines()[1:])


def _of_lines(lines: Sequence[str]) -> Rows:
    """A table in columns: its heading, then a row for each line that begins with a number."""
    starts = [match.start() for match in re.finditer(r"(?<= {2})\S|^\S", lines[0])]
    ends = [match.end() for match in re.finditer(r"\S(?= {2,}|$)", lines[0])]
    assert len(starts) == len(ends)
    rows = [[lines[0][a:b] for a, b in zip(starts, ends, strict=True)]]
    for line in lines[1:]:
        if not re.match(r" *\d+  ", line):
            break
        cells = [""] * len(starts)
        for match in re.finditer(r"\S+(?: \S+)*", line):
            # A cell lies over its heading, at its left or right side.
            (place,) = [
                n for n, (a, b) in enumerate(zip(starts, ends, strict=True)) if match.start() < b and match.end() > a
            ]
            cells[place] = match[0]
        rows.append(cells)
    return rows


def on_page(store: Store, view: FrontView) -> Rows:
    return _of_page(page(Evidence.read(store, "first"), store.measurements()), view)


def on_front_page(store: Store, view: FrontView, folder: Path) -> Rows:
    write_front_page(Evidence.read(store, "first"), view, folder / "a.html")
    return _of_page((folder / "a.html").read_text(), view)


def _of_page(text: str, view: FrontView) -> Rows:
    assert view.counts in text
    table = text[text.index('class="front-table"') :]
    found = re.findall(r'<(?:div|summary) class="row[^"]*">(.*?)</(?:div|summary)>', table, re.S)
    cells = [re.findall(r"<span[^>]*>([^<]*)</span>", row.replace('<span class="opener"></span>', "")) for row in found]
    return [[html.unescape(cell) for cell in row] for row in cells]


def note(store: Store, view: FrontView) -> Rows:
    evidence = Evidence.read(store, "first")
    text = notes.study_note(evidence, notes.Tested(evidence.study, store.measurements()), "sqlite:///nas.db", 1)
    assert f"{view.counts}." in text
    lines = text[text.index("### Pareto front") : text.index("### Published")].splitlines()
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]
    plain = [[re.sub(r"^\[(\d+)\]\(.*\)$|^`(.*)`$", r"\1\2", cell).replace("\\", "") for cell in row] for row in rows]
    return [plain[0], *plain[2:]]


@pytest.mark.parametrize("output", [terminal, live, on_page, note])
def test_the_same_members_in_the_same_order_with_the_same_labels(
    store: Store, view: FrontView, output: Callable[[Store, FrontView], Rows]
) -> None:
    whole = {column.name: list(column.cells) for column in columns(view)}
    heads, *rows = output(store, view)
    found = {head: [row[nth] for row in rows] for nth, head in enumerate(heads)}
    assert found.keys() >= {"trial", "accuracy", "parameters"}
    if output is not live:  # a search that runs has retrained nothing yet
        assert found.keys() >= {"test (seeds)", "vs cheaper"}
    for head, cells in found.items():
        assert cells == whole[head], head
    assert [record["trial"] for record in front_records(view)] == [int(cell) for cell in found["trial"]]


def test_the_small_page_has_the_table_of_the_report(store: Store, view: FrontView, tmp_path: Path) -> None:
    assert on_front_page(store, view, tmp_path) == on_page(store, view)


def _plot(store: Store) -> tuple[str, dict[str, Any]]:
    text = page(Evidence.read(store, "first"), store.measurements())
    data = re.search(r'<script type="application/json" id="points-0">(.*?)</script>', text, re.S)
    assert data is not None
    found: dict[str, Any] = json.loads(data[1])
    return text[: text.index('id="points-0"')], found


def test_picture_and_page_have_the_same_members_staircase_and_marks(store: Store, view: FrontView) -> None:
    (axes,) = draw(view).axes
    drawn = {str(line.get_label()): line for line in axes.lines}
    text, data = _plot(store)
    path = re.search(r'<path class="line blue" d="M([^"]*)"', text)
    assert path is not None
    corners = [tuple(map(float, corner.split())) for corner in path[1].split("L")][::2]
    (steps,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    there = [(1000 * x, 1000 * (1 - y)) for x, y in steps.get_xydata()]
    assert corners == [pytest.approx(corner, abs=0.1) for corner in there]
    members = [tuple(place) for place in drawn["Pareto front"].get_xydata()]
    assert len(members) == len(view.members)
    on_front = {(point[0], point[1]) for point in data["points"] if point[7]}
    assert on_front == {(round(1000 * x), round(1000 * (1 - y))) for x, y in members}
    for label, look in (("retrained, no better than a cheaper one", "pale"), ("retrained, on the test set", "blue")):
        (mark,) = drawn[label].get_xydata()
        places = re.findall(rf'data-x="([\d.]+)" data-y="([\d.]+)" class="diamond {look}"', text)
        assert [tuple(map(float, place)) for place in places] == [
            pytest.approx((1000 * mark[0], 1000 * (1 - mark[1])), abs=0.06)
        ]


def test_picture_and_page_have_the_same_axes_legend_and_names(store: Store, view: FrontView) -> None:
    figure = draw(view)
    (axes,) = figure.axes
    text, data = _plot(store)
    for name, labels in (("xt", axes.get_xticklabels()), ("yt", axes.get_yticklabels())):
        shown = re.findall(rf'<span class="{name}[^"]*"[^>]*>([^<]*)</span>', text)
        assert shown == [label.get_text() for label in labels]
        assert [tick for _, tick in data[name[0]][0]] == shown
        assert len(shown) >= 3
    assert re.findall(r'class="[xy]label">([^<]*)<', text) == [axes.get_ylabel(), axes.get_xlabel()]
    assert "error, log scale" in axes.get_ylabel()
    legend = re.search(r'<p class="legend">(.*?)</p>', text)
    assert legend is not None
    assert re.findall(r"</i>([^<]+)<", legend[1]) == [entry.get_text() for entry in axes.get_legend().get_texts()]  # type: ignore[union-attr]
    names = re.findall(r'class="name"[^>]*>([^<]*)<|<span[^>]*class="name">([^<]*)<', text)
    assert ["".join(name) for name in names] == [name for name, _, _ in view.panels[0].names] == ["kong_aim"]
    assert "kong_aim" in [label.get_text() for label in axes.texts]
    assert view.counts in [label.get_text() for label in figure.texts]
