"""The dashboard as a person sees it, in a real browser."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from nas.store import Store
from tests.browser import OpenPage
from tests.dashboard.conftest import fill_study, serving
from tests.store.filling import finish, start


def _painted(page: Any, alt: str) -> tuple[int, int]:
    """Width and height of a picture that has arrived."""
    picture = page.get_by_alt_text(alt)
    picture.scroll_into_view_if_needed()
    page.wait_for_function("picture => picture.complete && picture.naturalWidth > 0", arg=picture.element_handle())
    box = picture.bounding_box()
    return box["width"], box["height"]


@pytest.mark.long
def test_the_study_page_names_its_objectives(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/dashboard/studies/1")
    page.get_by_text("Pareto Front").first.wait_for()
    page.get_by_text("validation accuracy (0 to 1)").first.wait_for()
    page.locator(".js-plotly-plot .point").first.wait_for()


def test_the_study_note_shows_the_front_and_leads_to_a_trial(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/dashboard/studies/1/note")
    width, height = _painted(page, "front of the study")
    assert 600 < width < 1000
    assert 350 < height < 800
    page.get_by_role("heading", name="Published networks").wait_for()
    page.get_by_role("cell", name="kong_aim").first.wait_for()
    page.locator("code", has_text="nas report").wait_for()
    assert page.locator("a[href*='x.example']").count() == 0
    page.locator("table a").last.click()
    page.get_by_text("Best Trial").first.wait_for()


def test_a_trial_has_its_drawing_curve_and_commands(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/dashboard/studies/1/trials?numbers=0")
    width, height = _painted(page, "network of trial 0")
    assert min(width, height) > 150
    assert _painted(page, "learning curve of trial 0")[0] > 300
    page.get_by_role("columnheader", name="accuracy").wait_for()
    page.locator("code", has_text="nas export 0 --study first").wait_for()


@pytest.mark.long
def test_a_failed_trial_says_why_and_is_none_of_the_best(address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/dashboard/studies/1/trials?numbers=12")
    page.get_by_text("<b>bold</b> ∣ **loud** ![x](http://x.example/)").first.wait_for()
    page.get_by_role("heading", name="Trial 12").wait_for()
    main = page.get_by_role("heading", name="Trial 12").locator("xpath=..")
    assert main.get_by_text("Fail", exact=True).count() == 1
    assert main.get_by_text("Best Trial").count() == 0


def test_a_trial_of_a_running_search_appears(store: Store, address: str, open_page: OpenPage) -> None:
    page = open_page(f"{address}/dashboard/studies/1/trials")
    page.get_by_text("15 Trials").wait_for()
    with store.claim("first"):
        finish(store, start(store, "first", random.Random(7)), 0.5)
    page.reload()
    page.get_by_text("16 Trials").wait_for()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_study_of_2000_trials_stays_usable(tmp_path: Path, open_page: OpenPage) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'nas.db'}", create=True) as store:
        fill_study(store, trials=2000)
        with serving(store) as address:
            page = open_page(f"{address}/dashboard/studies/1")
            page.set_default_timeout(60_000)
            page.locator(".js-plotly-plot .point").first.wait_for()
            page.goto(f"{address}/dashboard/studies/1/trials?numbers=1500")
            assert min(_painted(page, "network of trial 1500")) > 150
            page.get_by_text("Trial 3", exact=True).first.click()
            assert min(_painted(page, "network of trial 3")) > 150
            page.goto(f"{address}/dashboard/studies/1/note")
            assert min(_painted(page, "front of the study")) > 300
