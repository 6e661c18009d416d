"""The front of a study as a picture: PNG for a report, interactive HTML for a look around."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nas.analysis.front_tests import FrontTests
from nas.errors import NasError
from nas.objectives import ACCURACY
from nas.pareto import pareto
from nas.report.front.view import Shown
from nas.states import COMPLETE
from nas.text.formatting import counted, shape

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import StudyRow


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


def has_accuracy(trials: pd.DataFrame) -> bool:
    """Whether there is an accuracy to draw, or no complete trial yet."""
    complete = trials[trials["state"] == COMPLETE]
    return complete.empty or bool(complete[ACCURACY.name].notna().any())


def check_accuracy(trials: pd.DataFrame, objectives: Sequence[str]) -> None:
    """Raises NasError for a study whose task has no accuracy."""
    if not has_accuracy(trials):
        raise NasError(
            f"pictures and pages show accuracy, which a study of {', '.join(objectives)} does not have; `nas study pareto` lists "
            "its front"
        )


def plot_front(
    trials: pd.DataFrame,
    objectives: Sequence[str],
    path: Path,
    *,
    title: str,
    subtitle: str = "",
    tests: FrontTests | None = None,
) -> None:
    """Accuracy (%) against each cost, front and published networks marked, to a .png or .html file at `path`.

    With `tests` retrained members have their test accuracy with an error bar of one standard deviation, and published
    networks stand where their papers claim (hollow) and where they were measured here (filled).

    `trials` is what `Store.trials` gives. Trials that gave no result are not shown, untrained ones are counted. Equal trials give
    equal bytes. Raises NasError when the file cannot be written, and for a study without accuracy.
    """
    check_accuracy(trials, objectives)
    complete = trials[trials["state"] == "complete"].drop_duplicates("hash")
    stopped = trials[(trials["state"] == "stopped_early") & trials["accuracy"].notna()]
    stopped = stopped[~stopped["hash"].isin(complete["hash"])]  # not those that were trained to the end after all
    shown = Shown(
        complete,
        stopped.drop_duplicates("hash"),
        pareto(trials, objectives),
        complete[complete["published"].notna()].sort_values("accuracy", ascending=False),
        tuple(name for name in objectives if name != "accuracy") or ("parameters",),
        title,
        subtitle,
        int((trials["state"] == "untrained").sum()),
        tests or FrontTests(),
    )
    if path.suffix.lower() == ".html":
        from nas.report.front.html import write_html

        write_html(shown, path)
    else:
        from nas.report.front.png import write_png

        write_png(shown, path)
