"""Pictures for notes, made when they are looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture import Architecture
from nas.report.drawing import markup
from nas.report.plots import plot_front, subtitle_of
from nas.report.svg import standalone

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import StudyRow


def network_svg(study: StudyRow, architecture: Architecture) -> bytes:
    """The drawing of a network for the images of a study. Raises KeyError where the study does not say, Infeasible."""
    extents: Any = study.task["input"]
    classes: Any = study.task["classes"]
    return _network(architecture.to_json(), tuple(extents), int(classes))


@lru_cache(maxsize=256)
def _network(text: str, input: tuple[int, ...], classes: int) -> bytes:
    return standalone(markup(Architecture.from_json(text), input, classes, "network")).encode()


def front_png(study: StudyRow, trials: pd.DataFrame) -> bytes:
    """The front of a study."""
    with tempfile.TemporaryDirectory(prefix="nas-") as folder:
        path = Path(folder) / "front.png"
        plot_front(trials, study.objectives, path, title=study.name, subtitle=subtitle_of(study))
        return path.read_bytes()


def curve_svg(points: Sequence[tuple[int, float]]) -> bytes:
    """A learning curve: accuracy (in [0, 1]) after each epoch."""
    width, height, left, top, right, bottom = 460.0, 190.0, 46.0, 24.0, 14.0, 34.0
    last = max(points[-1][0], points[0][0] + 1)
    low, high = min(value for _, value in points), max(value for _, value in points)
    room = max(0.08 * (high - low), 0.01)
    low, high = max(0.0, low - room), min(1.0, high + room)

    def place(epoch: float, value: float) -> tuple[float, float]:
        x = left + (epoch - points[0][0]) / (last - points[0][0]) * (width - left - right)
        return x, height - bottom - (value - low) / (high - low) * (height - top - bottom)

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in (place(*point) for point in points[-60:]))
    grid = ""
    for part in (0.0, 0.5, 1.0):
        value = low + part * (high - low)
        _, y = place(points[0][0], value)
        grid += f'<path d="M{left} {y:.1f}H{width - right}" stroke="#e6e9ec"/>'
        grid += f'<text x="{left - 6}" y="{y + 3.5:.1f}" text-anchor="end">{value:.1%}</text>'
    ends = "".join(
        f'<text x="{place(epoch, low)[0]:.1f}" y="{height - bottom + 15}" text-anchor="middle">{epoch}</text>'
        for epoch in sorted({points[0][0], points[-1][0]})
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="DejaVu Sans,Verdana,sans-serif" font-size="10" '
        f'fill="#5d6b78"><rect width="100%" height="100%" rx="4" fill="#fff"/>{grid}{ends}'
        f'<text x="{left - 6}" y="13">validation accuracy</text>'
        f'<text x="{width - right}" y="{height - 5:.0f}" text-anchor="end">epoch</text>'
        f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="1.6"/><g fill="#0072b2">{dots}</g></svg>'
    ).encode()
