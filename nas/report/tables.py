"""Tables of studies and fronts, for the terminal and as plain records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nas.front.table import front_records, front_table
from nas.front.view import FrontView
from nas.objectives import ACCURACY
from nas.pareto import hypervolume
from nas.statistics.proportion import standard_error
from nas.store.schema import as_stored
from nas.text.formatting import counted, digits, shape
from nas.text.terminal import styled

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from nas.config.task import LoadedTask
    from nas.store import StudyRow


def study_records(studies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Studies as plain data."""
    return [
        {
            "study": row["study"],
            "space": row["space"],
            "data": row["data"],
            "objectives": row["objectives"],
            "trials": int(row["trials"]),
            "complete": int(row["complete"]),
            "untrained": int(row["untrained"]),
            "running": int(row["running"]),
            "best_accuracy": row["best_accuracy"],
            "created_at": str(row["created_at"]),
        }
        for row in studies
    ]


def studies_table(studies: Sequence[Mapping[str, Any]]) -> Table:
    """Studies of a database."""
    table = _table(None)
    for name in ("study", "space", "data"):
        table.add_column(name, no_wrap=True)
    for name in ("complete", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("objectives", min_width=len("parameters,"), overflow="fold")
    table.add_column("begun (UTC)", min_width=len("2026-01-01"))
    for row in study_records(studies):
        best = row["best_accuracy"]
        table.add_row(
            row["study"],
            row["space"],
            row["data"] or "damaged",
            f"{row['complete']} of {row['trials']}" + (f"\n{row['untrained']} untrained" if row["untrained"] else ""),
            "" if best is None else f"{best:.2%}",
            ", ".join(row["objectives"]),
            row["created_at"][:16],
        )
    return table


def summary_record(
    study: StudyRow,
    trials: pd.DataFrame,
    view: FrontView,
    environments: Sequence[Mapping[str, Any]],
    correlations: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """One study as plain data."""
    return {
        "study": study.name,
        "space": study.space_name,
        "data": as_stored(study.task.to_dict()),
        "recipe": as_stored(study.recipe.to_dict()),
        "objectives": list(study.objectives),
        "constraints": {name: asdict(bounds) for name, bounds in study.constraints.items()},
        "counting_rules": study.counting_rules,
        "seed": study.seed,
        "states": dict(Counter(trials["state"])),
        "cached": int(trials["source"].notna().sum()),
        "reasons": [{"state": state, "reason": reason, "trials": n} for (state, reason), n in _reasons(trials)],
        "hypervolume": hypervolume(trials, study.objectives),
        "seconds": float(trials["seconds"].sum()),
        "devices": sorted({str(name) for name in trials["device"].dropna()}),
        "environments": [dict(environment) for environment in environments],
        "rank_correlations": [dict(pair) for pair in correlations],
        "front": front_records(view),
    }


def print_summary(
    console: Console,
    study: StudyRow,
    trials: pd.DataFrame,
    view: FrontView,
    environments: Sequence[Mapping[str, Any]],
    driver: str | None,
    correlations: Sequence[Mapping[str, Any]] = (),
    paused: int = 0,
) -> None:
    """One study for a person: what it searches, how its trials ended, its front, where it was measured."""
    task, recipe = study.task, study.recipe
    facts = {
        "space": study.space_name,
        "data": _task_text(task),
        "recipe": f"{recipe.optimizer}, {counted(recipe.epochs, 'epoch')}, batch {recipe.batch_size}",
        "objectives": ", ".join(study.objectives),
        **_measured(study),
        "trials": ", ".join(f"{n} {state}" for state, n in sorted(Counter(trials["state"]).items())) or "none",
        "training": f"{trials['seconds'].sum():,.0f} s in all",
        "devices": "; ".join(sorted({str(name) for name in trials["device"].dropna()})) or "none yet",
    }
    cached = int(trials["source"].notna().sum())
    if cached:
        facts["trials"] += f"; {cached} of them cached (trained by an earlier trial)"
    if paused:
        facts["trials"] += f"; {paused} paused, with which the next search goes on"
    for name, bounds in study.constraints.items():
        facts[f"max {name}"] = digits(bounds.max) if bounds.max else "none"
    if driver:
        facts["running"] = driver
    for environment in environments[:1]:
        facts["versions"] = ", ".join(
            f"{key} {environment[key]}" for key in ("nas", "torch", "python") if key in environment
        )
    console.print(styled((study.name, "bold")))
    width = max(map(len, facts))
    for name, fact in facts.items():
        console.print(f"  {name:<{width}}  {fact}", soft_wrap=True)
    reasons = _reasons(trials)
    if reasons:
        table = _table("How other trials ended")
        table.add_column("trials", justify="right")
        table.add_column("state", no_wrap=True)
        table.add_column("reason", overflow="fold")
        for (state, reason), number in reasons[:12]:
            table.add_row(str(number), state, reason)
        console.print(table)
    if any(pair["tau"] is not None for pair in correlations):
        console.print(correlations_table(correlations))
    if view.members:
        console.print(front_table(view, "Pareto front"))


def _measured(study: StudyRow) -> dict[str, str]:
    images = study.validation_images
    if images is None:
        return {}
    if ACCURACY.name not in study.objectives:
        return {"measured on": f"{images:,} images"}
    error = f"an accuracy of 75 % has a standard error of {100 * standard_error(0.75, images):.1f} points"
    return {"measured on": f"{images:,} images; {error}"}


def correlations_table(correlations: Sequence[Mapping[str, Any]]) -> Table:
    """How far early epochs foretell later ones: a row an epoch, a column a later one."""
    table = _table("Rank correlation of accuracies between epochs (Kendall's tau; trials)")
    later = sorted({pair["later"] for pair in correlations})
    for name in ("epoch", *(f"at {epoch}" for epoch in later)):
        table.add_column(name, justify="right", no_wrap=True)
    cells = {(pair["epoch"], pair["later"]): pair for pair in correlations if pair["tau"] is not None}
    for epoch in sorted({pair["epoch"] for pair in correlations}):
        found = [cells.get((epoch, other)) for other in later]
        table.add_row(str(epoch), *("" if pair is None else f"{pair['tau']:.2f} ({pair['trials']})" for pair in found))
    return table


def _reasons(trials: pd.DataFrame) -> list[tuple[tuple[str, str], int]]:
    """Reasons of trials that are not complete, the commonest first."""
    others = trials[trials["state"] != "complete"]
    pairs = ((str(state), _text(reason) or "") for state, reason in zip(others["state"], others["reason"], strict=True))
    return Counter(pairs).most_common()


def _table(title: str | None) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None  # a missing value is pandas.NA


def _task_text(task: LoadedTask) -> str:
    """Data set, shape, classes and split, as far as they are known."""
    parts = [task.dataset]
    if task.input is not None:
        parts.append(shape(task.input))
    if task.classes is not None:
        parts.append(f"{task.classes} classes")
    if task.validation is not None:
        parts.append(f"{task.validation:.0%} validation")
    return ", ".join(parts)
