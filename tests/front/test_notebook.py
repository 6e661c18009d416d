"""What Jupyter shows of a result, and what a prompt shows."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from nas.front.notebook import front_html
from nas.front.view import view_of
from nas.pareto import hypervolume, pareto
from nas.searches.search import SearchResult
from tests.front.frames import invented

TWO = ("accuracy", "parameters")


@pytest.fixture(scope="module")
def result() -> SearchResult:
    trials = invented(30)
    trials["published"] = trials["published"].astype(object)
    trials.loc[pareto(trials, TWO).index[0], "published"] = "<script>alert(1)</script>"
    front = pareto(trials, TWO)
    return SearchResult(
        "a <b> study", "sqlite:///x", TWO, trials, front, hypervolume(trials, TWO), {"complete": 30}, "done", 100
    )


def test_a_notebook_shows_table_and_picture_with_foreign_text_escaped(result: SearchResult) -> None:
    text = result._repr_html_()
    assert "a &lt;b&gt; study" in text
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count("<tr>") == len(result.front) + 1
    assert 'src="data:image/png;base64,iVBOR' in text


def test_a_prompt_shows_one_line(result: SearchResult) -> None:
    assert repr(result).startswith("<search of study a <b> study: 30 complete; hypervolume 0.")
    assert "\n" not in repr(result)


def test_a_search_that_found_nothing_says_so(result: SearchResult) -> None:
    nothing = replace(result, trials=result.trials.head(0), front=result.front.head(0), states={})
    assert "no trials" in nothing._repr_html_()
    assert "<img" not in nothing._repr_html_()


def test_a_study_of_another_metric_is_drawn_by_it() -> None:
    trials: pd.DataFrame = invented(10).assign(macro_f1=0.5)
    trials["accuracy"] = float("nan")
    text = front_html(view_of(trials, ("macro_f1", "parameters"), title="t"), "t")
    assert "<table" in text
    assert "the best by macro f1" in text
    assert "<img" in text
