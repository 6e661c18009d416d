"""What ended badly, what papers claim, and what everything was measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from nas.analysis.causes import Cause, causes, significant
from nas.analysis.evidence import Evidence, kind_of_reason
from nas.analysis.replicates import summaries, summary_text
from nas.architecture.cost import FLOAT_BYTES
from nas.errors import NasError
from nas.space.published import PublishedConfig
from nas.store.schema import as_stored
from nas.text.formatting import counted, metric_text, short
from nas.text.markup import Child, Html, section, table, tag, text

if TYPE_CHECKING:
    import pandas as pd

REASONS: Final = 15
CAUSES: Final = 10


def published_section(evidence: Evidence, measurements: pd.DataFrame) -> Html:
    """Published networks of this study: what their papers claim, what was measured."""
    complete = evidence.trials[evidence.trials["published"].notna()].drop_duplicates("published")
    if complete.empty:
        return Html("")
    rows = [_published(row, measurements, evidence.metric.name) for row in complete.to_dict("records")]
    data, epochs = evidence.study.task.dataset, evidence.study.recipe.epochs
    lead = (
        f"In this study the networks were trained like all others ({data}, {epochs} epochs, validation images); a claim "
        "is for the paper's data and recipe, so only a replay (nas replay) can confirm it."
    )
    head = ("network", "claimed accuracy", "replayed, test", "in this study", "other claims", "counted size")
    return section("Published networks", table(head, rows, numbers=range(1, 6)), id="published", lead=lead)


def _published(row: Mapping[str, Any], measurements: pd.DataFrame, metric: str) -> Sequence[Child]:
    name = str(row["published"])
    here = metric_text(metric, row[metric]) if row["state"] == "complete" else str(row["state"])
    counted = f"{row['parameters'] * FLOAT_BYTES / 2**20:.2f} MiB here"
    try:
        config = PublishedConfig.load(name)
    except NasError:
        return (name, "not shipped any more", "", here, "", counted)
    claims: dict[str, list[str]] = {}
    for claim in config.claims:
        claims.setdefault(claim.metric, []).append(f"{claim.printed} {claim.unit} ({claim.table})")
    accuracy = "; ".join(claims.pop("accuracy", ())) + (f", {config.data}" if config.data else "")
    others = [f"{metric} {claim}" for metric, printed in claims.items() for claim in printed]
    return (
        tag("span", name, class_="published"),
        accuracy,
        _replayed(name, measurements) or "–",
        here,
        "; ".join(others),
        counted,
    )


def _replayed(name: str, measurements: pd.DataFrame) -> str:
    found = summaries(measurements[(measurements["kind"] == "replay") & (measurements["published"] == name)])
    return "; ".join(
        f"{summary_text(summary)}, {summary.data}, {counted(summary.epochs, 'epoch')}"
        + (f", {summary.fraction:.0%} of the images" if summary.fraction < 1 else "")
        for summary in found
    )


def failures_section(evidence: Evidence) -> Html:
    """How trials ended, by reason, and what goes together with a bad end."""
    trials = evidence.trials
    others = trials[trials["state"] != "complete"]
    if others.empty:
        return section("How trials ended", tag("p", f"All {len(trials)} are complete.", class_="none"), id="failures")
    counts = Counter(
        (str(state), kind_of_reason(reason) if isinstance(reason, str) else "")
        for state, reason in zip(others["state"], others["reason"], strict=True)
    )
    rows = [(number, state.replace("_", " "), reason) for (state, reason), number in counts.most_common(REASONS)]
    complete = int((trials["state"] == "complete").sum())
    lead = f"{complete:,} of {len(trials):,} are complete; the others by state and reason (numbers left out: …)."
    found = [cause for cause in causes(evidence) if significant(cause)][:CAUSES]
    return section(
        "How trials ended",
        table(("trials", "state", "reason"), rows, numbers=(0,)),
        _causes(found) if found else None,
        id="failures",
        lead=lead,
    )


def _causes(found: Sequence[Cause]) -> Html:
    rows = [
        (
            text([tag("code", cause.name), tag("div", _also(cause), class_="faint small") if cause.also else None]),
            f"{cause.bad} of {cause.trials}",
            f"{cause.rate:.0%}",
            f"{cause.interval[0]:.0%} – {cause.interval[1]:.0%}",
            "" if cause.other_rate is None else f"{cause.other_rate:.0%}",
            ", ".join(f"{state.replace('_', ' ')} {number}" for state, number in cause.states.items()),
        )
        for cause in found
    ]
    head = ("networks with", "ended badly", "rate", "95 % interval", "without it", "how")
    note = "Ends badly more often than chance explains (Fisher's exact test, corrected); nas why shows all."
    title = tag("h3", "What goes together with a bad end")
    return text([title, tag("p", note, class_="lead"), table(head, rows, numbers=(1, 2, 3, 4))])


def _also(cause: Cause) -> str:
    shown = ", ".join(cause.also[:3])
    return f"the same trials: {shown}" + (f" and {len(cause.also) - 3} more" if len(cause.also) > 3 else "")


def setting_section(evidence: Evidence) -> Html:
    """Data, recipe, versions, the space."""
    study, trials = evidence.study, evidence.trials
    begun, ended = trials["started_at"].min(), trials["finished_at"].max()
    bounds = [
        f"{name} {' '.join(f'{side} {short(value)}' for side, value in asdict(limits).items() if value is not None)}"
        for name, limits in study.constraints.items()
    ]
    groups: list[tuple[str, Mapping[str, object]]] = [
        (
            "Study",
            {
                "space": f"{study.space_name} ({study.space_fingerprint})",
                "objectives": ", ".join(study.objectives),
                "constraints": "; ".join(bounds) or "none",
                "seed": study.seed,
                "costs": study.outdated_costs or f"by version {study.counting_rules} of the counting rules",
                "first trial begun": f"{begun:%Y-%m-%d %H:%M} UTC" if len(trials) else "–",
                "last trial ended": f"{ended:%Y-%m-%d %H:%M} UTC" if len(trials) else "–",
                "devices": "; ".join(sorted(set(trials["device"].dropna()))) or "–",
            },
        ),
        ("Data", as_stored(study.task.to_dict())),
        ("Recipe", as_stored(study.recipe.to_dict())),
        *(
            (f"Environment {nth}" if nth > 1 else "Environment", e)
            for nth, e in enumerate(evidence.environments[:3], 1)
        ),
    ]
    facts = [
        tag(
            "div",
            tag("h3", title),
            tag("dl", [(tag("dt", name), tag("dd", _value(value))) for name, value in group.items()]),
        )
        for title, group in groups
    ]
    space = tag("details", tag("summary", "The space file"), tag("pre", study.space_text), class_="file")
    return section("Measured on", tag("div", facts, class_="facts"), space, id="setting")


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return "–" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
