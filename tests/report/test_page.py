"""The report of a study as one HTML page."""

from __future__ import annotations

import json
import random
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from nas.analysis.evidence import Evidence
from nas.export.int8 import INT8_ACCURACY
from nas.report.page.page import page, write_page
from nas.store import Reading, Store
from nas.text.formatting import short
from nas.text.markup import Html, tag
from tests.browser import OpenPage
from tests.store.filling import fill, finish, make_study, measure, start

TASK = {"dataset": "digits", "input": [3, 32, 32], "classes": 10}
VOID = {"meta", "br", "hr"}


class Balance(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for key, value in attrs if key == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    path = tmp_path_factory.mktemp("report") / "nas.db"
    with Store.open(f"sqlite:///{path}", create=True) as store:
        make_study(store, "macro", task=TASK)
        fill(store, "macro", 48)
        with store.claim("macro"):
            trial = start(store, "macro", random.Random(99), published="kong_aim")
            finish(store, trial, 0.5)
            trial = start(store, "macro", random.Random(100))
            finish(store, trial, None, "failed", reason="</script><b>&")
        row = store.trials("macro").iloc[0]
        settings = {"metric": "accuracy", "float32": 0.75, "test_images": 400, "calibration_images": 256}
        store.add_reading(Reading(INT8_ACCURACY, row["hash"], (3, 32, 32), 10, "", settings, 0.7))
        store.add_reading(Reading(INT8_ACCURACY, row["hash"], (3, 64, 64), 10, "", settings, 0.6))
        return Evidence.read(store, "macro")


@pytest.fixture(scope="module")
def measurements(tmp_path_factory: pytest.TempPathFactory) -> object:
    with Store.open(f"sqlite:///{tmp_path_factory.mktemp('none')}/nas.db", create=True) as store:
        return store.measurements()


@pytest.fixture(scope="module")
def text(evidence: Evidence, measurements: object) -> str:
    return page(evidence, measurements)  # type: ignore[arg-type]


def test_the_page_is_well_formed_and_needs_no_network(text: str) -> None:
    checker = Balance()
    checker.feed(text)
    assert checker.open == []
    assert len(set(checker.ids)) == len(checker.ids)
    assert not re.findall(r"https?://|@import|\bsrc=|<link", text)


def test_equal_evidence_gives_equal_bytes(evidence: Evidence, measurements: object, text: str) -> None:
    assert page(evidence, measurements) == text  # type: ignore[arg-type]


def test_every_network_of_the_front_is_listed_and_drawn(evidence: Evidence, text: str) -> None:
    for row in evidence.front.to_dict("records"):
        opened = text.index(f'id="net-{row["hash"][:8]}"')
        part = text[opened : text.index("</details>", opened)]
        assert f"{row['accuracy']:.2%}" in part
        assert f"{row['parameters']:,}" in part
        assert "<svg" in part
        assert "inverted_residual" in part or "projection" in part


def test_every_complete_network_has_its_point(evidence: Evidence, text: str) -> None:
    data = re.search(r'<script type="application/json" id="points-0">(.*?)</script>', text, re.S)
    assert data is not None
    points = json.loads(data[1])["points"]
    drawn = {point[7] for point in points if point[7]}
    assert drawn == {digest[:8] for digest in evidence.front["hash"]}
    low = sum(1 for x, y, *_ in points if not (0 <= x <= 1000 and 0 <= y <= 1000))
    assert low == 0
    below = re.search(r"(\d+) below", text)
    assert len(points) + (int(below[1]) if below else 0) == len(evidence.complete)


def test_what_a_person_wants_to_know_is_there(text: str) -> None:
    for words in (
        "Pareto front",
        "Published networks",
        "84.46 % (Table 2)",  # what Kong et al. claim
        "Progress",
        "Which choices matter",
        "Blocks",
        "Learning curves",
        "Kendall",
        "How trials ended",
        "the loss was nan in epoch …",
        "test device",
        "nas_bench_macro",
    ):
        assert words in text


def test_a_claim_says_what_is_claimed(tmp_path: Path, measurements: object) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        make_study(store, "macro", task=TASK)
        with store.claim("macro"):
            for seed, name in ((1, "mandalika_resnet18"), (2, "kong_aim")):
                finish(store, start(store, "macro", random.Random(seed), published=name), 0.5)
        text = page(Evidence.read(store, "macro"), measurements)  # type: ignore[arg-type]
    assert ">loss 0.42 nats (Table I)<" in text
    assert ">size 41.88 MiB (Table 2)<" in text


def test_what_a_database_holds_cannot_become_html(text: str) -> None:
    assert "</script><b>" not in text
    assert "&lt;/script&gt;&lt;b&gt;&amp;" in text
    assert tag("p", "<b>", Html("<i>"), title='"') == '<p title="&quot;">&lt;b&gt;<i></p>'


def test_a_study_without_trials_and_one_that_knows_no_images(tmp_path: Path, measurements: object) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        make_study(store, "empty")
        make_study(store, "old")
        fill(store, "old", 8)
        empty, old = Evidence.read(store, "empty"), Evidence.read(store, "old")
    assert "No complete trial yet" in page(empty, measurements)  # type: ignore[arg-type]
    assert "no drawing" in page(old, measurements)  # type: ignore[arg-type]


def test_three_objectives_give_two_plots(tmp_path: Path, measurements: object) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        make_study(store, "three", task=TASK, objectives=["accuracy", "parameters", "macs"])
        fill(store, "three", 20)
        found = page(Evidence.read(store, "three"), measurements)  # type: ignore[arg-type]
    assert 'id="points-1"' in found
    assert "multiply-accumulates (MACs) for one image" in found


def test_what_is_minimized_is_a_column_of_the_front(tmp_path: Path, measurements: object) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        make_study(store, "memory", task=TASK, objectives=["accuracy", "activation_bytes"])
        fill(store, "memory", 8)
        evidence = Evidence.read(store, "memory")
    found = page(evidence, measurements)  # type: ignore[arg-type]
    head = re.search(r'class="row head">(.*?)</div>', found)
    assert head is not None
    assert ">activation bytes<" in head[1]
    assert all(short(value) in found for value in evidence.front["activation_bytes"])


def test_nothing_of_the_page_is_shown_as_its_source(text: str) -> None:
    assert not re.search(r"&lt;(h3|p|div|table|span|svg)\b", text)


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study whose front was retrained, with a published network replayed."""
    folder = tmp_path_factory.mktemp("tested")
    with Store.open(f"sqlite:///{folder / 'nas.db'}", create=True) as store:
        make_study(store, "macro", task=TASK)
        fill(store, "macro", 24)
        front = list(Evidence.read(store, "macro").front["trial"])
        for number in (front[0], front[-1]):
            for seed, accuracy in enumerate((0.85, 0.87)):
                measure(store, "macro", number, "retrain", seed=seed, accuracy=accuracy + number / 1000)
        measure(store, "macro", 0, "replay", published="kong_aim", accuracy=0.7)
        write_page(Evidence.read(store, "macro"), store.measurements(), folder / "report.html")
    return folder / "report.html"


def test_measured_positions_are_filled_and_claims_hollow(tested: Path) -> None:
    text = tested.read_text()
    assert text.count('class="diamond blue"') + text.count('class="diamond pale"') == 2 + 2  # two in the legend
    assert text.count('class="diamond orange"') == 2
    assert text.count('class="diamond open"') == 2
    assert "84.46 %" in text
    assert "kong_aim · claimed for cifar10 by its paper" in text
    assert "replayed, on the test set" in text
    assert "± 1.41 % (2" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it_without_a_network(tested: Path, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(tested.as_uri(), width=width, scheme=scheme)
    # Nothing but tables and drawings may be wider than the screen, and those scroll by themselves.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for look, filled in (("blue", True), ("orange", True), ("open", False)):
        mark = page.locator(f".area .diamond.{look}").first
        assert mark.is_visible()
        color = mark.evaluate("mark => getComputedStyle(mark).backgroundColor")
        assert (color != "rgba(0, 0, 0, 0)") == filled
    page.locator("summary.row").first.click()
    assert page.locator("details[open] svg.drawing").first.is_visible()
    area = page.locator(".area[data-points]").first
    mark = page.locator(".area .diamond.orange").first
    box = mark.bounding_box()
    area.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("#card").inner_text().startswith("70.00 % (1 seed)")


def _ticks(page: Any, name: str) -> list[str]:
    found: list[str] = page.locator(f".area[data-points] .{name}").all_inner_texts()
    return found


def test_who_drags_a_box_looks_closer_and_gets_back(tested: Path, open_page: OpenPage) -> None:
    page = open_page(tested.as_uri(), width=1200)
    area, mark = page.locator(".area[data-points]").first, page.locator(".area .diamond.orange").first
    area.scroll_into_view_if_needed()
    before, box, at = (_ticks(page, "xt"), _ticks(page, "yt")), area.bounding_box(), mark.bounding_box()
    x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
    left, right = max(box["x"], x - 100), min(box["x"] + box["width"], x + 100)
    page.mouse.move(left, y - 60)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.move(right, y + 60, steps=4)
    page.mouse.up()
    for name, old in zip(("xt", "yt"), before, strict=True):
        assert len(_ticks(page, name)) >= 2
        assert _ticks(page, name) != old
    # What was in the box fills the plot, and still tells what it is.
    moved = mark.bounding_box()
    part = (x - left) / (right - left)
    assert moved["x"] + moved["width"] / 2 == pytest.approx(box["x"] + part * box["width"], abs=4)
    assert moved["y"] + moved["height"] / 2 == pytest.approx(box["y"] + box["height"] / 2, abs=4)
    page.mouse.move(moved["x"] + moved["width"] / 2, moved["y"] + moved["height"] / 2)
    assert page.locator("#card").inner_text().startswith("70.00 % (1 seed)")
    page.get_by_role("button", name="whole plot").click()
    assert (_ticks(page, "xt"), _ticks(page, "yt")) == before
    assert mark.bounding_box() == at


def test_a_click_copies_the_number_of_a_trial(tested: Path, open_page: OpenPage) -> None:
    page = open_page(tested.as_uri(), width=1200)
    area = page.locator(".area[data-points]").first
    area.scroll_into_view_if_needed()
    points = json.loads(page.locator("#points-0").text_content())["points"]
    others = [point for point in points if not point[7] and point[8] is not None]
    # One that no other hides.
    x, y, *_, number = max(
        others, key=lambda one: min(abs(one[0] - p[0]) + abs(one[1] - p[1]) for p in points if p is not one)
    )
    box = area.bounding_box()
    page.mouse.click(box["x"] + x * box["width"] / 1000, box["y"] + y * box["height"] / 1000)
    page.get_by_text(f"trial {number}: its number is in the clipboard").wait_for()
    page.evaluate("document.body.append(document.createElement('textarea'))")
    page.locator("textarea").focus()
    page.keyboard.press("Control+V")
    assert page.locator("textarea").input_value() == str(number)


def test_accuracies_in_8_bit_integers_stand_beside_float32_where_they_were_measured(
    evidence: Evidence, text: str
) -> None:
    first = evidence.complete["trial"].iloc[0]
    section = re.sub("<[^>]*>", "|", text.partition('id="int8"')[2].partition("</section>")[0])
    assert re.search(rf"trial {first}\|+75.0 ± 2.2 %\|+70.0 ± 2.3 %\|+-5.0\|+400 test", section)
    assert "60.0" not in section, "images of another size"
