"""Published networks as tables: what their papers claim, what is built here, what was measured here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nas.analysis.replicates import Summary, summaries, summary_text
from nas.network.model_selection import Retrained, of_way
from nas.replays.checking import NO_NETWORK, NOT_CHECKED, NOT_CLAIMED, OFF, REPRODUCED, Check, CheckedClaim
from nas.replays.plan import obstacle
from nas.report.accuracy_tables import print_worth, worth_record
from nas.store.deviations import WORDS, Deviation
from nas.text.formatting import counted, words
from nas.text.terminal import styled

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from nas.replays.jobs import Ran
    from nas.space.published import Claim, PublishedConfig

CLAIMS_WIDTH: Final = 22
MOST_DEVIATIONS: Final = 3
SAID_ELSEWHERE: Final = {"data", *WORDS} - {"initial weights"}
"""Deviations that the row of a measurement tells without them."""
STYLES: Final = {REPRODUCED: "green", OFF: "red", NOT_CLAIMED: "dim", NOT_CHECKED: "dim", NO_NETWORK: "dim"}


def first_author(paper: str) -> str:
    """``Kong`` of ``Kong, Mei, Jia and Du, Enhancing …``, ``Davis`` of ``Davis et al., …``."""
    return (paper.partition(",")[0].split() or [""])[0]


def claim_text(claim: Claim) -> str:
    """``88.97 %``, ``43.39 MiB``, ``top5 95.1 %``: the number and its unit stay on one line."""
    name = f"{claim.metric} " if claim.metric in ("top5", "loss") else ""  # the unit tells of the others
    return f"{name}{claim.printed}\N{NO-BREAK SPACE}{claim.unit}"


def packed(words: Iterable[str], width: int) -> list[str]:
    """Words with commas between them on lines of about `width`, none of them broken: rich would break at any blank."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 2 <= width:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def print_check(console: Console, check: Check) -> None:
    """Claimed, built, deviation and verdict of one config, its assumptions below."""
    config = check.config
    if config is None:
        console.print(styled((check.name, "bold")))
        return
    console.print(styled((check.name, "bold"), f"  {config.title}"))
    console.print(styled((config.paper, "dim")))
    if check.claims:
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("metric")
        for name in ("claimed", "built", "deviation"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("unit")
        table.add_column("verdict", no_wrap=True)
        table.add_column("printed in", style="dim", overflow="fold")
        for claim in check.claims:
            table.add_row(
                claim.metric,
                claim.printed,
                _built(claim),
                "" if claim.deviation is None else f"{claim.deviation:+.2%}",
                claim.unit,
                Text(claim.verdict, style=STYLES.get(claim.verdict, "yellow")),
                claim.table or "",
            )
        console.print(Padding(table, (0, 0, 0, 2)))
    if config.without_network is not None:
        console.print(Padding(Text(f"no network: {config.without_network}"), (0, 0, 0, 2)))
    for assumption in config.assumptions:
        console.print(Padding(styled((f"assumed: {assumption}", "dim")), (0, 0, 0, 2)))


def _built(claim: CheckedClaim) -> str:
    if claim.built is None:
        return "needs training" if claim.verdict == NOT_CHECKED else ""
    # One digit more than the paper has: so that a reader sees what was rounded.
    decimals = 3 if claim.claimed is None else len(claim.printed.partition(".")[2]) + 1
    return f"{claim.built:.{decimals}f}"


def config_records(
    configs: Sequence[PublishedConfig], replays: Mapping[str, Sequence[Summary]]
) -> list[dict[str, Any]]:
    """Published configs with their claims, and one entry for each way in which they were measured here."""
    return [
        {
            "name": config.name,
            "title": config.title,
            "paper": config.paper,
            "data": config.data,
            "input": list(config.input),
            "cannot_be_trained": obstacle(config),
            "claims": [
                {"metric": claim.metric, "value": claim.value, "unit": claim.unit, "table": claim.table}
                for claim in config.claims
            ],
            "measured": [way.record() for way in replays.get(config.name, ())],
        }
        for config in configs
    ]


def print_configs(
    console: Console, configs: Sequence[PublishedConfig], replays: Mapping[str, Sequence[Summary]]
) -> None:
    """Published configs with their claims, and below them those that were measured here."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("name", "paper", "data"):
        table.add_column(name, no_wrap=True)
    table.add_column("claims", no_wrap=True)
    for config in configs:
        claims = "\n".join(packed(map(claim_text, config.claims), CLAIMS_WIDTH))
        data = f"{config.data}{_mark(config)}"
        table.add_row(config.name, first_author(config.paper), data, claims or "none printed")
    console.print(table)
    for line in _footnotes(configs):
        console.print(Text(line, style="dim"), soft_wrap=True)
    ways = [(config, way) for config in configs for way in replays.get(config.name, ())]
    if not ways:
        return
    table = Table(
        title="Test accuracy measured here", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column("name", no_wrap=True)
    table.add_column("claimed", justify="right", no_wrap=True)
    table.add_column("measured", no_wrap=True)
    table.add_column("how", overflow="fold")
    for config, way in ways:
        claimed = ", ".join(claim.printed for claim in config.claims if claim.metric == "accuracy")
        share = "" if way.fraction == 1 else f" of {way.fraction:.3g} of the images"
        how = f"{way.data}, {counted(way.epochs, 'epoch')}{share}{_recipe(way.deviations)}"
        table.add_row(config.name, claimed, summary_text(way), how)
    console.print()
    console.print(table)


def _mark(config: PublishedConfig) -> str:
    if config.without_network is not None:
        return " †"
    return " *" if obstacle(config) else ""


def _footnotes(configs: Sequence[PublishedConfig]) -> list[str]:
    """What the marks of a list mean, one line each."""
    whys = dict.fromkeys(obstacle(config) for config in configs if _mark(config) == " *")
    lines = [f"* trained with --data alone: {why}" for why in whys]
    if any(config.without_network is not None for config in configs):
        lines.append("† no network is built for these claims; `nas replay NAME --check` says why")
    return lines


def _recipe(deviations: Sequence[Deviation | str]) -> str:
    """``; lr 0.1, nesterov yes, schedule one_cycle, 5 more``: what was done otherwise, but for data, epochs and images.

    Sentences of an older version are shown as they are.
    """
    ours = [
        one if isinstance(one, str) else one.brief
        for one in deviations
        if isinstance(one, str) or one.what not in SAID_ELSEWHERE
    ]
    shown = ours[:MOST_DEVIATIONS]
    more = [f"{len(ours) - len(shown)} more"] if len(ours) > len(shown) else []
    return f"; {', '.join([*shown, *more])}" if ours else ""


def ran_record(ran: Ran, pictures: Sequence[Path]) -> dict[str, Any]:
    """What came of a replay or a retraining, as plain data; claims in their own units."""
    plan, rows = ran.plan, ran.measured
    summary = summaries(rows)[0]
    return {
        "name": plan.title,
        "kind": plan.kind,
        "published": plan.published,
        "study": plan.study,
        "trial": plan.trial,
        **summary.record(),
        "trained": list(ran.trained),
        "loss": _mean(rows["loss"]),
        "seconds": float(rows["seconds"].sum()),
        "parameters": plan.cost.parameters,
        "macs": plan.cost.macs,
        "claims": [
            {
                "metric": claim.metric,
                "claimed": claim.value,
                "unit": claim.unit,
                "measured": value,
                "deviation": None if value is None or not plan.on_claimed_data else value - claim.value,
            }
            for claim, value in _measured_claims(ran)
        ],
        "kept": None if (kept := _kept(ran)) is None else worth_record(kept, plan.dataset),
        "files": [str(path) for path in [*map(Path, rows["weights"].dropna()), *pictures]],
    }


def print_ran(console: Console, ran: Ran, pictures: Sequence[Path]) -> None:
    """What came of a replay or a retraining, for a person: claimed beside measured, and what was done otherwise."""
    plan, rows = ran.plan, ran.measured
    summary = summaries(rows)[0]
    console.print(styled((plan.title, "bold"), f"  test {words(plan.metric)} {summary_text(summary)}"), soft_wrap=True)
    claims = _measured_claims(ran)
    if claims:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("metric", "claimed", "measured", "difference", "unit", "printed in"):
            numeric = name in ("claimed", "measured", "difference")
            table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric)
        for claim, value in claims:
            shown = "" if value is None else f"{value:.{max(2, claim.decimals)}f}"
            gap = "" if value is None else f"{value - claim.value:+.{max(2, claim.decimals)}f}"
            gap = gap if plan.on_claimed_data else "other data"
            table.add_row(claim.metric, claim.printed, shown, gap, claim.unit, claim.table)
        console.print(Padding(table, (0, 0, 0, 2)))
    if (kept := _kept(ran)) is not None:
        print_worth(console, kept, plan.dataset)
    for line in rows.iloc[-1]["deviations"]:
        console.print(f"  {'deviation' if plan.kind == 'replay' else 'otherwise'}    {line}", soft_wrap=True)
    for state, reason in rows[rows["state"] != "complete"][["state", "reason"]].itertuples(index=False):
        console.print(f"  {state:<11}  {reason}", soft_wrap=True)
    console.print(f"  measured on  {summary.device}, {_where(rows)}", soft_wrap=True)
    for path in pictures:
        console.print(f"  picture      {path}", soft_wrap=True)
    console.print(f"  folder       {ran.folder}", soft_wrap=True)


def _kept(ran: Ran) -> Retrained | None:
    """The training of a retraining that is kept; nothing is chosen among the seeds of a replay."""
    return of_way(ran.measured) if ran.plan.kind == "retrain" else None


def _measured_claims(ran: Ran) -> list[tuple[Claim, float | None]]:
    """The claims that training can tell of, and what was measured in their units, as a mean over the seeds."""
    complete = ran.measured[ran.measured["state"] == "complete"]
    scale = {"accuracy": 100.0, "top5": 100.0, "loss": 1.0}
    found: list[tuple[Claim, float | None]] = []
    for claim in ran.plan.claims:
        if claim.metric in scale:
            mean = _mean(complete[claim.metric])
            found.append((claim, None if mean is None else mean * scale[claim.metric]))
    return found


def _mean(values: pd.Series) -> float | None:
    mean = float(values.mean())
    return None if math.isnan(mean) else mean


def _where(rows: pd.DataFrame) -> str:
    seconds = float(rows["seconds"].sum())
    images = [epoch["images_per_second"] for curve in rows["curve"] for epoch in curve]
    pace = f", {np.median(images):,.0f} images/s" if images else ""
    precision = rows.iloc[-1]["recipe"].precision
    return f"{precision}, {len(rows)} × {counted(len(rows.iloc[0]['curve']), 'epoch')}, {seconds:,.0f} s{pace}"
