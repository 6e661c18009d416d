"""The pictures that the papers print: learning curves, the confusion matrix, and where a network looked (Grad-CAM)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nas.analysis.replicates import summaries, summary_text
from nas.drawing.matplotlib_sheet import letters, save
from nas.errors import NasError
from nas.front.png import BLUE, FAINT, GREY, INK, ORANGE
from nas.objectives import ACCURACY, OBJECTIVES
from nas.replays.jobs import load_test_images
from nas.replays.training import Files, read_confusion
from nas.text.formatting import words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nas.replays.jobs import Ran

PIXELS_PER_INCH: Final = 150
MOST_NUMBERS: Final = 20
"""Classes up to which a confusion matrix shows its numbers; with more they cannot be read."""
MOST_NAMES: Final = 40
MOST_LETTERS: Final = 22
"""Letters over a picture, of the names of several labels."""
EXAMPLES: Final = 8
"""Test images with Grad-CAM."""
FEWEST_POSITIONS: Final = 16
"""Fewest positions of the feature map that Grad-CAM looks at, if there is one: 2×2 after the last pooling shows next to nothing."""


def draw(ran: Ran) -> list[Path]:
    """Draws what a replay or a retraining has to show into its folder. Returns the pictures that are there.

    Where nothing was trained, only those are drawn that are missing. Raises NasError when a file cannot be written.
    """
    drawings = {"curves.png": draw_curves, "confusion.png": draw_confusion, "gradcam.png": draw_gradcam}
    paths = {ran.folder / name: drawing for name, drawing in drawings.items()}
    for path, drawing in paths.items():
        if ran.trained:
            path.unlink(missing_ok=True)  # of fewer seeds
        if not path.exists():
            drawing(ran, path)
    return [path for path in paths if path.exists()]


def draw_curves(ran: Ran, path: Path) -> None:
    """The loss and what is chosen by over the epochs, one thin line a seed, with the test value and the paper's at the end."""
    metric = ran.plan.metric
    scale, unit = (100, " (%)") if OBJECTIVES[metric].is_share else (1, "")
    curves = [curve for curve in ran.measured["curve"] if curve]
    if not curves:
        return
    figure = _figure(9.6, 3.9, ran)
    loss, worth = figure.subplots(1, 2, gridspec_kw={"left": 0.065, "right": 0.985, "top": 0.83, "bottom": 0.13})
    _lines(loss, curves, "train_loss", 1, BLUE, "training")
    _lines(loss, curves, "loss", 1, ORANGE, "validation")
    if metric == ACCURACY.name:
        _lines(worth, curves, "train_accuracy", 100, BLUE, "training")
    _lines(worth, curves, metric, scale, ORANGE, "validation")
    last = max(epoch["epoch"] for curve in curves for epoch in curve)
    tested = [
        scale * score.value(metric) for scores in ran.measured["scores"] if (score := scores.get("test")) is not None
    ]
    if tested:
        worth.plot([last] * len(tested), tested, "D", color=INK, ms=5, mec="white", mew=0.8, label="test", zorder=4)
    claim = next((claim for claim in ran.plan.claims if claim.metric == metric), None)
    if claim is not None:
        label = letters(f"paper, {claim.printed} % on {ran.plan.claimed_on}")
        worth.axhline(claim.value, color=GREY, lw=1.2, ls=(0, (5, 3)), label=label, zorder=1)
    for axes, name in (
        (loss, "cross-entropy" if metric == ACCURACY.name else "loss"),
        (worth, f"{words(metric)}{unit}"),
    ):
        plain(axes)
        axes.set_xlabel("epoch", color=INK)
        axes.set_ylabel(name, color=INK)
        axes.set_xlim(min(1, last - 1) - 0.02 * last, last * 1.03)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8.5, loc="best")
    save(figure, path, dpi=PIXELS_PER_INCH)


