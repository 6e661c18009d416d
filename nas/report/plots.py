"""The front of a study as a picture: PNG for a report, interactive HTML for a look around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.front import pareto
from nas.report.text import counted, shape

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import StudyRow

LABELS: Final = {
    "parameters": "parameters",
    "macs": "multiply-accumulates for one image",
    "activation_bytes": "peak activation bytes for one image",
}
# Okabe and Ito's colours, which people with any colour vision can tell apart.
GREY: Final = "#8b929a"
BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
INK: Final = "#1b2733"
FAINT: Final = "#5d6b78"


@dataclass(frozen=True)
class Shown:
    """What a picture of one study shows."""

    complete: pd.DataFrame
    """Each network once."""
    stopped: pd.DataFrame
    """Stopped early: their accuracy is that of the last epoch they had."""
    front: pd.DataFrame
    published: pd.DataFrame
    costs: tuple[str, ...]
    title: str
    subtitle: str

    def staircase(self, cost: str) -> tuple[list[float], list[float]]:
        """The best accuracy (%) that each cost buys, as the upper left corners of a staircase."""
        best, xs, ys = 0.0, [], []
        ordered = self.front.sort_values([cost, "accuracy"], ascending=[True, False])
        for x, y in zip(ordered[cost], ordered["accuracy"] * 100, strict=True):
            if y > best:
                best = y
                xs.append(float(x))
                ys.append(float(y))
        return xs, ys


def subtitle_of(study: StudyRow) -> str:
    """Space, data and budget of a study in one line, for a picture."""
    task, recipe = study.task, study.recipe
    image = task.get("input")
    parts = [f"space {study.space_name}", f"data {task.get('dataset')}"]
    if isinstance(image, list):
        parts[-1] += f" {shape(image)}"
    if recipe.get("epochs") is not None:
        parts.append(counted(recipe["epochs"], "epoch"))
    return "  ·  ".join(parts)


def plot_front(trials: pd.DataFrame, objectives: Sequence[str], path: Path, *, title: str, subtitle: str = "") -> None:
    """Accuracy (%) against each cost, front and published networks marked, to a .png or .html file at `path`.

    `trials` is what `Store.trials` gives. Trials that gave no result are not shown. Equal trials give equal bytes.
    Raises NasError when the file cannot be written.
    """
    complete = trials[trials["state"] == "complete"].drop_duplicates("hash")
    stopped = trials[(trials["state"] == "stopped_early") & trials["accuracy"].notna()]
    shown = Shown(
        complete,
        stopped.drop_duplicates("hash"),
        pareto(trials, objectives),
        complete[complete["published"].notna()].sort_values("accuracy", ascending=False),
        tuple(name for name in objectives if name != "accuracy") or ("parameters",),
        title,
        subtitle,
    )
    if path.suffix.lower() == ".html":
        from nas.report.plot_html import write_html

        write_html(shown, path)
    else:
        from nas.report.plot_png import write_png

        write_png(shown, path)
