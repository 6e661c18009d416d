"""How the search went: hypervolume over trials and over training time."""

from __future__ import annotations

from collections.abc import Sequence

from nas.analysis.evidence import Evidence
from nas.analysis.trajectory import trajectory
from nas.front.axes import linear
from nas.report.page.plot import plot, steps
from nas.text.markup import Html, section, tag


def progress_section(evidence: Evidence) -> Html:
    """Two plots side by side."""
    if evidence.complete.empty:
        return Html("")
    way = trajectory(evidence.trials, evidence.study.objectives)
    unit, factor = time_unit(way.hours[-1])
    device = "GPU " if evidence.trials["device"].dropna().str.startswith("cuda").all() else ""
    lead = (
        "Hypervolume of the front: the share of the scaled objective space (error, logarithm of each cost) that it "
        "dominates. More is better; the scale is fixed, so studies compare."
    )
    times = [hours * factor for hours in way.hours]
    return section(
        "Progress",
        tag(
            "div",
            _plot([float(n) for n in way.trials], way.hypervolume, "finished trials", whole=True),
            _plot(times, way.hypervolume, f"{device}training time of all trials, in {unit}"),
            class_="pair",
        ),
        id="progress",
        lead=lead,
    )


def time_unit(hours: float) -> tuple[str, float]:
    """The unit in which a time reads well, and how many there are in an hour."""
    return ("hours", 1.0) if hours >= 1.5 else ("minutes", 60.0) if hours >= 1.5 / 60 else ("seconds", 3600.0)


def _plot(xs: Sequence[float], volumes: Sequence[float], label: str, *, whole: bool = False) -> Html:
    x = linear([0.0, max(max(xs), 1e-6)], label, margin=0.02, floor=0.0, whole=whole)
    later = volumes[max(1, len(volumes) // 20) :] or volumes  # the first jump from nothing would flatten the rest
    y = linear([min(later), max(max(volumes), min(later) + 1e-6)], "hypervolume", margin=0.08, floor=0.0)
    points = [(a, max(b, y.low)) for a, b in zip(xs, volumes, strict=True)]
    return plot(x, y, [steps("blue", x, y, points)], label=f"Hypervolume against {label}, at the end {volumes[-1]:.4f}")
