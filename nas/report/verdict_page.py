"""The verdict of a fit as one HTML page that opens anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.errors import NasError
from nas.report.accuracy_tables import remarks, with_error
from nas.report.page.int8 import HEAD, columns
from nas.report.verdict import seen_lines, verdict
from nas.text.formatting import short
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
    rows = []
    for one in offered:
        name = f"{one.name}, {one.caption}" if one.is_reference else one.name
        test = None if one.retrained is None else one.retrained.test
        rows.append(
            (
                tag("strong", name) if one.word == chosen.word else name,
                with_error(one.accuracy, one.error),
                "" if test is None else with_error(test.accuracy, test.error),
                "" if test is None else with_error(test.balanced, test.balanced_error),
                f"{one.parameters:,}",
                short(one.macs),
                *(["" if one.milliseconds is None else f"{one.milliseconds:.3g}"] if timed else []),
            )
        )
    head = ("network", "validation", "test", "test, each class alike", "parameters", "MACs", *(["ms"] if timed else []))
    return table(head, rows, numbers=range(1, len(head)))


def _classes(chosen: Candidate, data: Dataset) -> Html:
    """What the chosen weights are worth, class by class."""
    retrained: Retrained | None = chosen.retrained
    if retrained is None or retrained.test is None:
        return Html("")
    validation, test = retrained.validation, retrained.test
    rows = []
    for place, name in enumerate(data.class_names):
        ours = ("", "") if validation is None else (with_error(*validation.of(place)), f"{validation.images[place]:,}")
        rows.append((name, *ours, with_error(*test.of(place)), f"{test.images[place]:,}"))
    return section(
        "Class by class",
        table(("class", "validation", "images", "test", "images"), rows, numbers=range(1, 5)),
        [tag("p", line) for line in remarks(retrained, data)],
        id="classes",
        lead=f"The weights of {chosen.name}, seed {retrained.seed}.",
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
    """Test accuracies, each class alike, with two standard errors to both sides."""
    shown = [(one, test) for one in offered if one.retrained is not None and (test := one.retrained.test) is not None]
    if not shown:
        return Html("")
    low = min(test.balanced - 2 * test.balanced_error for _, test in shown)
    high = max(test.balanced + 2 * test.balanced_error for _, test in shown)
    low, high = max(0.0, low - 0.02), min(1.0, high + 0.02)

    def x(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.25, 1.0) if (high - low) / step <= 8)
    bottom = len(shown) * _ROW + 8
    parts: list[Html] = []
    tick = -(-low // step) * step
    while tick <= high + 1e-9:
        parts.append(tag("line", x1=x(tick), x2=x(tick), y1=4, y2=bottom, stroke="currentColor", stroke_opacity=0.15))
        parts.append(
            tag(
                "text", f"{tick:.0%}", x=x(tick), y=bottom + 14, text_anchor="middle", font_size=11, fill="currentColor"
            )
        )
        tick += step
    for place, (one, test) in enumerate(shown):
        y = place * _ROW + _ROW / 2 + 4
        weight = "bold" if one.word == chosen.word else "normal"
        name = one.caption or one.name
        parts.append(
            tag(
                "text",
                name,
                x=_LEFT - 10,
                y=y + 4,
                text_anchor="end",
                font_size=12,
                font_weight=weight,
                fill="currentColor",
            )
        )
        error = 2 * test.balanced_error
        parts.append(
            tag(
                "line", x1=x(test.balanced - error), x2=x(test.balanced + error), y1=y, y2=y, stroke="currentColor",
                stroke_width=2, stroke_opacity=0.6,
            )
        )  # fmt: skip
        fill = "none" if one.is_reference else "currentColor"
        parts.append(tag("circle", cx=x(test.balanced), cy=y, r=5, fill=fill, stroke="currentColor", stroke_width=2))
    label = "test accuracy, each class alike, ± two standard errors; filled: found by the search, hollow: references"
    parts.append(
        tag("text", label, x=_WIDTH / 2, y=bottom + 32, text_anchor="middle", font_size=11, fill="currentColor")
    )
    picture = tag(
        "svg",
        parts,
        viewBox=f"0 0 {_WIDTH} {bottom + 40}",
        role="img",
        aria_label=label,
        style="max-width: 46rem; width: 100%",
    )
    return tag("div", picture, class_="scroll")
