"""What the runs of a benchmark say: regret by trials and by workers, as plain data, as tables and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from nas.bench.simulation import Run
from nas.drawing.matplotlib_sheet import letters
from nas.errors import NasError

if TYPE_CHECKING:
    from rich.table import Table

CHECKPOINTS: Final = (10, 25, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES: Final = ("-", "--", ":", "-.")


def summary(runs: Sequence[Run], trials: int) -> dict[str, Any]:
    """Plain data: by sampler, for the first number of workers, and below ``workers`` for each.

    `regret` and `std` are mean and deviation over seeds after so many finished trials, `median` and `worst` those of their
    median and their worst seed; `repeats` the mean number of
    proposals that could not be trained; `suggest_seconds` the mean time of a proposal, `suggest_seconds_max` the
    longest; `makespan` the simulated time of all trials; `speedup` that of the first number of workers over this one.
    """
    samplers: dict[str, Any] = {}
    for name in dict.fromkeys(run.sampler for run in runs):
        counts = dict.fromkeys(run.workers for run in runs if run.sampler == name)
        by_workers = {count: [run for run in runs if (run.sampler, run.workers) == (name, count)] for count in counts}
        parts = {count: _part(group, trials) for count, group in by_workers.items()}
        first = next(iter(parts.values()))
        for part in parts.values():
            part["speedup"] = first["makespan"] / part["makespan"]
        samplers[name] = {**first, "workers": {str(count): part for count, part in parts.items()}}
    return {"samplers": samplers}


def _part(runs: Sequence[Run], trials: int) -> dict[str, Any]:
    curves = regret_curves(runs, trials)
    points = sorted({point for point in CHECKPOINTS if point <= trials} | {trials})
    seconds = np.concatenate([run.suggest_seconds for run in runs])
    return {
        "regret": {str(point): float(curves[:, point - 1].mean()) for point in points},
        "std": {str(point): float(curves[:, point - 1].std()) for point in points},
        "median": {str(point): float(np.median(curves[:, point - 1])) for point in points},
        "worst": {str(point): float(curves[:, point - 1].max()) for point in points},
        "suggest_seconds": float(seconds.mean()),
        "suggest_seconds_max": float(seconds.max()),
        "repeats": float(np.mean([run.repeats for run in runs])),
        "makespan": float(np.mean([run.finished_at[-1] for run in runs])),
        "seeds": len(runs),
    }


def regret_curves(runs: Sequence[Run], trials: int) -> npt.NDArray[np.float64]:
    """(seeds, trials); a run that had nothing left to try keeps its last value."""
    return np.array([[*run.regret, *[run.regret[-1]] * (trials - len(run.regret))] for run in runs])


def regret_table(data: dict[str, Any], title: str) -> Table:
    """Regret at given trials for each sampler and number of workers: the mean of the seeds, their median and the worst."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    points = list(next(iter(data["samplers"].values()))["regret"])
    table.add_column("sampler", no_wrap=True)
    table.add_column("workers", justify="right")
    if data["seeds"] > 1:
        table.add_column("seeds", no_wrap=True)
    for point in points:
        table.add_column(f"{int(point):,}", justify="right", no_wrap=True)
    for name in ("repeats", "s a proposal", "speed-up"):
        table.add_column(name, justify="right", no_wrap=True)
    for sampler, record in data["samplers"].items():
        for workers, part in record["workers"].items():
            several = data["seeds"] > 1
            table.add_row(
                sampler,
                workers,
                *(["mean"] if several else []),
                *[f"{part['regret'][point]:.4f}" for point in points],
                f"{part['repeats']:.0f}",
                f"{part['suggest_seconds']:.3f}",
                f"{part['speedup']:.1f}",
            )
            for word in ("median", "worst") if several else ():
                table.add_row("", "", word, *[f"{part[word][point]:.4f}" for point in points], style="dim")
    return table


def draw(runs: Sequence[Run], trials: int, path: Path, title: str, subtitle: str) -> None:
    """Regret against finished trials and, with several numbers of workers, against simulated time.

    A line is the mean over seeds, its band one standard error. Raises NasError when the file cannot be written.
    """
    from matplotlib.figure import Figure

    counts = list(dict.fromkeys(run.workers for run in runs))
    names = list(dict.fromkeys(run.sampler for run in runs))
    panels = 2 if len(counts) > 1 else 1
    figure = Figure(figsize=(6.2 * panels + 1.6, 4.6), dpi=150, layout="constrained")
    figure.suptitle(f"{letters(title)}\n", x=0.012, ha="left", fontsize=12.5, weight="bold")
    figure.text(0.012, 0.925, letters(subtitle), fontsize=9, color="#5d6b78")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    lowest = 1.0
    highest = max(run.regret[0] for run in runs)
    for colour, name in zip(_cycle(COLOURS, len(names)), names, strict=True):
        for style, workers in zip(_cycle(STYLES, len(counts)), counts, strict=True):
            group = [run for run in runs if (run.sampler, run.workers) == (name, workers)]
            curves = regret_curves(group, trials)
            label = name if len(counts) == 1 else f"{name}, {workers} worker{'s' * (workers > 1)}"
            xs = np.arange(1, trials + 1, dtype=np.float64)
            lowest = min(lowest, _line(axes[0], xs, curves, colour, style, label))
            if panels > 1:
                times, values = _over_time(group)
                _line(axes[1], times, values, colour, style, label)
    for place, axis in enumerate(axes):
        axis.set_yscale("log")
        axis.set_ylim(max(lowest, 1e-5) / 1.5, min(highest * 1.3, 1.2))
        axis.set_xlabel("finished trials" if place == 0 else "simulated time")
        if place:
            axis.set_xscale("log")
        axis.grid(True, which="major", color="#e6e9ec", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("hypervolume regret, 1 − HV/HV$_{max}$")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8.5, loc="outside right upper")
    try:
        figure.savefig(path)
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None


def _line(
    axes: Any, xs: npt.NDArray[np.float64], curves: npt.NDArray[np.float64], colour: str, style: str, label: str
) -> float:
    """Draws mean and band; returns the lowest mean above zero."""
    mean = curves.mean(axis=0)
    error = curves.std(axis=0) / np.sqrt(len(curves))
    axes.plot(xs, mean, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.fill_between(xs, np.maximum(mean - error, 1e-9), mean + error, color=colour, alpha=0.15, linewidth=0)
    return float(mean[mean > 0].min(initial=1.0))


def _over_time(runs: Sequence[Run]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Regret at 200 instants from the first finished trial of the slowest run to the end of the slowest."""
    start = max(run.finished_at[0] for run in runs)
    end = max(run.finished_at[-1] for run in runs)
    times = np.geomspace(start, max(end, start * 1.001), 200)
    values = [
        np.asarray(run.regret)[np.searchsorted(run.finished_at, times * (1 + 1e-9), side="right") - 1] for run in runs
    ]
    return times, np.array(values)


def _cycle(items: Sequence[str], count: int) -> list[str]:
    return [items[place % len(items)] for place in range(count)]
