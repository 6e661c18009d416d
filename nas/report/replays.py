"""Published networks as tables: what their papers claim, what is built here, what was measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nas.replay.checking import NOT_CHECKED, NOT_CLAIMED, OFF, REPRODUCED, Check, CheckedClaim
from nas.report.text import counted, shape

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from nas.study import Claim, PublishedConfig

STYLES: Final = {REPRODUCED: "green", OFF: "red", NOT_CLAIMED: "dim", NOT_CHECKED: "dim"}


def first_author(paper: str) -> str:
    """``Kong`` of ``Kong, Mei, Jia and Du, Enhancing …``."""
    return paper.partition(",")[0]


def claim_text(claim: Claim) -> str:
    """``88.97 %``, ``43.39 MiB``, ``top5 95.1 %``."""
    name = "" if claim.metric in ("accuracy", "size") else f"{claim.metric} "
    return f"{name}{claim.printed} {claim.unit}"


def print_check(console: Console, check: Check) -> None:
    """Claimed, built, deviation and verdict of one config, its assumptions below."""
    config = check.config
    if config is None:
        console.print(f"[bold]{check.name}[/bold]")
        return
    console.print(f"[bold]{check.name}[/bold]  {config.title}", highlight=False)
    console.print(Text(config.paper, style="dim"))
    if check.claims:
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("metric")
        for name in ("claimed", "built", "deviation"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("unit")
        table.add_column("verdict", no_wrap=True)
        table.add_column("printed in", style="dim", overflow="fold")
        tables = [claim.table for claim in config.claims]
        for place, claim in enumerate(check.claims):
            table.add_row(
                claim.metric,
                claim.printed,
                _built(claim),
                "" if claim.deviation is None else f"{claim.deviation:+.2%}",
                claim.unit,
                Text(claim.verdict, style=STYLES.get(claim.verdict, "yellow")),
                tables[place] if place < len(tables) else "",
            )
        console.print(Padding(table, (0, 0, 0, 2)))
    for assumption in config.assumptions:
        console.print(Padding(Text(f"assumed: {assumption}", style="dim"), (0, 0, 0, 2)))


def _built(claim: CheckedClaim) -> str:
    if claim.built is None:
        return "needs training"
    # One digit more than the paper has: so that a reader sees what was rounded.
    decimals = 3 if claim.claimed is None else len(claim.printed.partition(".")[2]) + 1
    return f"{claim.built:.{decimals}f}"


def config_records(configs: Sequence[PublishedConfig], measured: pd.DataFrame) -> list[dict[str, Any]]:
    """Published configs with their claims, and one entry for each way in which they were measured here."""
    return [
        {
            "name": config.name,
            "title": config.title,
            "paper": config.paper,
            "data": config.data,
            "input": list(config.input),
            "claims": [
                {"metric": claim.metric, "value": claim.value, "unit": claim.unit, "table": claim.table}
                for claim in config.claims
            ],
            "measured": _groups(measured, config.name),
        }
        for config in configs
    ]


def configs_table(records: Sequence[Mapping[str, Any]], configs: Sequence[PublishedConfig]) -> Table:
    """Published configs for a terminal."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("name", "paper", "data"):
        table.add_column(name, no_wrap=name == "name", overflow="fold")
    table.add_column("claims", overflow="fold")
    table.add_column("measured here (test accuracy)", overflow="fold")
    for record, config in zip(records, configs, strict=True):
        table.add_row(
            record["name"],
            first_author(record["paper"]),
            f"{record['data']} {shape(record['input'])}",
            ", ".join(map(claim_text, config.claims)) or "none",
            "\n".join(map(_measured_text, record["measured"])),
        )
    return table


def _groups(measured: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """Measurements of one published network, those that differ in the seed alone together, the latest way last."""
    from nas.report.measured import summaries

    return [summary.record() for summary in summaries(measured[measured["published"] == name])]


def _measured_text(record: Mapping[str, Any]) -> str:
    from nas.report.measured import accuracy_text

    share = "" if record["fraction"] == 1 else f" of {record['fraction']:.0%}"
    return f"{accuracy_text(record)}  {record['data']}, {counted(record['epochs'], 'epoch')}{share}"
