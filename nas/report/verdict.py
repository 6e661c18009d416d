"""The end of a fit or a comparison: the network to take, beside references that were trained on the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from nas.objectives import ACCURACY, BALANCED_ACCURACY, OBJECTIVES
from nas.report.accuracy_tables import estimate_text, metric_name, shown_metrics
from nas.statistics.scores import CHANCE, Gap
from nas.text.formatting import difference_text, metric_text, short, words
from nas.text.sanitize import one_line
from nas.text.terminal import styled

if TYPE_CHECKING:
    from rich.console import Console

    from nas.data.overview import Overview
    from nas.fits.choice import Candidate, Choice


COARSE: Final = 0.05
"""Differences that validation images should tell apart, of what lies between 0 and 1; where they do not, a line says so."""
COMPARED: Final = {ACCURACY.name: BALANCED_ACCURACY.name}
"""What networks are compared by on test images where it is not what they are chosen by: test images may have another mix of
classes."""
MOST_COLUMNS: Final = 3
"""Metrics on test images that a table has room for."""


def seen_lines(seen: Overview) -> list[str]:
    """What is in a folder of images, one line each."""
    counts = [
        ours + (0 if seen.validation is None else seen.validation[place]) for place, ours in enumerate(seen.train)
    ]
    fewest, most = min(counts), max(counts)
    kind, whole = ("class", "each class") if seen.labels is None else ("label", "them")
    spread = f"{fewest:,} of each" if fewest == most else f"{fewest:,} to {most:,} of a {kind}"
    noun = "classes" if seen.labels is None else "labels"
    several = "" if seen.labels is None else f"; an image has {seen.labels:.1f} of them on average"
    lines = [f"{len(seen.classes)} {noun}: {_listed([one_line(name) for name in seen.classes])}{several}"]
    train, validation, test = seen.parts
    parts = f"{train + validation:,} images to learn from ({spread})"
    if seen.validation is not None:
        parts += f", {validation:,} of them to measure on, as the {seen.kind} says"
    chosen = "in a folder of their own" if seen.kind == "folder" else f"as the {seen.kind} says"
    how = f"a fifth of {whole}, set aside by itself" if seen.test_is_drawn else chosen
    lines.append(f"{parts}; {test:,} images to test ({how})")
    sizes = list(seen.sizes)
    if seen.size is not None:
        lines.append(f"all of {seen.size[0]}×{seen.size[1]} pixels")
    else:
        widths, heights = [size[0] for size in sizes], [size[1] for size in sizes]
        lines.append(
            f"{len(sizes):,} different sizes, from {min(widths)}×{min(heights)} to {max(widths)}×{max(heights)} pixels"
        )
    if seen.skipped:
        lines.append(seen.skipped)
    return lines


def offer_table(offered: Sequence[Candidate], chosen: Candidate | None, title: str) -> Table:
    """One row for each network, the best first."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    table.add_column("network", overflow="fold")
    metrics = offered_metrics(offered)
    timed = any(one.milliseconds is not None for one in offered)
    for name in ("validation", *offer_head(metrics), "parameters", "MACs", *(["ms"] if timed else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for one in offered:
        test = None if one.retrained is None else one.retrained.test
        name = f"{one.name}, {one.caption}" if one.is_reference else one.name
        style = "bold" if chosen is not None and one.word == chosen.word else ""
        table.add_row(
            name,
            metric_text(one.metric, one.value, one.error),
            *(estimate_text(test, metric) for metric in metrics),
            f"{one.parameters:,}",
            short(one.macs),
            *(["" if one.milliseconds is None else f"{one.milliseconds:.3g}"] if timed else []),
            style=style,
        )
    return table


def offered_metrics(offered: Sequence[Candidate]) -> list[str]:
    """The metrics on test images that a table of networks shows: what they are chosen by first."""
    tested = [one.retrained.test for one in offered if one.retrained is not None and one.retrained.test is not None]
    metric = offered[0].metric if offered else ACCURACY.name
    return shown_metrics(tested[0], metric)[:MOST_COLUMNS] if tested else [metric]


def offer_head(metrics: Sequence[str]) -> list[str]:
    """What stands over the columns of `offered_metrics`."""
    return ["test", *(metric_name(metric, metrics[0]) for metric in metrics[1:])]


def compared(one: Candidate) -> str:
    """The metric that a network is compared by on test images."""
    test = None if one.retrained is None else one.retrained.test
    name = COMPARED.get(one.metric, one.metric)
    return name if test is not None and name in test.metrics else one.metric


def verdict(choice: Choice, offered: Sequence[Candidate]) -> list[str]:
    """What the numbers come to, in sentences: the network to take, and whether the search was worth it."""
    chosen = choice.chosen
    time = "" if chosen.milliseconds is None else f", {chosen.milliseconds:.3g} ms for one image"
    lines = [f"Take {_named(chosen)}: {chosen.parameters:,} parameters, {short(chosen.macs)} MACs{time}."]
    found = [one for one in offered if not one.is_reference and one.retrained is not None]
    plain = [one for one in offered if one.is_reference]
    if found and plain:
        ours, theirs = found[0], plain[0]
        lines.append(_beside(ours, theirs))
        if chosen.is_reference:
            lines.append(
                "A reference did best on the images that choose, so that it is the one to take; of the search, "
                f"{ours.name} is the best."
            )
    elif not plain:
        lines.append(
            "No reference was trained beside it, so that nothing is said of what a network is worth that was not searched."
        )
    if chosen.error is not None and chosen.retrained is not None and chosen.retrained.validation is not None:
        images, told = chosen.retrained.validation.images, CHANCE * math.sqrt(2) * chosen.error
        if told > COARSE and OBJECTIVES[chosen.metric].is_share:
            lines.append(
                f"The choice rests on {images} validation images, which do not tell networks apart that differ by less than "
                f"{told * 100:.0f} points: more images would."
            )
    if choice.smaller is not None:
        lines.append(
            f"{_capital(_named(choice.smaller))} is within one standard error of it on validation images and has "
            f"{choice.smaller.parameters:,} parameters."
        )
    if choice.promising is not None:
        lines.append(
            f"{_capital(choice.promising.name)} did better in the search and has not been retrained: "
            f"nas retrain retrains it."
        )
    return lines


def verdict_record(choice: Choice, offered: Sequence[Candidate], names: Sequence[str]) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "chosen": choice.chosen.word,
        "reference_wins": choice.chosen.is_reference,
        "runner_up": None if choice.runner_up is None else choice.runner_up.word,
        "smaller": None if choice.smaller is None else choice.smaller.word,
        "networks": [candidate_record(one, names) for one in offered],
        "verdict": verdict(choice, offered),
    }


def candidate_record(one: Candidate, names: Sequence[str]) -> dict[str, Any]:
    """One network as plain data."""
    test = None if one.retrained is None else one.retrained.test
    return {
        "network": one.word,
        "reference": one.is_reference,
        "caption": one.caption or None,
        "parameters": one.parameters,
        "macs": one.macs,
        "milliseconds": one.milliseconds,
        "int8": None if one.int8 is None else asdict(one.int8),
        "metric": one.metric,
        "validation": one.value,
        "validation_error": one.error,
        "searched": one.searched,
        "retrained": one.retrained is not None,
        "tested": None if one.retrained is None else list(one.retrained.tested),
        "test": None if test is None else test.record(names),
    }


def print_verdict(console: Console, choice: Choice, offered: Sequence[Candidate]) -> None:
    """The table and the sentences."""
    console.print(offer_table(offered, choice.chosen, "Networks trained on these images: the best of their seeds"))
    lines = verdict(choice, offered)
    console.print(styled((lines[0], "bold")), soft_wrap=True)
    for line in lines[1:]:
        console.print(f"  {line}", soft_wrap=True)


def _beside(ours: Candidate, theirs: Candidate) -> str:
    """The search's best beside the best reference, on test images."""
    assert ours.retrained is not None
    assert theirs.retrained is not None
    first, second = ours.retrained.test, theirs.retrained.test
    if first is None or second is None:
        return ""
    metric = compared(ours)
    gap = Gap.between(first, second, metric)  # of the same images: its error is too large rather than too small
    size = f"{_times(ours.parameters, theirs.parameters)} its parameters and {_times(ours.macs, theirs.macs)} its MACs"
    how = metric_name(metric, ACCURACY.name) if metric == COMPARED.get(ours.metric) else words(metric)
    sure = "" if gap.error is None else f"; standard error {difference_text(metric, gap.error).removesuffix(' points')}"
    by = f"{difference_text(metric, abs(gap.difference))} ({how}{sure})"
    if gap.by_chance is not False:
        chance = "of which nobody knows how much is chance" if gap.by_chance is None else "which is chance"
        return (
            f"On the test images the best of the search ({ours.name}) and the best reference ({theirs.caption}) differ by {by}, "
            f"{chance}; the search's has {size}."
        )
    word = "better" if gap.difference * OBJECTIVES[metric].sign > 0 else "worse"
    return (
        f"On the test images the best of the search ({ours.name}) is {by} {word} than the best reference ({theirs.caption}), "
        f"with {size}."
    )


def _times(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2g} times"


def _named(one: Candidate) -> str:
    return f"{one.caption} ({one.name})" if one.is_reference else one.name


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
