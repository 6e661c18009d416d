"""Several networks of one paper in one picture: accuracies beside the paper's, curves over one another, Grad-CAM row by row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nas.drawing.matplotlib_sheet import letters, save
from nas.errors import NasError
from nas.front.png import BLUE, GREY, INK, ORANGE
from nas.report.paper_comparison import measured
from nas.report.published_tables import first_author
from nas.report.training_pictures import PIXELS_PER_INCH, Seen, data_name, look, plain, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nas.replays.jobs import Ran

COLOURS: Final = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
"""Colours of networks: Okabe and Ito's, which people with any colour vision can tell apart; from the eighth on they begin anew."""


def draw_comparison(group: Sequence[Ran]) -> list[Path]:
    """Draws a group of `comparisons` into a folder beside those of its networks. Returns the pictures that are there.

    Raises NasError when a file cannot be written.
    """
    keys = "".join(sorted(ran.plan.key for ran in group))
    author = first_author(group[0].plan.paper).lower()
    folder = group[0].folder.parent / f"{author}-compared-{hashlib.sha256(keys.encode()).hexdigest()[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise NasError(f"{folder}: cannot be written: {problem.strerror or problem}") from None
    _draw_curves(group, folder / "comparison.png")
    _draw_gradcam(group, folder / "gradcam.png")
    return [path for path in (folder / "comparison.png", folder / "gradcam.png") if path.exists()]


def _draw_curves(group: Sequence[Ran], path: Path) -> None:
    height = 3.7 + 0.12 * max(0, len(group) - 4)
    figure = titled(12.6, height, _title(group), [_data(group)])
    bounds = {"left": 0.02 + 0.0078 * max(len(ran.plan.title) for ran in group), "right": 0.985}
    accuracy, loss, learned = figure.subplots(1, 3, gridspec_kw={**bounds, "top": 0.82, "bottom": 0.14, "wspace": 0.28})
    _accuracies(accuracy, group)
    validated = any(epoch["loss"] is not None for ran in group for curve in ran.measured["curve"] for epoch in curve)
    _curves(loss, group, "train_loss", "loss", 1, "cross-entropy", validated)
    _curves(learned, group, "train_accuracy", "accuracy", 100, "accuracy (%)", validated)
    save(figure, path, dpi=PIXELS_PER_INCH)


def _accuracies(axes: Axes, group: Sequence[Ran]) -> None:
    """Hollow what the paper prints, filled what was measured here, with the deviation over the seeds."""
    for row, ran in enumerate(group):
        colour = COLOURS[row % len(COLOURS)]
        for claim in ran.plan.claims:
            if claim.metric == "accuracy":
                axes.plot([claim.value], [row], "D", mfc="white", mec=colour, ms=7, mew=1.6, zorder=3)
        values = measured(ran, "accuracy")
        if values:
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            axes.errorbar(
                [float(np.mean(values))], [row], xerr=[spread], fmt="o", color=colour, ms=7, capsize=3, zorder=4
            )
    plain(axes)
    axes.set_ylim(len(group) - 0.5, -0.5)
    axes.set_yticks(range(len(group)), [letters(ran.plan.title) for ran in group])
    axes.set_xlabel("test accuracy (%)", color=INK)
    marks = [
        Line2D([], [], ls="", marker="D", mfc="white", mec=GREY, mew=1.6, label=f"paper ({group[0].plan.claimed_on})"),
        Line2D([], [], ls="", marker="o", color=GREY, label="here"),
    ]
    axes.legend(handles=marks, frameon=False, fontsize=8.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _curves(
    axes: Axes, group: Sequence[Ran], training: str, validation: str, scale: float, name: str, validated: bool
) -> None:
    """A network a colour, a seed a line; what was measured on held-out images is solid, on training images dashed."""
    last = 1
    for row, ran in enumerate(group):
        for curve in ran.measured["curve"]:
            for key, style in ((training, (0, (4, 2)) if validated else "-"), (validation, "-")):
                points = [(epoch["epoch"], epoch[key] * scale) for epoch in curve if epoch[key] is not None]
                if points:
                    xs, ys = zip(*points, strict=True)
                    marker = "o" if len(points) < 12 else None
                    axes.plot(
                        xs, ys, ls=style, color=COLOURS[row % len(COLOURS)], lw=1.3, alpha=0.85, marker=marker, ms=3
                    )
                    last = max(last, xs[-1])
    plain(axes)
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylabel(name, color=INK)
    axes.set_xlim(min(1, last - 1) - 0.02 * last, last * 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    styles = [("validation", "-"), ("training", (0, (4, 2)))] if validated else [("training", "-")]
    lines = [Line2D([], [], color=GREY, ls=style, label=label) for label, style in styles]
    axes.legend(handles=lines, frameon=False, fontsize=8.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _draw_gradcam(group: Sequence[Ran], path: Path) -> None:
    """The images, and below them a row a network; as figure 2 of Kong et al. has it."""
    path.unlink(missing_ok=True)
    if len({ran.plan.dataset.task for ran in group}) > 1:
        return  # they saw other images
    looks = [(ran, seen) for ran in group if (seen := look(ran)) is not None]
    if len(looks) < 2:
        return
    count = len(looks[0][1].chosen)
    width, height = 1.28 * count + 1.9, 1.28 * (len(looks) + 1) + 0.85
    figure = titled(width, height, _title(group), [f"Grad-CAM for the predicted class  ·  {_data(group)}"])
    rows = figure.subplots(len(looks) + 1, count, squeeze=False)
    top = 1 - 0.8 / height
    figure.subplots_adjust(
        left=1.75 / width, right=1 - 0.1 / width, top=top, bottom=0.1 / height, wspace=0.06, hspace=0.06
    )
    for column, image in enumerate(looks[0][1].images):
        rows[0, column].imshow(image, interpolation="nearest")
        rows[0, column].set_title(letters(looks[0][1].true[column]), fontsize=8.5, color=INK, pad=4)
    for place, (ran, seen) in enumerate(looks, start=1):
        _row(rows[place], ran, seen)
    for axes in rows.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    save(figure, path, dpi=PIXELS_PER_INCH)


def _row(row: Sequence[Axes], ran: Ran, seen: Seen) -> None:
    for axes, picture, true, predicted in zip(row, seen.overlays, seen.true, seen.predicted, strict=True):
        axes.imshow(picture, interpolation="nearest")
        if true != predicted:
            axes.text(
                0.04,
                0.05,
                letters(f"as {predicted}"),
                transform=axes.transAxes,
                fontsize=7.5,
                color="white",
                bbox={"facecolor": ORANGE, "edgecolor": "none", "pad": 1.5},
            )
    label = f"{ran.plan.title}\n{seen.layer}"
    row[0].set_ylabel(letters(label), rotation=0, ha="right", va="center", fontsize=8.5, color=INK, labelpad=6)


def _title(group: Sequence[Ran]) -> str:
    return f"{first_author(group[0].plan.paper)}: {len(group)} networks replayed"


def _data(group: Sequence[Ran]) -> str:
    return f"data {', '.join(dict.fromkeys(data_name(ran) for ran in group))}"
