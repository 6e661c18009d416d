"""Notes in Markdown, as the dashboard shows them beside a study and each trial. Pictures are made when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from nas.cost import FLOAT_BYTES
from nas.errors import NasError
from nas.report.analysis.evidence import Evidence, kind_of_reason
from nas.report.text import short
from nas.store import DEFAULT_URL
from nas.study import PublishedConfig

if TYPE_CHECKING:
    from nas.store import Store, StudyRow

FRONT: Final = 25
"""So many networks of a longer front are listed, evenly along it."""
REASONS: Final = 8


def trial_note(study: StudyRow, row: Mapping[str, Any], url: str, curve: bool) -> str:
    """What is known about one trial: costs, result, drawing, learning curve, what to do with it."""
    number, word = row["trial"], f"{row['trial']} --study {study.name}"
    lines = []
    if isinstance(row["published"], str):
        lines += [f"**{row['published']}**, a published network. {_claims(row['published'])}", ""]
    if row["state"] != "complete":
        reason = f": {_plain(row['reason'])}" if isinstance(row["reason"], str) else ""
        lines += [f"**{row['state'].replace('_', ' ')}**{reason}", ""]
    accuracy = f"{row['accuracy']:.2%}" if row["accuracy"] == row["accuracy"] else "–"
    seconds = f"{row['seconds']:,.1f} s" if row["seconds"] == row["seconds"] else "–"
    lines += [
        *_table(
            ("accuracy", "parameters", "float32", "MACs", "peak activations", "epochs", "training"),
            [
                (
                    accuracy,
                    f"{row['parameters']:,}",
                    f"{row['parameters'] * FLOAT_BYTES / 2**20:,.2f} MiB",
                    f"{row['macs']:,}",
                    f"{row['activation_bytes'] / 2**20:,.2f} MiB",
                    str(row["epochs"]),
                    seconds,
                )
            ],
        ),
        "",
        f"![network of trial {number}](/nas/network/{study.id}/{row['hash']}.svg)",
        "",
    ]
    if curve:
        lines += [f"![learning curve of trial {number}](/nas/curve/{study.id}/{number}.svg)", ""]
    where = _where(url)
    lines += [
        "```sh",
        f"nas export {word}{where} -o network.py   # the network as plain PyTorch",
        f"nas retrain --study {study.name} --trial {number}{where}   # train it again, measure it on the test set",
        f"nas diff {number} OTHER --study {study.name}{where}   # compare it with another trial",
        "```",
    ]
    return "\n".join(lines)


def study_note(evidence: Evidence, store: Store, optuna_id: int) -> str:
    """What a study searches and has found: front, published networks, how trials ended, the space."""
    study, trials, front = evidence.study, evidence.trials, evidence.front
    epochs = study.recipe.get("epochs")
    states = ", ".join(f"{n:,} {state.replace('_', ' ')}" for state, n in Counter(trials["state"]).most_common())
    running = f" Running now: {evidence.driver}." if evidence.driver else ""
    lines = [
        f"Space **{study.space_name}**, data **{study.task.get('dataset')}**, {epochs} epochs. "
        f"Trials: {states or 'none yet'}.{running}",
        "",
    ]
    if len(front):
        rows = front.to_dict("records")
        step = max(1, -(-len(rows) // FRONT))
        shown = [*rows[::step], *([rows[-1]] if (len(rows) - 1) % step else [])]
        lines += [
            "### Pareto front",
            "",
            f"![front of {study.name}](/nas/front/{study.id}-{len(trials)}.png)",
            "",
            *_table(
                ("trial", "accuracy", "parameters", "MACs", "published"),
                [
                    (
                        f"[{row['trial']}](/dashboard/studies/{optuna_id}/trials?numbers={row['trial']})",
                        f"{row['accuracy']:.2%}",
                        f"{row['parameters']:,}",
                        short(row["macs"]),
                        row["published"] if isinstance(row["published"], str) else "",
                    )
                    for row in shown
                ],
            ),
            "",
        ]
        if len(shown) < len(rows):
            lines += [f"{len(shown)} of {len(rows)} networks.", ""]
    lines += _published(evidence, store) + _ends(evidence)
    where = _where(store.shown_url)
    lines += [
        "### Space",
        "",
        "```yaml",
        *study.space_text.strip().splitlines(),
        "```",
        "",
        f"A page to keep: `nas report --study {study.name}{where}`. What makes trials fail: `nas why --study {study.name}{where}`.",
    ]
    return "\n".join(lines)


def _published(evidence: Evidence, store: Store) -> list[str]:
    known = evidence.trials[evidence.trials["published"].notna()].drop_duplicates("published")
    if known.empty:
        return []
    measured = store.measurements()
    rows = []
    for row in known.to_dict("records"):
        here = f"{row['accuracy']:.2%}" if row["state"] == "complete" else row["state"].replace("_", " ")
        replays = measured[(measured["kind"] == "replay") & (measured["published"] == row["published"])]
        test = ", ".join(f"{value:.2%}" for value in replays["accuracy"].dropna()) or "–"
        rows.append((row["published"], _claims(row["published"]), test, here, f"{row['parameters']:,}"))
    head = ("network", "the paper claims", "replayed (test)", "in this study (validation)", "parameters")
    return ["### Published networks", "", *_table(head, rows), ""]


def _ends(evidence: Evidence) -> list[str]:
    others = evidence.trials[evidence.trials["state"] != "complete"]
    if others.empty:
        return []
    counts = Counter(
        (state.replace("_", " "), kind_of_reason(reason) if isinstance(reason, str) else "")
        for state, reason in zip(others["state"], others["reason"], strict=True)
    )
    rows = [(f"{n:,}", state, _plain(reason)) for (state, reason), n in counts.most_common(REASONS)]
    return ["### Trials without a result", "", *_table(("trials", "state", "reason"), rows), ""]


def _claims(name: str) -> str:
    try:
        config = PublishedConfig.load(name)
    except NasError:
        return "not shipped any more"
    return "; ".join(f"{claim.metric} {claim.printed} {claim.unit} ({claim.table})" for claim in config.claims)


def _where(url: str) -> str:
    return "" if url == DEFAULT_URL else f" --storage '{url}'"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return [f"| {line} |" for line in lines]


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|!" else letter for letter in " ".join(text.split()))
