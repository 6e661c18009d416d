"""Test accuracies as marks of the front's plot: retrained, replayed, claimed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nas.analysis.evidence import Evidence
from nas.analysis.front_tests import FrontTests
from nas.analysis.replicates import accuracy_text
from nas.objectives import OBJECTIVES
from nas.report.tables import further
from nas.text.formatting import short, value_text

LOOKS: Final = ("blue", "pale", "orange", "open")
"""In the order of the legend."""


@dataclass(frozen=True)
class Mark:
    """A test accuracy in the plot."""

    look: str
    kind: str
    """As in the legend."""
    name: str
    cost: float
    accuracy: float
    """In per cent, like its deviation."""
    deviation: float
    says: str
    costs: str
    published: str | None = None


def marks_of(evidence: Evidence, tests: FrontTests, cost: str) -> list[Mark]:
    """What was measured on a test set (filled), or is claimed for one (hollow)."""
    found = []
    for row in evidence.complete.to_dict("records"):
        summary = tests.retrained.get(str(row["hash"]))
        if summary is None or summary.mean is None:
            continue
        verdict = tests.verdicts.get(int(row["trial"]))
        kind = "retrained, on the test set" if verdict is None else "retrained, no better than a cheaper one"
        name = f"trial {row['trial']} · {kind}" if verdict is None else f"trial {row['trial']} · {verdict}"
        deviation = 100 * (summary.deviation or 0.0)
        text = accuracy_text(summary.record())
        look = "blue" if verdict is None else "pale"
        found.append(Mark(look, kind, name, float(row[cost]), 100 * summary.mean, deviation, text, cost_text(row)))
    for point in tests.published:
        if cost not in point.costs:
            continue
        at, costs = point.costs[cost], cost_text(point.costs)
        if point.replayed is not None and point.replayed.mean is not None:
            mean, deviation = 100 * point.replayed.mean, 100 * (point.replayed.deviation or 0.0)
            text = accuracy_text(point.replayed.record())
            name = f"{point.name} · replayed, on the test set"
            found.append(
                Mark("orange", "replayed, on the test set", name, at, mean, deviation, text, costs, point.name)
            )
        if point.claimed is not None:
            kind = f"claimed for {point.data}"
            name = f"{point.name} · {kind} by its paper"
            text = f"{point.claimed:g} %"
            found.append(Mark("open", kind, name, at, point.claimed, 0.0, text, costs, point.name))
    return sorted(found, key=lambda mark: LOOKS.index(mark.look))


def cost_text(costs: Mapping[str, Any]) -> str:
    """``4.61k parameters · 530k MACs``, and what was measured or registered, such as ``1.84 ms``."""
    parts = [f"{short(costs['parameters'])} parameters", f"{short(costs['macs'])} MACs"]
    for name in further(costs):
        row = OBJECTIVES[name]
        parts.append(
            value_text(row, costs[name], unit=True) if row.unit else f"{row.heading} {value_text(row, costs[name])}"
        )
    return " · ".join(parts)
