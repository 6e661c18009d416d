"""Pictures for notes, made when they are looked at."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from nas.architecture.architecture import Architecture
from nas.drawing.draw import markup
from nas.drawing.svg_sheet import standalone
from nas.errors import StorageError
from nas.front.axes import linear
from nas.front.png import PIXELS_PER_INCH, write_png
from nas.front.view import front_view
from nas.objectives import ACCURACY, Objective
from nas.system.temporary_folders import scratch_folder
from nas.text.formatting import words

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import StudyRow

ZOOM: Final = 1.25
"""Magnification of drawings: the page's own letters are large."""


def network_svg(study: StudyRow, architecture: Architecture) -> bytes:
    """The drawing of a network for the images of a study. Raises StorageError where the study does not say, Infeasible."""
    input, classes = study.task.input, study.task.classes
    if input is None or classes is None:
        raise StorageError(f"study '{study.name}' does not say for which images its networks are")
    return _network(architecture.to_json(), input, classes)


@lru_cache(maxsize=256)
def _network(text: str, input: tuple[int, ...], classes: int) -> bytes:
    return standalone(markup(Architecture.from_json(text), input, classes, "network"), ZOOM).encode()


def front_svg(study: StudyRow, trials: pd.DataFrame, measurements: pd.DataFrame) -> bytes:
    """The front of a study, with test accuracies of published networks and retrained members.

    It is a PNG in an SVG that says how large it is to be shown, so that it is sharp on every screen.
    """
    with scratch_folder("picture") as folder:
        path = folder / "front.png"
        write_png(front_view(study, trials, measurements), path)
        picture = path.read_bytes()
    width, height = (round(96 / PIXELS_PER_INCH * int.from_bytes(picture[at : at + 4])) for at in (16, 20))  # of IHDR
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><image width="{width}" '
        f'height="{height}" href="data:image/png;base64,{base64.b64encode(picture).decode()}"/></svg>'
    ).encode()


def curve_svg(points: Sequence[tuple[int, float]], metric: Objective = ACCURACY) -> bytes:
    """A learning curve: the value of a metric after each epoch."""
    scale, unit, floor = (100, " %", 0.0) if metric.is_share else (1, "", None)
    width, height, left, top, right, bottom = 460.0, 190.0, 46.0, 24.0, 14.0, 34.0
    first, last = points[0][0], max(points[-1][0], points[0][0] + 1)
    axis = linear([scale * value for _, value in points], "", unit=unit, margin=0.08, floor=floor)

    def place(epoch: float, percent: float) -> tuple[float, float]:
        x = left + (epoch - first) / (last - first) * (width - left - right)
        return x, height - bottom - axis.at(percent) * (height - top - bottom)

    places = [place(epoch, scale * value) for epoch, value in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places) if len(places) <= 60 else ""
    grid = ""
    for percent, name in axis.ticks:
        _, y = place(first, percent)
        grid += f'<path d="M{left} {y:.1f}H{width - right}" stroke="#e6e9ec"/>'
        grid += f'<text x="{left - 6}" y="{y + 3.5:.1f}" text-anchor="end">{name}</text>'
    ends = "".join(
        f'<text x="{place(epoch, axis.low)[0]:.1f}" y="{height - bottom + 15}" text-anchor="middle">{epoch}</text>'
        for epoch in sorted({points[0][0], points[-1][0]})
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="DejaVu Sans,Verdana,sans-serif" font-size="10" '
        f'fill="#5d6b78"><rect width="100%" height="100%" rx="4" fill="#fff"/>{grid}{ends}'
        f'<text x="{left - 6}" y="13">validation {words(metric.name)}</text>'
        f'<text x="{width - right}" y="{height - 5:.0f}" text-anchor="end">epoch</text>'
        f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="1.6"/><g fill="#0072b2">{dots}</g></svg>'
    ).encode()
