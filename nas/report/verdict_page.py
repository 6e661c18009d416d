"""The verdict of a fit as one HTML page that opens anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.errors import NasError
from nas.front.axes import linear
from nas.objectives import OBJECTIVES
from nas.report.accuracy_tables import class_text, estimate_text, remarks
from nas.report.page.int8 import HEAD, columns
from nas.report.verdict import compared, offer_head, offered_metrics, seen_lines, verdict
from nas.text.formatting import metric_text, short, words
from nas.text.markup import Html, section, table, tag

if TYPE_CHECKING:
    from nas.data import Dataset
    from nas.data.overview import Overview
    from nas.export.int8 import Quantized
    from nas.fits.choice import Candidate, Choice
    from nas.network.model_selection import Retrained

_STYLE: Final = Path(__file__).parent / "page" / "page.css"
_WIDTH, _ROW, _LEFT, _RIGHT = 640, 26, 190, 20
"""Measures of the picture of accuracies, in pixels."""


def write_verdict(
    path: Path,
    study: str,
    seen: Overview,
    choice: Choice,
    offered: Sequence[Candidate],
    data: Dataset,
    files: Sequence[Path],
    notes: Sequence[str],
    int8: Quantized | None = None,
) -> None:
    """Writes the page. `data` is what was trained on; `notes` are further lines; `int8` is what the chosen network is worth in
    8-bit integers, where that was asked for. Raises NasError where it cannot be written."""
    first, *rest = verdict(choice, offered)
    chosen = choice.chosen
    sections = [
        section(
            "Networks trained on these images",
            accuracy_picture(offered, chosen),
            networks_table(offered, chosen),
            id="networks",
            lead="Validation: images that chose among seeds and networks, mean of the seeds. Test: images that chose nothing, "
            "for the weights of the best seed. ± is a standard error.",
        ),
        _classes(chosen, data),
        _quantized(chosen, int8),
        section("The images", tag("ul", [tag("li", line) for line in seen_lines(seen)]), id="images"),
        section(
            "Files",
            tag("ul", [tag("li", tag("code", str(file))) for file in files]),
            tag("ul", [tag("li", line) for line in notes]) if notes else None,
            id="files",
        ),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{study} · verdict · nas"),
        tag("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    header = tag(
        "header",
        tag("p", f"nas fit · {study}", class_="lead"),
        tag("h1", first),
        [tag("p", line, class_="lead") for line in rest],
    )
    page = tag("html", head, tag("body", header, tag("main", sections)), lang="en")
    try:
        path.write_text(f"<!doctype html>\n{page}\n", encoding="utf-8")
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None


def networks_table(offered: Sequence[Candidate], chosen: Candidate) -> Html:
    """What each network is worth, one row for each; the chosen one stands out."""
    timed = any(one.milliseconds is not None for one in offered)
    metrics = offered_metrics(offered)
    rows = []
    for one in offered:
        name = f"{one.name}, {one.caption}" if one.is_reference else one.name
        test = None if one.retrained is None else one.retrained.test
        rows.append(
            (
                tag("strong", name) if one.word == chosen.word else name,
                metric_text(one.metric, one.value, one.error),
                *(estimate_text(test, metric) for metric in metrics),
                f"{one.parameters:,}",
                short(one.macs),
                *(["" if one.milliseconds is None else f"{one.milliseconds:.3g}"] if timed else []),
            )
        )
    first, *further = offer_head(metrics)
    tests = (first, *(f"test, {name}" for name in further))
    head = ("network", "validation", *tests, "parameters", "MACs", *(["ms"] if timed else []))
    return table(head, rows, numbers=range(1, len(head)))


def _classes(chosen: Candidate, data: Dataset) -> Html:
    """What the chosen weights are worth, class by class where labels are classes."""
    retrained: Retrained | None = chosen.retrained
    if retrained is None or retrained.test is None:
        return Html("")
    validation, test = retrained.validation, retrained.test
    if not test.classes:
        lines = [tag("p", line) for line in remarks(retrained, data)]
        return section(
            "Validation and test", lines, id="classes", lead=f"The weights of {chosen.name}, seed {retrained.seed}."
        )
    rows = []
    for place, name in enumerate(data.class_names):
        ours = (
            ("", "") if validation is None else (class_text(validation, place), f"{validation.classes[place].images:,}")
        )
        rows.append((name, *ours, class_text(test, place), f"{test.classes[place].images:,}"))
    return section(
        "Class by class",
        table(("class", "validation", "images", "test", "images"), rows, numbers=range(1, 5)),
        [tag("p", line) for line in remarks(retrained, data)],
        id="classes",
        lead=f"The weights of {chosen.name}, seed {retrained.seed}: {words(test.class_metric)} of each class.",
    )


def _quantized(chosen: Candidate, int8: Quantized | None) -> Html:
    """The chosen weights in float32 and in 8-bit integers."""
    if int8 is None:
        return Html("")
    return section(
        "In 8-bit integers",
        table(("network", *HEAD), [(chosen.name, *columns(int8))], numbers=range(1, len(HEAD) + 1)),
        id="int8",
        lead="The chosen weights, quantized by ONNX Runtime and calibrated with training images. ± is a standard error.",
    )


def accuracy_picture(offered: Sequence[Candidate], chosen: Candidate) -> Html:
    """What networks are compared by on test images, with two standard errors to both sides."""
    metric = compared(chosen)
    shown = [
        (one, test.value(metric), 2 * (test.error(metric) or 0.0))
        for one in offered
        if one.retrained is not None and (test := one.retrained.test) is not None and metric in test.metrics
    ]
    if not shown:
        return Html("")
    is_share = OBJECTIVES[metric].is_share
    low, high = min(value - error for _, value, error in shown), max(value + error for _, value, error in shown)
    room = 0.02 if is_share else max(0.05 * (high - low), 1e-6)
    low, high = low - room, high + room
    if is_share:
        low, high = max(0.0, low), min(1.0, high)

    def x(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    axis = linear([low, high], "", margin=0.0)
    bottom = len(shown) * _ROW + 8
    parts: list[Html] = []
    for tick, _ in axis.ticks:
        parts.append(tag("line", x1=x(tick), x2=x(tick), y1=4, y2=bottom, stroke="currentColor", stroke_opacity=0.15))
        parts.append(_text(f"{tick:.3g}" if not is_share else f"{100 * tick:.3g}%", x(tick), bottom + 14, "middle"))
    for place, (one, value, error) in enumerate(shown):
        y = place * _ROW + _ROW / 2 + 4
        weight = "bold" if one.word == chosen.word else "normal"
        parts.append(_text(one.caption or one.name, _LEFT - 10, y + 4, "end", 12, weight))
        parts.append(
            tag(
                "line", x1=x(value - error), x2=x(value + error), y1=y, y2=y, stroke="currentColor", stroke_width=2,
                stroke_opacity=0.6,
            )
        )  # fmt: skip
        fill = "none" if one.is_reference else "currentColor"
        parts.append(tag("circle", cx=x(value), cy=y, r=5, fill=fill, stroke="currentColor", stroke_width=2))
    what = "accuracy, each class alike" if metric != chosen.metric else words(metric)
    label = f"test {what}, ± two standard errors; filled: found by the search, hollow: references"
    parts.append(_text(label, _WIDTH / 2, bottom + 32, "middle"))
    picture = tag(
        "svg",
        parts,
        viewBox=f"0 0 {_WIDTH} {bottom + 40}",
        role="img",
        aria_label=label,
        style="max-width: 46rem; width: 100%",
    )
    return tag("div", picture, class_="scroll")


def _text(text: str, x: float, y: float, anchor: str, size: int = 11, weight: str = "normal") -> Html:
    return tag("text", text, x=x, y=y, text_anchor=anchor, font_size=size, font_weight=weight, fill="currentColor")
