"""The same search with and without early stopping: quality of the front against epochs trained in all.

    python benchmarks/early_stopping.py [--images ZIP|FOLDER] [--seeds 3] [--plot FILE.png] [--json]

Both sides draw the same random architectures of attn_cnn under a limit on MACs (seed by seed, `--scheduler none` and
`pareto_asha` in turn), so that nothing but early stopping differs; the side that stops early goes on to more trials, until
it has trained at least as many epochs. Data: digits, and CIFAR-10 images where `--images` names them (a zip or a folder with
train/<class>/*; `--per-class` of them are used). Quality is 1 - HV/HV_best: the hypervolume of the front of complete trials against
that of the front of all trials of the data set and seed together, on the scale of `nas.pareto`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

OBJECTIVES = ("accuracy", "parameters")
SIDES = {"none": 1.0, "pareto_asha": 3.0}
"""Schedulers, and how many times the trials of the first each is given."""
SHARES = (0.25, 0.5, 1.0)
"""Of the epochs that all trials take in full: where the two are compared."""


@dataclass(frozen=True)
class Setting:
    """One data set and what a search on it is given."""

    name: str
    data: str
    trials: int
    epochs: int
    max_macs: float


@dataclass
class Curve:
    """One search: after each finished trial, the epochs trained so far and the front's hypervolume."""

    scheduler: str
    seed: int
    epochs: npt.NDArray[np.int64]
    hypervolume: npt.NDArray[np.float64]
    trials: pd.DataFrame
    correlations: list[dict[str, Any]]

    def at(self, epochs: float) -> float:
        """Hypervolume when so many epochs had been trained."""
        done = int(np.searchsorted(self.epochs, epochs, side="right"))
        return float(self.hypervolume[done - 1]) if done else 0.0


def search(setting: Setting, scheduler: str, seed: int, folder: Path) -> Curve:
    """Runs one side."""
    import nas
    from nas.analysis.rank_correlation import rank_correlations
    from nas.pareto import hypervolume
    from nas.searches.early_stopping import rung_epochs
    from nas.store import Store

    storage = f"sqlite:///{folder}/{setting.name}-{scheduler}-{seed}.db"
    result = nas.search(
        "attn_cnn",
        data=setting.data,
        validation=0.3,
        trials=round(SIDES[scheduler] * setting.trials),
        epochs=setting.epochs,
        max_macs=setting.max_macs,
        objectives=OBJECTIVES,
        sampler="random",
        seed=seed,
        scheduler=scheduler,
        seed_points="none",
        storage=storage,
        study="benchmark",
        max_concurrent=2,
    )
    with Store.open(storage) as store:
        curves = store.epochs("benchmark")
    frame = result.trials
    volumes = [hypervolume(frame[: place + 1], OBJECTIVES) for place in range(len(frame))]
    return Curve(
        scheduler,
        seed,
        frame["epochs"].cumsum().to_numpy(dtype=np.int64),
        np.array(volumes),
        frame,
        rank_correlations(curves, [*rung_epochs(setting.epochs), setting.epochs]),
    )


def summarize(setting: Setting, pairs: list[tuple[Curve, Curve]]) -> dict[str, Any]:
    """What `main` prints of one data set."""
    from nas.pareto import hypervolume

    full = setting.trials * setting.epochs
    best = [hypervolume(pd.concat([a.trials, b.trials]), OBJECTIVES) for a, b in pairs]
    regret = {
        side: {
            f"{share:g}": [1 - pair[place].at(share * full) / top for pair, top in zip(pairs, best, strict=True)]
            for share in SHARES
        }
        for place, side in enumerate(SIDES)
    }
    same = [int(asha.epochs[setting.trials - 1]) for _, asha in pairs]  # the same architectures as the other side
    same_regret = [1 - asha.hypervolume[setting.trials - 1] / top for (_, asha), top in zip(pairs, best, strict=True)]
    begun = [int(np.searchsorted(asha.epochs, full, side="right")) for _, asha in pairs]
    tau: dict[str, list[float]] = {}
    for plain, _ in pairs:
        for row in plain.correlations:
            if row["tau"] is not None:
                tau.setdefault(f"{row['epoch']}-{row['later']}", []).append(row["tau"])
    return {
        "data": setting.name,
        "trials": setting.trials,
        "epochs_each": setting.epochs,
        "epochs": full,
        "seeds": len(pairs),
        "regret": regret,
        "same_trials": {"epochs": same, "regret": same_regret},
        "trials_for_the_same_epochs": begun,
        "tau": {pair: statistics.mean(values) for pair, values in tau.items()},
    }