def _lines(axes: Axes, curves: list[list[dict[str, Any]]], key: str, scale: float, color: str, label: str) -> None:
    for place, curve in enumerate(curves):
        found = [(epoch["epoch"], {**epoch.get("others", {}), **epoch}.get(key)) for epoch in curve]
        points = [(number, value * scale) for number, value in found if value is not None]
        if points:
            xs, ys = zip(*points, strict=True)
            marker = "o" if len(points) < 12 else None
            name = label if place == 0 else None
            axes.plot(xs, ys, color=color, lw=1.3, alpha=0.85, marker=marker, ms=3.5, label=name, zorder=3)


def draw_confusion(ran: Ran, path: Path) -> None:
    """Which class was taken for which, in percent of the true class, over the test images of all seeds."""
    names = [letters(name) for name in ran.plan.dataset.class_names]
    complete = ran.measured[ran.measured["state"] == "complete"]
    tables = [read_confusion(Files.of(ran.folder, seed).confusion, len(names)) for seed in complete["seed"]]
    there = [table for table in tables if table is not None]
    if not there:
        return
    counts = np.sum(there, axis=0)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(0.5 * len(names) + 1.2, 4.6, 11.0))
    figure = _figure(side + 0.9, side + 0.7, ran)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 1 - 0.6 / (side + 0.7)))
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100, interpolation="nearest", aspect="auto")
    if len(names) <= MOST_NUMBERS:
        for row, column in np.ndindex(share.shape):
            if counts[row, column]:
                ink = "white" if share[row, column] > 55 else INK
                text = f"{share[row, column]:.0f}" if share[row, column] >= 0.5 else "·"
                axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=ink)
    turn, anchor = (0, "center") if max(map(len, names)) < 4 else (45, "right")
    places = range(len(names)) if len(names) <= MOST_NAMES else []
    axes.set_xticks(places, [names[place] for place in places], rotation=turn, ha=anchor, rotation_mode="anchor")
    axes.set_yticks(places, [names[place] for place in places])
    axes.tick_params(labelsize=8.5, colors=INK, length=0)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.set_label("% of the true class", fontsize=8.5, color=INK)
    save(figure, path, dpi=PIXELS_PER_INCH)


@dataclass(frozen=True)
class Seen:
    """Where a network looked on some test images."""

    layer: str
    """The feature map that Grad-CAM looks at."""
    chosen: list[int]
    """Places of the test images."""
    images: list[npt.NDArray[np.uint8]]
    """(H, W, 3) each."""
    overlays: list[npt.NDArray[np.uint8]]
    """The same with what spoke for the predicted class."""
    true: list[str]
    """Names of the classes that are there."""
    predicted: list[str]
    """Names of the classes that are said."""


def look(ran: Ran) -> Seen | None:
    """A few test images of different classes, and what spoke for the likeliest class in the last feature map.

    None where there are no classes, no weights any more, or every feature map has one position.
    """
    import torch

    from nas.architecture.compile import compile_model
    from nas.network.gradcam import grad_cam, last_feature_map, overlay
    from nas.network.weights import fill, read_weights

    complete = ran.measured[(ran.measured["state"] == "complete") & ran.measured["weights"].notna()]
    there = [weights for weights in map(Path, complete["weights"]) if weights.exists()]
    data, architecture = ran.plan.dataset, ran.plan.architecture
    if not there or data.type.output(data.input, data.classes) != (data.classes,):
        return None
    try:
        layer = last_feature_map(architecture, data.input, data.classes, FEWEST_POSITIONS)
    except NasError:
        return None
    weights, test = there[0], load_test_images(data.task)
    model = compile_model(architecture, data.input, data.classes)
    fill(model, read_weights(weights)[0], weights)
    model.eval()
    chosen = examples(test.y)
    pixels = test.x[chosen]
    mean = torch.tensor(data.mean).view(1, -1, 1, 1)
    std = torch.tensor(data.std).view(1, -1, 1, 1)
    x = (torch.from_numpy(pixels) / 255 - mean) / std
    with torch.no_grad():
        probabilities = data.type.probabilities(model(x))
    maps = grad_cam(model, layer, x, probabilities.argmax(1)).numpy()
    names, y = data.class_names, test.y[chosen]
    meant = np.eye(len(names), dtype=bool)[y] if y.ndim == 1 else y > 0
    true, predicted = ([_named(row, names) for row in rows] for rows in (meant, data.type.said(probabilities).numpy()))
    images = [_picture(pixels[column]) for column in range(len(chosen))]
    overlays = [overlay(image, found) for image, found in zip(images, maps, strict=True)]
    return Seen(layer, chosen, images, overlays, true, predicted)


