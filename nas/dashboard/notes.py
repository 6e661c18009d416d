"""Notes in Markdown, as the dashboard shows them beside a study and each trial. Pictures are made when they are asked for."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from nas.analysis.evidence import Evidence, kind_of_reason
from nas.analysis.replicates import Summary, summaries, summary_text
from nas.architecture.cost import FLOAT_BYTES
from nas.config.shipped_files import every
from nas.front.table import TIED, Column, columns
from nas.front.view import front_view, further, search_error
from nas.objectives import OBJECTIVES, metric_of
from nas.space.published import PublishedConfig
from nas.store import DEFAULT_URL
from nas.text.formatting import counted, metric_text, short, value_text
from nas.text.markdown import block, code, folded, plain, table

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import StudyRow

FRONT: Final = 25
"""So many networks of a longer front are listed, evenly along it."""
REASONS: Final = 8


@dataclass(frozen=True)
class Tested:
    """What the test set said about networks of a study."""

    study: StudyRow
    measurements: pd.DataFrame
    """Retrainings and replays, as `Store.measurements` gives them."""

    @cached_property
    def retrained(self) -> Mapping[str, Summary]:
        """Members of this study that were trained again, by hash."""
        ours = (self.measurements["kind"] == "retrain") & (self.measurements["study"] == self.study.name)
        return {summary.hash: summary for summary in summaries(self.measurements[ours])}

    @cached_property
    def replayed(self) -> Mapping[str, Sequence[Summary]]:
        """Replays of published networks, by name."""
        found: dict[str, list[Summary]] = {}
        for summary in summaries(self.measurements[self.measurements["kind"] == "replay"]):
            found.setdefault(str(summary.published), []).append(summary)
        return found

    def of(self, row: Mapping[str, Any]) -> list[str]:
        """A line for each way in which the network of a trial was measured on a test set."""
        lines = []
        if (again := self.retrained.get(row["hash"])) is not None:
            lines.append(f"Trained again, on the test set: **{_accuracy(again)}**.")
        name = row["published"]
        replays = self.replayed.get(name, ()) if isinstance(name, str) else ()
        return lines + [
            f"Replayed as published, on the test set: **{_accuracy(replay)}**, {_way(replay)}." for replay in replays
        ]


def trial_note(
    study: StudyRow,
    row: Mapping[str, Any],
    url: str,
    curve: bool,
    tested: Sequence[str] = (),
    *,
    choices: bool = False,
) -> str:
    """What is known about one trial: costs, result, drawing, learning curve, what to do with it.

    `row` is one of `Store.trials`; `tested` are lines of `Tested.of`; with `choices` all of them are listed by path.
    """
    number = row["trial"]
    lines = []
    if isinstance(row["published"], str):
        lines += [
            f"{code(row['published'])}, a published network. Its paper claims: {_claims(row['published'])}",
            "",
        ]
    if row["state"] != "complete":
        reason = f": {code(row['reason'])}" if isinstance(row["reason"], str) else ""
        lines += [f"**{plain(row['state'].replace('_', ' '))}**{reason}", ""]
    for line in tested:
        lines += [line, ""]
    drawing = f"/nas/network/{study.id}/{row['hash']}.svg"
    cells = _cells(row, study)
    lines += [
        *table(list(cells), [list(cells.values())], range(len(cells))),
        "",
        f"[![network of trial {number}]({drawing})]({drawing})",
        "",
    ]
    if curve:
        lines += [f"![learning curve of trial {number}](/nas/curve/{study.id}/{number}.svg)", ""]
    where = f" --study {shlex.quote(study.name)}{_where(url)}"
    commands = [
        (f"nas export {number}{where} -o network.py", "the network as plain PyTorch"),
        (f"nas retrain --trial {number}{where}", "train it again, measure it on the test set"),
        (f"nas diff {number} OTHER{where}", "compare it with another trial"),
    ]
    if isinstance(row["published"], str):
        commands.append((f"nas replay {shlex.quote(row['published'])}{_where(url)}", "train it as its paper does"))
    lines += block("sh", "\n".join(f"# {what}\n{command}" for command, what in commands))
    if choices:
        lines += ["", "Its choices:", "", *block("yaml", "\n".join(_chosen(row["assignment"])))]
    return "\n".join(lines)


def _chosen(assignment: Mapping[str, Any]) -> list[str]:
    return [f"{path}: {str(value).lower() if isinstance(value, bool) else value}" for path, value in assignment.items()]


def study_note(evidence: Evidence, tested: Tested, url: str, optuna_id: int) -> str:
    """What a study searches and has found: front, published networks, how trials ended, the space."""
    study, trials = evidence.study, evidence.trials
    states = ", ".join(f"{n:,} {state.replace('_', ' ')}" for state, n in Counter(trials["state"]).most_common())
    running = f" Running now: {code(evidence.driver)}." if evidence.driver else ""
    data, epochs = code(study.task.dataset), study.recipe.epochs
    lines = [
        f"Space {code(study.space_name)}, data {data}, {counted(epochs, 'epoch')}. "
        f"Trials: {plain(states) or 'none yet'}.{running}",
        "",
        *([plain(study.outdated_costs), ""] if study.outdated_costs else []),
        *_front(evidence, tested, optuna_id),
        *_published(evidence, tested),
        *_ends(evidence),
        "### What next",
        "",
    ]
    where = f" --study {shlex.quote(study.name)}{_where(url)}"
    commands = [
        (f"nas report{where}", "a page to keep"),
        (f"nas why{where}", "what makes trials fail"),
        (f"nas retrain{where}", "the front on the test set"),
    ]
    lines += block("sh", "\n".join(f"# {what}\n{command}" for command, what in commands))
    return "\n".join([*lines, "", "### Space", "", *block("yaml", folded(study.space_text))])


def _front(evidence: Evidence, tested: Tested, optuna_id: int) -> list[str]:
    view = front_view(evidence.study, evidence.trials, tested.measurements, published=False)
    if not view.members:
        return []
    number = len(view.members)
    step = max(1, -(-number // FRONT))
    shown = sorted({*range(0, number, step), number - 1})
    picture = f"/nas/front/{evidence.study.id}-{len(evidence.trials)}-{len(tested.measurements)}.svg"
    found = columns(view)
    links = [f"[{one.trial}](/dashboard/studies/{optuna_id}/trials?numbers={one.trial})" for one in view.members]
    cells = [[links[nth], *(_cell(column, nth) for column in found[1:])] for nth in shown]
    right = [nth for nth, column in enumerate(found) if not column.is_text]
    listed = [f"{len(shown)} of {number} networks.", ""] if len(shown) < number else []
    tied = [plain(TIED), ""] if view.is_tested else []
    head = [column.name for column in found]
    return [
        "### Pareto front",
        "",
        f"{plain(view.counts)}.",
        "",
        f"![front of the study]({picture})",
        "",
        *table(head, cells, right),
        "",
        *listed,
        *tied,
    ]


def _cell(column: Column, nth: int) -> str:
    text = column.cells[nth]
    return code(text) if text and column.name == "published" else plain(text)


def _published(evidence: Evidence, tested: Tested) -> list[str]:
    known = evidence.trials[evidence.trials["published"].notna()].drop_duplicates("published")
    if known.empty:
        return []
    rows = []
    for row in known.to_dict("records"):
        name = row["published"]
        metric = metric_of(evidence.study.objectives).name
        here = metric_text(metric, row[metric]) if row["state"] == "complete" else plain(row["state"].replace("_", " "))
        replays = "; ".join(f"{_accuracy(replay)}, {_way(replay)}" for replay in tested.replayed.get(name, ()))
        rows.append((code(name), _claims(name), replays or "–", here, f"{row['parameters']:,}"))
    head = ("network", "its paper claims", "replayed (test)", "in this study (validation)", "parameters")
    return ["### Published networks", "", *table(head, rows, (3, 4)), ""]


def _ends(evidence: Evidence) -> list[str]:
    others = evidence.trials[evidence.trials["state"] != "complete"]
    if others.empty:
        return []
    counts = Counter(
        (state.replace("_", " "), kind_of_reason(reason) if isinstance(reason, str) else "")
        for state, reason in zip(others["state"], others["reason"], strict=True)
    )
    rows = [(f"{n:,}", plain(state), code(reason)) for (state, reason), n in counts.most_common(REASONS)]
    return ["### Trials without a result", "", *table(("trials", "state", "reason"), rows, (0,)), ""]


def _cells(row: Mapping[str, Any], study: StudyRow) -> dict[str, str]:
    """Result and costs of a trial, by their headings; what the study chooses by first, with its error where it is known."""
    metric, images = metric_of(study.objectives), study.validation_images
    value = row[metric.name]
    cells = {
        metric.heading: metric_text(metric.name, value, search_error(value, metric, images)) or "–",
        "parameters": f"{row['parameters']:,}",
        "float32": f"{row['parameters'] * FLOAT_BYTES / 2**20:,.2f} MiB",
        "MACs": short(row["macs"]),
        "peak activations": f"{row['activation_bytes'] / 2**20:,.2f} MiB",
    }
    for name in [name for name in further(row) if name != metric.name]:
        cells[name.replace("_", " ")] = value_text(OBJECTIVES[name], row[name], unit=True)
    seconds = f"{row['seconds']:,.1f} s" if row["seconds"] == row["seconds"] else "–"
    return cells | {"epochs": str(row["epochs"]), "training": seconds}


@lru_cache(maxsize=256)
def _claims(name: str) -> str:
    if name not in {path.stem for path in every("studies")}:  # a name of a database is no file to read
        return "the config is not shipped any more"
    config = PublishedConfig.load(name)
    return plain("; ".join(f"{claim.metric} {claim.printed} {claim.unit} ({claim.table})" for claim in config.claims))


def _accuracy(summary: Summary) -> str:
    return plain(summary_text(summary))


def _way(summary: Summary) -> str:
    share = "" if summary.fraction == 1 else f", {summary.fraction:.0%} of the images"
    return f"{code(summary.data)}, {counted(summary.epochs, 'epoch')}{share}"


def _where(url: str) -> str:
    return "" if url == DEFAULT_URL else f" --storage {shlex.quote(url)}"