def show(summary: dict[str, Any]) -> None:
    """The table."""
    print(
        f"{summary['data']}: {summary['trials']} trials of {summary['epochs_each']} epochs = {summary['epochs']} epochs; "
        f"1 - HV/HV_best, mean of {summary['seeds']} seeds"
    )
    for side, values in summary["regret"].items():
        cells = "   ".join(
            f"{float(share):4.0%} of the epochs {statistics.mean(found):.4f}" for share, found in values.items()
        )
        print(f"  {side:<12} {cells}")
    same = summary["same_trials"]
    print(
        f"  the same {summary['trials']} architectures with early stopping: {statistics.mean(same['epochs']):.0f} epochs, "
        f"{statistics.mean(same['regret']):.4f}; architectures seen in {summary['epochs']} epochs: "
        f"{statistics.mean(summary['trials_for_the_same_epochs']):.0f}"
    )
    print("  rank correlation (Kendall's tau) without early stopping: ", end="")
    print(", ".join(f"epochs {pair}: {value:.2f}" for pair, value in summary["tau"].items()))


def plot(results: list[tuple[Setting, list[tuple[Curve, Curve]]]], path: Path) -> None:
    """Regret against epochs: a line a seed, and their mean."""
    from matplotlib.figure import Figure

    from nas.pareto import hypervolume

    figure = Figure(figsize=(4.8 * len(results), 3.8), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (setting, pairs) in zip(axes, results, strict=True):
        full = setting.trials * setting.epochs
        grid = np.linspace(setting.epochs, full, 200)
        best = [hypervolume(pd.concat([a.trials, b.trials]), OBJECTIVES) for a, b in pairs]
        for place, (side, color) in enumerate(zip(SIDES, ("#b45309", "#1d4ed8"), strict=True)):
            lines = np.array(
                [[1 - pair[place].at(x) / top for x in grid] for pair, top in zip(pairs, best, strict=True)]
            )
            for line in lines:
                axis.plot(grid, line, color=color, alpha=0.25, linewidth=1)
            axis.plot(grid, lines.mean(0), color=color, linewidth=2, label=f"--scheduler {side}")
        axis.set(title=setting.name, xlabel="epochs trained in all", ylabel="1 - HV / best HV", ylim=(0, 0.5))
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=110)


def images(source: Path, per_class: int, folder: Path) -> str:
    """The first images of every class of `source`, as the name of a data set."""
    archive = zipfile.ZipFile(source) if source.is_file() else None
    found = archive.namelist() if archive else [str(path.relative_to(source)) for path in source.glob("train/*/*")]
    taken: Counter[str] = Counter()
    for name in sorted(found):
        parts = Path(name).parts
        if len(parts) != 3 or parts[0] != "train" or taken[parts[1]] >= per_class:
            continue
        taken[parts[1]] += 1
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read(name) if archive else (source / name).read_bytes())
    return f"imagefolder:{folder}"


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="CIFAR-10 as a zip or folder with train/<class>/*")
    parser.add_argument("--per-class", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = [Setting("digits", "digits", arguments.trials, arguments.epochs, 4e6)]
        if arguments.images:
            data = images(arguments.images, arguments.per_class, folder / "images")
            settings.append(Setting("CIFAR-10 images", data, arguments.trials, arguments.epochs, 6e6))
        results: list[tuple[Setting, list[tuple[Curve, Curve]]]] = [(setting, []) for setting in settings]
        for seed in range(arguments.seeds):
            for setting, pairs in results:
                plain, stopping = (search(setting, side, seed, folder) for side in SIDES)
                pairs.append((plain, stopping))
                print(f"{setting.name}, seed {seed}: done", file=sys.stderr, flush=True)
    summaries = [summarize(setting, pairs) for setting, pairs in results]
    if arguments.plot:
        plot(results, arguments.plot)
    if arguments.as_json:
        print(json.dumps(summaries))
        return
    for summary in summaries:
        show(summary)
    print(environment_line())


if __name__ == "__main__":
    main()