def _named(there: npt.NDArray[np.bool_], names: Sequence[str]) -> str:
    return ", ".join(names[place] for place in np.flatnonzero(there).tolist()) or "none"


def _picture(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(C, H, W) with one channel or three as (H, W, 3)."""
    image = np.repeat(pixels, 3, 0) if pixels.shape[0] == 1 else pixels
    return np.ascontiguousarray(image[:3].transpose(1, 2, 0))


def draw_gradcam(ran: Ran, path: Path) -> None:
    """What `look` finds, the images above."""
    seen = look(ran)
    if seen is None:
        return  # nothing can be seen
    count = len(seen.chosen)
    figure = _figure(1.28 * count + 0.3, 3.6, ran, f"Grad-CAM of {seen.layer} for the likeliest class")
    rows = figure.subplots(2, count, squeeze=False)
    figure.subplots_adjust(left=0.012, right=0.988, top=0.70, bottom=0.015, wspace=0.06, hspace=0.06)
    for column in range(count):
        rows[0, column].imshow(seen.images[column], interpolation="nearest")
        rows[1, column].imshow(seen.overlays[column], interpolation="nearest")
        true, predicted = seen.true[column], seen.predicted[column]
        right = true == predicted
        text = _cut(true) + ("" if right else f"\nas {_cut(predicted)}")
        rows[0, column].set_title(letters(text), fontsize=8.5, color=INK if right else ORANGE, pad=4)
        for axes in rows[:, column]:
            axes.axis("off")
    save(figure, path, dpi=PIXELS_PER_INCH)


def examples(y: npt.NDArray[np.int64]) -> list[int]:
    """Places of the first test image of each class, as many as are shown, classes evenly spread; no image twice."""
    has = y[:, None] == np.arange(y.max() + 1) if y.ndim == 1 else y > 0
    classes = np.flatnonzero(has.any(0))
    spread = classes[np.linspace(0, len(classes) - 1, min(EXAMPLES, len(classes))).round().astype(int)]
    return list(dict.fromkeys(int(np.flatnonzero(has[:, label])[0]) for label in spread))


def _cut(text: str) -> str:
    """For what stands over a picture."""
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def _figure(width: float, height: float, ran: Ran, more: str = "") -> Figure:
    summary = summaries(ran.measured)[0]
    lines = [f"test {words(ran.plan.metric)} {summary_text(summary)}  ·  data {data_name(ran)}", more]
    return titled(width, height, ran.plan.title, lines)


def data_name(ran: Ran) -> str:
    """The data set, or the name of its folder."""
    kind, folder, place = ran.plan.dataset.task.dataset.partition(":")
    return Path(place).name if folder else kind


def titled(width: float, height: float, title: str, lines: Sequence[str]) -> Figure:
    """An empty figure of so many inches with a title and small lines under it, at the upper left."""
    figure = Figure(figsize=(width, height), dpi=PIXELS_PER_INCH)
    FigureCanvasAgg(figure)
    figure.text(0.12 / width, 1 - 0.22 / height, letters(title), fontsize=12, weight="bold", color=INK, va="center")
    for place, line in enumerate(lines):
        height_of = 1 - (0.46 + 0.2 * place) / height
        figure.text(0.12 / width, height_of, letters(line), fontsize=8.5, color=FAINT, va="center")
    return figure


def plain(axes: Axes) -> None:
    """A quiet grid, and no frame above and at the right."""
    axes.grid(True, color="#e6e9ec", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
