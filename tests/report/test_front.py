"""The picture of a front."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nas.errors import NasError
from nas.pareto import pareto
from nas.report.front.plot import plot_front, subtitle_of
from nas.store import Store
from tests.report.frames import invented
from tests.store.filling import make_study

TWO = ("accuracy", "parameters")


@pytest.mark.parametrize("ending", ["png", "html"])
def test_equal_trials_give_equal_bytes(tmp_path: Path, ending: str) -> None:
    for name in "ab":
        plot_front(invented(40, ["kong_aim"]), TWO, tmp_path / f"{name}.{ending}", title="t", subtitle="s")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


@pytest.mark.parametrize("objectives", [("accuracy",), TWO, ("accuracy", "parameters", "macs")])
@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_any_number_of_trials_and_objectives(tmp_path: Path, count: int, objectives: tuple[str, ...]) -> None:
    trials = invented(count, ["published_one"])
    plot_front(trials, objectives, tmp_path / "a.png", title="t")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width >= 1000 * max(1, len(objectives) - 1)
        assert image.height >= 800


def test_no_complete_trial(tmp_path: Path) -> None:
    for ending in ("png", "html"):
        plot_front(invented(3, states=["failed"] * 3), TWO, tmp_path / f"a.{ending}", title="t")


def traces(path: Path) -> list[dict[str, Any]]:
    """The data of a plotly page, read back from its script."""
    text = path.read_text()
    start = text.index("Plotly.newPlot(")
    found = json.JSONDecoder().raw_decode(text[text.index("[", start) :])[0]
    assert isinstance(found, list)
    return found


def test_a_page_stands_alone_and_tells_each_network(tmp_path: Path) -> None:
    states = ["complete"] * 30 + ["stopped_early"] * 3 + ["failed"] * 4
    trials = invented(37, ["kong_aim_cam", "<b>&"], states=states)
    plot_front(trials, TWO, tmp_path / "a.html", title="digits", subtitle="space attn_cnn")
    page = (tmp_path / "a.html").read_text()
    assert not re.search(r"<script[^>]*\bsrc=", page)
    by_name = {trace["name"]: trace for trace in traces(tmp_path / "a.html")}
    assert len(by_name["trials"]["hovertext"]) == 30
    assert len(by_name["stopped early"]["hovertext"]) == 3
    assert len(by_name["Pareto front"]["hovertext"]) == len(pareto(trials, TWO))
    assert sorted(by_name["published networks"]["text"]) == ["&lt;b&gt;&amp;", "kong_aim_cam"]
    card = by_name["trials"]["hovertext"][0]
    for part in ("kong_aim_cam", f"{trials['parameters'][0]:,} parameters", "0" * 12, "aim ×2", "stem.channels = 32"):
        assert part in card
    assert "&lt;b&gt;&amp;" in by_name["trials"]["hovertext"][1]


@pytest.mark.parametrize(("largest", "powers_alone"), [(43_000, False), (4_300_000, True)])
def test_the_axis_of_a_narrow_front_has_more_numbers_than_powers_of_ten(
    tmp_path: Path, largest: int, powers_alone: bool
) -> None:
    trials = invented(4).assign(parameters=[18_000, 29_000, 30_000, largest])
    plot_front(trials, TWO, tmp_path / "a.html", title="t")
    page = (tmp_path / "a.html").read_text()
    assert ('"dtick":1,' in page or '"dtick":1}' in page) == powers_alone


def test_the_staircase_holds_the_front(tmp_path: Path) -> None:
    trials = invented(80)
    plot_front(trials, TWO, tmp_path / "a.html", title="t")
    steps = next(trace for trace in traces(tmp_path / "a.html") if trace["name"] == "front")
    front = pareto(trials, TWO)
    assert steps["x"] == front["parameters"].tolist()
    assert steps["y"] == pytest.approx((front["accuracy"] * 100).tolist())


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    for ending in ("png", "html"):
        with pytest.raises(NasError, match="cannot be written: No such file or directory"):
            plot_front(invented(3), TWO, tmp_path / "absent" / f"a.{ending}", title="t")


def test_the_line_below_the_title(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/nas.db", create=True) as store:
        make_study(store, task={"dataset": "digits", "input": [1, 32, 32], "classes": 10})
        assert subtitle_of(store.study("first")) == "space nas_bench_macro  ·  data digits 1×32×32  ·  3 epochs"
