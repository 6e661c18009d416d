"""The end of a search with `--retrain`: the networks that were trained again, and the one to use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nas.network.model_selection import Retrained, of_way
from nas.report.accuracy_tables import estimate_text, print_worth, worth_record
from nas.text.formatting import metric_text, short, words
from nas.text.terminal import styled

if TYPE_CHECKING:
    from rich.console import Console

    from nas.replays.jobs import Ran
    from nas.searches.final_network import Final


def final_record(final: Final) -> dict[str, Any]:
    """The final network as plain data."""
    near = final.cheaper
    return {
        **_facts(final.network),
        **worth_record(final.network, final.ran.plan.dataset),
        "cheaper_within_one_standard_error": None if near is None else _facts(near),
    }


def print_retrained(console: Console, rans: Sequence[Ran]) -> None:
    """One row for each network that was retrained."""
    metric = words(rans[0].plan.metric)
    title = f"Retrained: mean validation {metric} of all seeds; the kept one"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in ("trial", "mean", "kept", "validation", "test", "parameters", "MACs"):
        table.add_column(name, justify="right", no_wrap=True)
    for ran in rans:
        way = of_way(ran.measured)
        if way is None:
            states = ", ".join(sorted(set(ran.measured["state"]))) or "not trained"
            table.add_row(str(ran.plan.trial), states)
            continue
        table.add_row(str(way.trial), *_row(way))
    console.print(table)


def print_final(console: Console, final: Final) -> None:
    """The final network: what it is worth, and what is nearly as good and smaller."""
    network = final.network
    console.print(styled(("final network", "bold"), f"  {final.ran.plan.title}: {_size(network)}"), soft_wrap=True)
    among = len(final.candidates)
    mean = f"mean validation {words(network.metric)}, {_mean(network)}"
    console.print(
        f"  chosen       the best of {among} by {mean}"
        if among > 1
        else f"  chosen       the only one that was retrained; {mean}",
        soft_wrap=True,
    )
    print_worth(console, network, final.ran.plan.dataset)
    near = final.cheaper
    if near is not None:
        console.print(
            f"  smaller      trial {near.trial} ({_size(near)}) is within one standard error of it: {_mean(near)}",
            soft_wrap=True,
        )
    console.print(f"  weights      {network.kept['weights']}", soft_wrap=True)


def _row(way: Retrained) -> list[str]:
    shown = [estimate_text(score, way.metric) for score in (way.validation, way.test)]
    return [_mean(way), str(way.seed), *shown, f"{way.parameters:,}", short(way.macs)]


def _mean(way: Retrained) -> str:
    return metric_text(way.metric, way.mean, way.error)


def _size(way: Retrained) -> str:
    return f"{way.parameters:,} parameters, {short(way.macs)} MACs"


def _facts(way: Retrained) -> dict[str, Any]:
    return {
        "trial": way.trial,
        "hash": way.hash,
        "parameters": way.parameters,
        "macs": way.macs,
        "validation_mean": way.mean,
        "validation_mean_error": way.error,
    }
