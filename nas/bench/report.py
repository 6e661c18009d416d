"""What the runs of a benchmark say: regret by trials and by workers, as plain data, as tables and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from nas.bench.regret import Run, regrets
from nas.drawing.matplotlib_sheet import letters
from nas.errors import NasError

if TYPE_CHECKING:
    from rich.table import Table

CHECKPOINTS: Final = (10, 25, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
PARTS: Final = (0.125, 0.25, 0.5, 1.0)
"""Shares of the steps or hours that a search has, at which its regret is said."""
LABELS: Final = {"trials": "trials", "steps": "steps, in whole trainings", "hours": "hours, simulated"}
# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES: Final = ("-", "--", ":", "-.")


def summary(runs: Sequence[Run], trials: int, hours: float | None = None) -> dict[str, Any]:
    """Plain data: by sampler, for the first scheduler and number of workers, and for each below ``schedulers`` and ``workers``.

    `regret` and `std` are mean and deviation over seeds after so many trials, `median` and `worst` those of their
    median and their worst seed; `regret_by_steps` has the four at `PARTS` of the steps of `trials` whole trainings, and
    `regret_by_hours` at `PARTS` of `hours`, where the table has seconds. `repeats` is the mean number of
    proposals that could not be trained; `suggest_seconds` the mean time of a proposal, `suggest_seconds_max` the
    longest; `begun` and `completed` how many networks were begun and trained to the end, `steps` what that took in whole
    trainings; `makespan` the simulated time of all; `speedup` that of the first number of workers over this one.
    """
    samplers: dict[str, Any] = {}
    for name in dict.fromkeys(run.sampler for run in runs):
        own = [run for run in runs if run.sampler == name]
        schedulers = {
            word: _by_workers([run for run in own if run.scheduler == word], trials, hours) for word in _schedulers(own)
        }
        samplers[name] = {**next(iter(schedulers.values())), "schedulers": schedulers}
    return {"samplers": samplers}


def _schedulers(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run.scheduler for run in runs))


def _by_workers(runs: Sequence[Run], trials: int, hours: float | None) -> dict[str, Any]:
    parts = {
        count: _part([run for run in runs if run.workers == count], trials, hours)
        for count in dict.fromkeys(run.workers for run in runs)
    }
    first = next(iter(parts.values()))
    for part in parts.values():
        part["speedup"] = first["makespan"] / part["makespan"]
    return {**first, "workers": {str(count): part for count, part in parts.items()}}


def _part(runs: Sequence[Run], trials: int, hours: float | None) -> dict[str, Any]:
    points = {str(point): float(point) for point in sorted({*CHECKPOINTS, trials}) if point <= trials}
    seconds = np.concatenate([run.suggest_seconds for run in runs])
    return {
        **_spread(runs, "trials", points),
        "regret_by_steps": _spread(runs, "steps", _parts(trials)),
        **({} if hours is None else {"regret_by_hours": _spread(runs, "hours", _parts(hours))}),
        "suggest_seconds": float(seconds.mean()),
        "suggest_seconds_max": float(seconds.max()),
        "repeats": float(np.mean([run.repeats for run in runs])),
        "begun": float(np.mean([len(run.suggest_seconds) for run in runs])),
        "completed": float(np.mean([run.completed for run in runs])),
        "steps": float(np.mean([run.steps[-1] for run in runs])),
        "makespan": float(np.mean([run.finished_at[-1] for run in runs])),
        "seeds": len(runs),
    }


def _parts(whole: float) -> dict[str, float]:
    return {f"{whole * part:.3g}": whole * part for part in PARTS}


def _spread(runs: Sequence[Run], unit: str, points: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """What the seeds have at each point."""
    values = regrets(runs, unit, list(points.values()))
    found = {"regret": values.mean(0), "std": values.std(0), "median": np.median(values, 0), "worst": values.max(0)}
    return {
        word: {point: float(value) for point, value in zip(points, row, strict=True)} for word, row in found.items()
    }


def regret_table(data: dict[str, Any], title: str, unit: str = "trials") -> Table:
    """Regret against trials, steps or hours for each sampler, scheduler and number of workers: mean, median and worst seed."""
    from rich.table import Table

    def of(part: dict[str, Any]) -> dict[str, Any]:
        return part if unit == "trials" else part[f"regret_by_{unit}"]

    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1, 0, 0))
    records = [
        (sampler, scheduler, workers, part)
        for sampler, by_scheduler in data["samplers"].items()
        for scheduler, by_workers in by_scheduler["schedulers"].items()
        for workers, part in by_workers["workers"].items()
    ]
    early = any(scheduler != "none" for _, scheduler, _, _ in records)
    points = list(of(records[0][-1])["regret"])
    table.add_column("sampler", no_wrap=True)
    if early:
        table.add_column("scheduler", no_wrap=True)
    several = len({workers for _, _, workers, _ in records}) > 1 or not early
    if several:
        table.add_column("workers", justify="right")
    for point in points:
        table.add_column(f"{int(point):,}" if unit == "trials" else point, justify="right", no_wrap=True)
    for name in ("begun", "complete", "trained") if early else ("repeats", "s a proposal", "speed-up"):
        table.add_column(name, justify="right", no_wrap=True)
    for sampler, scheduler, workers, part in records:
        words = (sampler, *((scheduler,) if early else ()), *((workers,) if several else ()))
        rest = (
            (f"{part['begun']:.0f}", f"{part['completed']:.0f}", f"{part['steps']:.1f}")
            if early
            else (f"{part['repeats']:.0f}", f"{part['suggest_seconds']:.3f}", f"{part['speedup']:.1f}")
        )
        table.add_row(*words, *[f"{of(part)['regret'][point]:.4f}" for point in points], *rest)
        for word in ("median", "worst") if data["seeds"] > 1 else ():
            values = [f"{of(part)[word][point]:.4f}" for point in points]
            table.add_row(f"  {word}", *[""] * (len(words) - 1), *values, style="dim")
    return table


def draw(
    runs: Sequence[Run], trials: int, path: Path, title: str, subtitle: str, unit: str = "trials", hours: float = 0.0
) -> None:
    """Regret against trials, steps or hours, up to `trials` or `hours`, and with several numbers of workers against simulated time.

    A line is the mean over seeds, its band one standard error. Raises NasError when the file cannot be written.
    """
    from matplotlib.figure import Figure

    counts = list(dict.fromkeys(run.workers for run in runs))
    forms = list(dict.fromkeys((run.sampler, run.scheduler) for run in runs))
    early = len(_schedulers(runs)) > 1
    panels = 2 if len(counts) > 1 and unit != "hours" else 1
    figure = Figure(figsize=(6.2 * panels + 1.6, 4.6), dpi=150, layout="constrained")
    figure.suptitle(f"{letters(title)}\n", x=0.012, ha="left", fontsize=12.5, weight="bold")
    figure.text(0.012, 0.925, letters(subtitle), fontsize=9, color="#5d6b78")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    lowest = 1.0
    highest = max(run.regret[0] for run in runs)
    xs = (
        np.arange(1, trials + 1, dtype=np.float64)
        if unit == "trials"
        else np.linspace(1 / trials, 1, 400) * (hours if unit == "hours" else trials)
    )
    for colour, (name, scheduler) in zip(_cycle(COLOURS, len(forms)), forms, strict=True):
        for style, workers in zip(_cycle(STYLES, len(counts)), counts, strict=True):
            group = [run for run in runs if (run.sampler, run.scheduler, run.workers) == (name, scheduler, workers)]
            label = f"{name}, {scheduler}" if early else name
            label = label if len(counts) == 1 else f"{label}, {workers} worker{'s' * (workers > 1)}"
            lowest = min(lowest, _line(axes[0], xs, regrets(group, unit, xs), colour, style, label))
            if panels > 1:
                times, values = _over_time(group)
                _line(axes[1], times, values, colour, style, label)
    for place, axis in enumerate(axes):
        axis.set_yscale("log")
        axis.set_ylim(max(lowest, 1e-5) / 1.5, min(highest * 1.3, 1.2))
        axis.set_xlabel(LABELS[unit] if place == 0 else "simulated time")
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
    return times, regrets(runs, "hours", times / 3600)


def _cycle(items: Sequence[str], count: int) -> list[str]:
    return [items[place % len(items)] for place in range(count)]
