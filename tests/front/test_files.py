"""The picture and the page of a front."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from nas.errors import NasError
from nas.front.png import draw, write_png
from nas.front.view import front_view, view_of
from nas.report.front_file import write_front
from nas.store import Store
from tests.front.frames import invented
from tests.store.filling import fill, make_study

TWO = ("accuracy", "parameters")
TASK = {"dataset": "digits", "input": [3, 32, 32], "classes": 10}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(f"sqlite:///{tmp_path}/nas.db", create=True)
    for name, trials in (("first", 12), ("empty", 0)):
        make_study(opened, name, task=TASK)
        fill(opened, name, trials)
    return opened


def written(store: Store, study: str, path: Path) -> bytes:
    write_front(store, front_view(store.study(study), store.trials(study), store.measurements()), path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["png", "html"])
def test_equal_trials_give_equal_bytes(store: Store, tmp_path: Path, ending: str) -> None:
    assert written(store, "first", tmp_path / f"a.{ending}") == written(store, "first", tmp_path / f"b.{ending}")


@pytest.mark.parametrize("objectives", [("accuracy",), TWO, ("accuracy", "parameters", "macs")])
@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_any_number_of_trials_and_objectives(tmp_path: Path, count: int, objectives: tuple[str, ...]) -> None:
    trials = invented(count, ["published_one"])
    write_png(view_of(trials, objectives, title="t"), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width >= 1000 * (max(1, len(objectives) - 1) if count else 1)
        assert image.height >= 800


def test_no_complete_trial(store: Store, tmp_path: Path) -> None:
    assert b"No complete trial yet" in written(store, "empty", tmp_path / "a.html")
    assert written(store, "empty", tmp_path / "a.png").startswith(b"\x89PNG")
    (axes,) = draw(view_of(invented(3, states=["failed"] * 3), TWO, title="t")).axes
    assert [text.get_text() for text in axes.texts] == ["no complete trial yet"]


def test_a_page_stands_alone_and_is_small(store: Store, tmp_path: Path) -> None:
    page = written(store, "first", tmp_path / "a.html").decode()
    assert not re.findall(r"https?://|@import|\bsrc=|<link", page)
    assert len(page) < 200_000


@pytest.mark.parametrize("count", [1, 3, 12])
def test_no_letters_of_a_picture_overlap_or_leave_it(count: int) -> None:
    trials = invented(60, [f"a_published_network_{number}" for number in range(count)], seed=count)
    trials.loc[50:, "state"] = "stopped_early"
    figure = draw(view_of(trials, TWO, title="a study", subtitle="space attn_cnn"))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
    texts = [text for text in (*figure.texts, *axes.texts, *ticks, *legend.get_texts()) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    for nth, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1, texts[nth]
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1, texts[nth]
        for later in range(nth + 1, len(boxes)):
            assert not box.overlaps(boxes[later]), (texts[nth], texts[later])


def test_a_file_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    for ending in ("png", "html"):
        with pytest.raises(NasError, match="cannot be written: No such file or directory"):
            written(store, "first", tmp_path / "absent" / f"a.{ending}")
