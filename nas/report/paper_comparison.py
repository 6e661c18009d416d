"""Several networks of one paper that were replayed together, in one table, as the paper prints its comparison or ablation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nas.replays.checking import in_units
from nas.space.published import UNITS
from nas.text.formatting import counted

if TYPE_CHECKING:
    from rich.console import Console

    from nas.replays.jobs import Ran

TRAINED: Final = {"accuracy": 100.0, "top5": 100.0, "loss": 1.0}
"""What training tells of, and the factor from what is stored to the unit of claims."""


def comparisons(rans: Sequence[Ran]) -> list[list[Ran]]:
    """The replays of each paper of which at least two networks were trained, in the order in which they were named."""
    papers: dict[str, list[Ran]] = {}
    for ran in rans:
        if ran.plan.paper:
            papers.setdefault(ran.plan.paper, []).append(ran)
    return [group for group in papers.values() if len(group) > 1]


def metrics(group: Sequence[Ran]) -> list[str]:
    """What the paper prints of any of these networks, and accuracy in any case."""
    printed = {claim.metric for ran in group for claim in ran.plan.claims}
    return [metric for metric in UNITS if metric in printed or metric == "accuracy"]


def measured(ran: Ran, metric: str) -> list[float]:
    """What is known here of a network in the unit of claims: a value a seed, or the one that is exact before training."""
    if metric in TRAINED:
        complete = ran.measured[ran.measured["state"] == "complete"]
        return [float(value) * TRAINED[metric] for value in complete[metric]]
    return [in_units(ran.plan.cost.parameters, ran.plan.cost.macs)[metric]]


def print_comparison(console: Console, group: Sequence[Ran], pictures: Sequence[Path]) -> None:
    """Paper beside here for every metric that the paper prints, one row a network."""
    console.print()
    console.print(Text(group[0].plan.paper, style="bold"))
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("\nnetwork", no_wrap=True)
    for metric in metrics(group):
        table.add_column(f"{metric} ({UNITS[metric]})\npaper", justify="right", no_wrap=True)
        table.add_column("\nhere", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for ran in group:
        cells: list[str] = []
        for metric in metrics(group):
            claims = [claim for claim in ran.plan.claims if claim.metric == metric]
            decimals = max([2, *(claim.decimals for claim in claims)])
            cells += [" / ".join(claim.printed for claim in claims), _spread(measured(ran, metric), decimals)]
        table.add_row(ran.plan.title, *cells, _how(ran))
    console.print(Padding(table, (0, 0, 0, 2)))
    for path in pictures:
        console.print(f"  picture      {path}", soft_wrap=True)


def comparison_record(group: Sequence[Ran], pictures: Sequence[Path]) -> dict[str, Any]:
    """The networks that one of the group was compared with, as plain data."""
    return {"networks": [ran.plan.title for ran in group], "files": [str(path) for path in pictures]}


def _spread(values: Sequence[float], decimals: int) -> str:
    if not values:
        return "–"
    mean = f"{np.mean(values):.{decimals}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{decimals}f}"


def _how(ran: Ran) -> str:
    """``3 seeds``, and the states of those that did not complete."""
    return ", ".join([counted(len(ran.measured), "seed"), *sorted(set(ran.measured["state"]) - {"complete"})])
