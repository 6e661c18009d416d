"""The table of benchmarks/photos.py, from the results that are there."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from _photo_sets import Case
from _plain import trainings

Row = Mapping[str, Any]
Find = Callable[[dict[str, Any]], Row | None]
"""From what names a part to its result, None when it is not done."""

HEAD = (
    *("photos", "seed", "classes", "images", "balance", "network", "parameters", "MACs"),
    *("test", "over plain", "validation", "core seconds", "ratio"),
)
NOTE = (
    "Test and validation accuracies are with their standard errors: of the sample of images, of plain networks also of the seeds. "
    "Plain networks are the best, on the test images themselves, of ResNet-8 and ResNet-20 and three numbers of steps, mean of "
    "two seeds, and their core seconds those of one such training. 'Over plain' is in points, over the plain network of at "
    "most the found one's parameters. The ratio is to a training of 1,000 steps of a plain ResNet-8 of at most "
    "{limit:,.0f} parameters, timed right before and after the search."
)


def part_plain(case: Case, network: str, width: int, steps: int, seed: int) -> dict[str, Any]:
    """What names a training of a plain network among the results."""
    names = {"part": "plain", "key": case.key, "network": network, "width": width}
    return {**names, "steps": steps, "training_seed": seed}


def part_found(case: Case, sampler: str, options: Any) -> dict[str, Any]:
    """What names a search with its retraining among the results."""
    names = ("label", "limit", "budget", "search_share", "search_options", "retrain", "max_concurrent")
    chosen = {name: getattr(options, name) for name in names}
    return {"part": "found", "key": case.key, "sampler": sampler, **chosen}


def table(cases: Sequence[Case], options: Any, find: Find) -> str:
    """Markdown: of each case the network found, random search, the plain reference of its size, and that of the limit."""
    lines = [_line(HEAD), _line(["---"] * 6 + ["---:"] * (len(HEAD) - 6))]
    for case in cases:
        lines += [_line(cells) for cells in _rows(case, options, find)]
    return "\n".join([*lines, "", NOTE.format(limit=options.limit)])


def _rows(case: Case, options: Any, find: Find) -> Iterator[Sequence[str]]:
    photos = case.photos
    facts = [photos.name, str(case.seed), str(len(photos.classes)), f"{sum(photos.images):,}", photos.balance]
    found, random = (find(part_found(case, sampler, options)) for sampler in ("pareto", "random"))
    reference = None if found is None else _reference(case, found["parameters"], find)
    for name, row in (("found", found), ("random search", random)):
        if row is not None:
            lead = f"{(row['accuracy'] - reference.accuracy) * 100:+.1f}" if reference else ""
            yield [
                *(
                    *facts,
                    name,
                    f"{row['parameters']:,}",
                    _short(row["macs"]),
                    _accuracy(row["accuracy"], row["error"]),
                ),
                *(lead, _accuracy(row["validation_accuracy"], row["validation_error"])),
                *(f"{row['core_seconds']:,.0f}", f"{row['core_seconds'] / row['plain_core_seconds']:.1f}"),
            ]
    for name, plain in (("of its size", reference), ("of the limit", _reference(case, options.limit, find))):
        if plain is not None:
            yield [*facts, f"plain {name}: {plain.name}", *plain.cells]


@dataclass(frozen=True)
class Reference:
    """The best of the plain networks of one size."""

    name: str
    accuracy: float
    cells: tuple[str, ...]


def _reference(case: Case, limit: float, find: Find) -> Reference | None:
    """By the mean over seeds on the test images; of those that are done, and it says when that is not all."""
    wanted = list(trainings(len(case.photos.classes), limit))
    done = [row for training in wanted if (row := find(part_plain(case, *training))) is not None]
    if not done:
        return None
    groups: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in done:
        groups[row["network"], row["steps"]].append(row)
    (network, steps), rows = max(groups.items(), key=lambda item: statistics.mean(row["accuracy"] for row in item[1]))
    accuracies = [row["accuracy"] for row in rows]
    mean, seconds = statistics.mean(accuracies), statistics.mean(row["core_seconds"] for row in rows)
    error = standard_error(accuracies, case.photos.test * len(case.photos.classes))
    so_far = "" if len(done) == len(wanted) else f" ({len(done)} of {len(wanted)} trainings done)"
    return Reference(
        f"{network}, {steps:,} steps{so_far}",
        mean,
        (
            *(f"{rows[0]['parameters']:,}", _short(rows[0]["macs"]), _accuracy(mean, error)),
            *("", "", f"{seconds:,.0f}", ""),
        ),
    )


def standard_error(accuracies: Sequence[float], images: int) -> float:
    """Of the mean over trainings, on so many images that all share: of the sample of images, and of the trainings."""
    mean = statistics.mean(accuracies)
    spread = statistics.variance(accuracies) / len(accuracies) if len(accuracies) > 1 else 0.0
    return math.sqrt(mean * (1 - mean) / images + spread)


def _accuracy(value: float, error: float) -> str:
    return f"{value * 100:.1f} ± {error * 100:.1f} %"


def _short(value: float) -> str:
    return f"{value / 1e6:.1f}M"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
