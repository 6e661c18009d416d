"""How trials ended and what goes together with a bad end, as tables for a terminal and as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nas.analysis.causes import SIGNIFICANT, Cause, significant
from nas.analysis.evidence import Evidence, kind_of_reason
from nas.text.terminal import styled

if TYPE_CHECKING:
    from rich.console import Console


def why_record(evidence: Evidence, found: Sequence[Cause]) -> dict[str, Any]:
    """What `nas why` shows, as plain data."""
    return {
        "study": evidence.study.name,
        "trials": len(evidence.trials),
        "states": dict(Counter(evidence.trials["state"])),
        "reasons": [
            {"state": state, "reason": reason, "trials": number} for (state, reason), number in _reasons(evidence)
        ],
        "causes": [
            {
                "kind": cause.kind,
                "name": cause.name,
                "same_trials": list(cause.also),
                "trials": cause.trials,
                "bad": cause.bad,
                "rate": cause.rate,
                "interval": list(cause.interval),
                "trials_without": cause.other_trials,
                "rate_without": cause.other_rate,
                "p": cause.p,
                "q": cause.q,
                "significant": significant(cause),
                "states": dict(cause.states),
                "reason": cause.reason,
            }
            for cause in found
        ],
    }


def print_why(console: Console, evidence: Evidence, found: Sequence[Cause], *, everything: bool) -> None:
    """States and reasons; then the causes beyond chance, or all of them."""
    trials = evidence.trials
    states = Counter(trials["state"]).most_common()
    counts = ", ".join(f"{number:,} {state.replace('_', ' ')}" for state, number in states)
    console.print(styled((evidence.study.name, "bold"), f"  {counts or 'no trials yet'}"), soft_wrap=True)
    reasons = _reasons(evidence)
    if reasons:
        table = _table("Reasons")
        table.add_column("trials", justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        table.add_column("reason", overflow="fold")
        for (state, reason), number in reasons[: None if everything else 12]:
            table.add_row(f"{number:,}", state.replace("_", " "), reason)
        console.print(table)
    sure = [cause for cause in found if significant(cause)]
    shown = found if everything else sure
    if shown:
        console.print(_causes(shown, "Networks with" if everything else "Networks that end badly more often"))
    if not any(cause.bad for cause in found):
        console.print("no trial ended badly")
    elif not sure:
        console.print(
            f"nothing goes together with a bad end beyond chance ({len(found)} properties tested, q < {SIGNIFICANT}); "
            "--all lists them",
            soft_wrap=True,
        )
    elif not everything:
        console.print(f"{len(found) - len(sure)} other properties are no different beyond chance; --all lists them")


def _causes(shown: Sequence[Cause], title: str) -> Table:
    table = _table(title)
    table.add_column("block, hyperparameter or choice", overflow="fold", min_width=30)
    for name in ("bad", "rate", "95 %", "without", "q"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("how", overflow="fold", min_width=8)
    for cause in shown:
        table.add_row(
            styled(cause.name, (f"\n= {', '.join(cause.also)}" if cause.also else "", "dim")),
            f"{cause.bad}/{cause.trials}",
            f"{cause.rate:.0%}",
            f"{cause.interval[0]:.0%}–{cause.interval[1]:.0%}",
            "" if cause.other_rate is None else f"{cause.other_rate:.0%}",
            f"{cause.q:.2g}" if cause.q >= 0.0001 else "<0.0001",
            ", ".join(f"{state.replace('_', ' ')} {number}" for state, number in cause.states.items()),
        )
    return table


def _reasons(evidence: Evidence) -> list[tuple[tuple[str, str], int]]:
    others = evidence.trials[evidence.trials["state"] != "complete"]
    return Counter(
        (str(state), kind_of_reason(reason) if isinstance(reason, str) else "")
        for state, reason in zip(others["state"], others["reason"], strict=True)
    ).most_common()


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
