"""Tables of studies and fronts, for the terminal and as plain records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nas.analysis.replicates import accuracy_text
from nas.objectives import ACCURACY, BUILT_IN, LATENCY, OBJECTIVES
from nas.pareto import hypervolume, pareto
from nas.statistics.proportion import standard_error, with_error
from nas.text.formatting import counted, digits, shape, value_text
from nas.text.terminal import styled

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from nas.analysis.front_tests import FrontTests
    from nas.store import StudyRow


def front_records(
    front: pd.DataFrame, tests: FrontTests | None = None, *, images: int | None = None
) -> list[dict[str, Any]]:
    """The trials of a front as plain data, cheapest first; accuracy in [0, 1].

    Measured on so many `images` an accuracy has a standard error; null where their number is not known. With `tests` each has
    what the test set said about it under the key "test"; null when it was not retrained.
    """
    return [
        {
            "trial": int(row["trial"]),
            "hash": str(row["hash"]),
            "accuracy": _number(row["accuracy"]),
            "standard_error": standard_error(float(row["accuracy"]), images)
            if images and _known(row["accuracy"])
            else None,
            "parameters": int(row["parameters"]),
            "macs": int(row["macs"]),
            **{name: float(row[name]) for name in further(row)},
            "state": str(row["state"]),
            "assignment": row["assignment"],
            "published": _text(row["published"]),
            **({"test": tests.record(int(row["trial"]), str(row["hash"]))} if tests else {}),
        }
        for row in front.to_dict("records")
    ]


def further(row: Mapping[str, Any]) -> list[str]:
    """The values of a trial that not every trial has: what was measured of it, or what registered objectives say."""
    return [
        name
        for name in OBJECTIVES
        if name in row and (name == LATENCY.name or name not in BUILT_IN) and row[name] == row[name]
    ]


def front_table(
    front: pd.DataFrame,
    objectives: Sequence[str],
    title: str,
    tests: FrontTests | None = None,
    *,
    images: int | None = None,
) -> Table:
    """A front as a table, cheapest first; with test accuracies and ties where members were retrained.

    An accuracy that was measured on so many `images` has its standard error.
    """
    table = _table(title)
    tested = tests is not None and any(digest in tests.retrained for digest in front["hash"])
    costs = [
        "parameters",
        *(["macs"] if not tested or "macs" in objectives else []),  # eighty columns hold no more
        *(name for name in objectives if name not in (ACCURACY.name, "parameters", "macs")),
    ]
    has_accuracy = bool(front[ACCURACY.name].notna().any())
    headings = [*([ACCURACY.name] if has_accuracy else []), *(OBJECTIVES[name].heading for name in costs)]
    for name in ("trial", *headings, *(("test (seeds)", "vs cheaper") if tested else ("seconds",))):
        table.add_column(name, justify="left" if name == "vs cheaper" else "right", no_wrap=True)
    table.add_column("hash", no_wrap=True)
    published = bool(front["published"].notna().any())
    if published:
        table.add_column("published", overflow="fold")  # the only one that may take a second line in a narrow terminal
    for row in front.to_dict("records"):
        cells = [str(row["trial"]), *([with_error(row["accuracy"], images)] if has_accuracy else [])]
        cells += [value_text(OBJECTIVES[name], row[name]) for name in costs]
        if tests is not None and tested:
            summary, verdict = tests.retrained.get(str(row["hash"])), tests.verdicts.get(int(row["trial"]))
            cells += [accuracy_text(summary.record(), short=True) if summary else "", str(verdict or "")]
        else:
            cells.append(f"{row['seconds']:.1f}")
        table.add_row(*cells, str(row["hash"])[:8], *([_text(row["published"]) or ""] if published else []))
    if tests is not None and tests.verdicts:
        table.caption = "tied, below: on the test set, by Welch's t-test over the seeds (5 %)"
        table.caption_justify = "left"
    return table


def study_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
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
            "best_accuracy": None if row["best_accuracy"] != row["best_accuracy"] else float(row["best_accuracy"]),
            "created_at": str(row["created_at"]),
        }
        for row in frame.to_dict("records")
    ]


def studies_table(frame: pd.DataFrame) -> Table:
    """Studies of a database."""
    table = _table(None)
    for name in ("study", "space", "data"):
        table.add_column(name, no_wrap=True)
    for name in ("complete", "best"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("objectives", min_width=len("parameters,"), overflow="fold")
    table.add_column("begun (UTC)", min_width=len("2026-01-01"))
    for row in study_records(frame):
        best = row["best_accuracy"]
        table.add_row(
            row["study"],
            row["space"],
            row["data"],
            f"{row['complete']} of {row['trials']}" + (f"\n{row['untrained']} untrained" if row["untrained"] else ""),
            "" if best is None else f"{best:.2%}",
            ", ".join(row["objectives"]),
            row["created_at"][:16],
        )
    return table


def summary_record(
    study: StudyRow,
    trials: pd.DataFrame,
    environments: Sequence[Mapping[str, Any]],
    correlations: Sequence[Mapping[str, Any]] = (),
    tests: FrontTests | None = None,
) -> dict[str, Any]:
    """One study as plain data."""
    return {
        "study": study.name,
        "space": study.space_name,
        "data": dict(study.task),
        "recipe": dict(study.recipe),
        "objectives": list(study.objectives),
        "constraints": dict(study.constraints),
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
        "front": front_records(pareto(trials, study.objectives), tests, images=study.validation_images),
    }


def print_summary(
    console: Console,
    study: StudyRow,
    trials: pd.DataFrame,
    environments: Sequence[Mapping[str, Any]],
    driver: str | None,
    correlations: Sequence[Mapping[str, Any]] = (),
    tests: FrontTests | None = None,
) -> None:
    """One study for a person: what it searches, how its trials ended, its front, where it was measured."""
    task, recipe = study.task, study.recipe
    facts = {
        "space": study.space_name,
        "data": _task_text(task),
        "recipe": f"{recipe.get('optimizer')}, {counted(recipe.get('epochs'), 'epoch')}, batch {recipe.get('batch_size')}",
        "objectives": ", ".join(study.objectives),
        **_measured(study),
        "trials": ", ".join(f"{n} {state}" for state, n in sorted(Counter(trials["state"]).items())) or "none",
        "training": f"{trials['seconds'].sum():,.0f} s in all",
        "devices": "; ".join(sorted({str(name) for name in trials["device"].dropna()})) or "none yet",
    }
    cached = int(trials["source"].notna().sum())
    if cached:
        facts["trials"] += f"; {cached} of them cached (trained by an earlier trial)"
    for name, bounds in study.constraints.items():
        facts[f"max {name}"] = digits(bounds["max"]) if isinstance(bounds, dict) and bounds.get("max") else "none"
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
    front = pareto(trials, study.objectives)
    if not front.empty:
        console.print(front_table(front, study.objectives, "Pareto front", tests, images=study.validation_images))


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


def _known(value: float | None) -> bool:
    return value is not None and value == value  # a missing one is NaN


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and _known(value) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None  # a missing value is pandas.NA


def _task_text(task: Mapping[str, object]) -> str:
    """Data set, shape, classes and split, as far as they are known."""
    parts = [str(task.get("dataset"))]
    extents, classes, validation = task.get("input"), task.get("classes"), task.get("validation")
    if isinstance(extents, list):
        parts.append(shape(extents))
    if classes is not None:
        parts.append(f"{classes} classes")
    if isinstance(validation, float):
        parts.append(f"{validation:.0%} validation")
    return ", ".join(parts)
