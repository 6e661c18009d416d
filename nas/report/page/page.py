"""The page put together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.analysis.evidence import Evidence
from nas.errors import NasError
from nas.front.view import FrontView, front_view, search_error
from nas.pareto import hypervolume
from nas.report.page.choices import blocks_section, choices_section
from nas.report.page.curves import curves_section
from nas.report.page.front import front_section
from nas.report.page.int8 import int8_section
from nas.report.page.progress import progress_section, time_unit
from nas.report.page.setting import failures_section, published_section, setting_section
from nas.text.formatting import metric_text, words
from nas.text.markup import Child, Html, tag

if TYPE_CHECKING:
    import pandas as pd

_HERE: Final = Path(__file__).parent


def write_page(evidence: Evidence, measurements: pd.DataFrame, path: Path) -> None:
    """Writes the report of a study, with `measurements` as `Store.measurements` gives them.

    Equal evidence gives equal bytes. Raises NasError when the file cannot be written.
    """
    _write(page(evidence, measurements), path)


def write_front_page(evidence: Evidence, view: FrontView, path: Path) -> None:
    """Writes the part of the report that shows the front, with its networks: see `write_page`."""
    _write(_page(view, front_section(evidence, view)), path)


def page(evidence: Evidence, measurements: pd.DataFrame) -> str:
    """The HTML of `write_page`."""
    view = front_view(evidence.study, evidence.trials, measurements)
    sections = [
        front_section(evidence, view),
        int8_section(evidence, measurements),
        published_section(evidence, measurements),
        progress_section(evidence),
        choices_section(evidence),
        blocks_section(evidence),
        curves_section(evidence),
        failures_section(evidence),
        setting_section(evidence),
    ]
    return _page(view, sections, _tiles(evidence))


def _page(view: FrontView, sections: Child, tiles: Child = None) -> str:
    style = Html((_HERE / "page.css").read_text(encoding="utf-8"))
    script = Html((_HERE / "page.js").read_text(encoding="utf-8"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{view.title} · nas"),
        tag("style", style),
    )
    body = tag(
        "body",
        tag("header", tag("h1", view.title), tag("p", view.subtitle, class_="lead"), tiles),
        tag("main", sections),
        tag("div", id="card", hidden=True),
        tag("div", id="said", role="status"),
        tag("script", script),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _write(text: str, path: Path) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None


def _tiles(evidence: Evidence) -> Html:
    trials = evidence.trials
    states = Counter(trials["state"])
    hours = float(trials["seconds"].fillna(0).sum()) / 3600
    unit, factor = time_unit(hours)
    metric, images = evidence.metric, evidence.study.validation_images
    values = evidence.complete[metric.name]
    best = metric.sign * (metric.sign * values).max() if len(values) else None
    tiles = [
        (f"{states['complete']:,}", _others(states)),
        (str(len(evidence.front)), "networks on the front"),
        (
            "–" if best is None else metric_text(metric.name, best, search_error(best, metric, images)),
            f"best validation {words(metric.name)}",
        ),
        (f"{hypervolume(trials, evidence.study.objectives):.4f}", "hypervolume"),
        (f"{hours * factor:,.1f}", f"{unit} of training"),
    ]
    running = tag("p", f"Running now: {evidence.driver}", class_="running") if evidence.driver else None
    return Html(
        tag("dl", [tag("div", tag("dd", value), tag("dt", name)) for value, name in tiles], class_="tiles")
        + (running or "")
    )


def _others(states: Counter[str]) -> str:
    untrained, others = states["untrained"], sum(states.values()) - states["complete"] - states["untrained"]
    parts = ["complete trials", f"{untrained:,} untrained" if untrained else "", f"{others:,} others" if others else ""]
    return ", ".join(part for part in parts if part)
