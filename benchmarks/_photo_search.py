"""The one place of benchmarks/photos.py that runs nas: a search on a folder of photos, and what it ends with."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _photo_sets import Case
from _photo_table import standard_error
from _watch import Watched, last_line, run_watched

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Budget:
    """What a search with its retraining may take."""

    core_seconds: float
    search: float
    """Core seconds after which the search ends; the rest is for retraining."""


def find_network(
    case: Case, sampler: str, budget: Budget, work: Path, options: argparse.Namespace, say: Callable[[str], None]
) -> dict[str, Any]:
    """The command that a user types, and what it says of the network that it ends with. All of nas that is called is here.

    The search is ended with Ctrl-C when it has had its share, as `--time` would end it on a machine of our own.
    """
    work.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    storage = f"sqlite:///{work / 'nas.db'}"
    study = ["--study", "photos", "--storage", storage]
    command = [sys.executable, "-m", "nas"]
    search = [
        *(*command, "search", *study, "--space", str(REPOSITORY / "search_spaces" / "attn_cnn.yaml")),
        *("--data", f"imagefolder:{case.folder}", "--max-parameters", f"{options.limit:.0f}", "--seed", str(case.seed)),
        *("--sampler", sampler, "--trials", "100000", "--max-concurrent", str(options.max_concurrent)),
        *shlex.split(options.search_options),
    ]
    retrain = [
        *(*command, "retrain", *study, "--top", "1", "--threads", "1", "--output", str(work / "retrained"), "--json"),
        *shlex.split(options.retrain_options),
    ]
    searched = run_watched(search, work, "search", environment, say, budget.search)
    _check(search, searched, work, "search")
    retrained = run_watched(retrain, work, "retrain", environment, say)
    _check(retrain, retrained, work, "retrain")
    return {
        **_read_result(storage, json.loads((work / "retrain.out").read_text())[0], case),
        "core_seconds": searched.core_seconds + retrained.core_seconds,
        "search_core_seconds": searched.core_seconds,
        "commands": [shlex.join(search), shlex.join(retrain)],
    }


class Failed(Exception):
    """A search or a retraining gave no result; the other parts go on."""


def _check(command: list[str], watched: Watched, work: Path, name: str) -> None:
    if watched.code not in (0, 130):
        raise Failed(f"{shlex.join(command)}: exit code {watched.code}: {last_line(work, name)}; see {work}/{name}.log")


def _read_result(storage: str, retrained: dict[str, Any], case: Case) -> dict[str, Any]:
    """Accuracies of the network that a search ended with, and what became of its trials."""
    import nas

    frame = nas.load_study("photos", storage).trials()
    trial = frame[frame["trial"] == retrained["trial"]].iloc[0]
    accuracies = [float(value) for value in retrained["accuracies"]]
    if not accuracies:
        raise Failed(f"{case.title}: no retraining of trial {retrained['trial']} came to its end")
    return {
        "trial": int(retrained["trial"]),
        "parameters": int(retrained["parameters"]),
        "macs": int(retrained["macs"]),
        "accuracies": accuracies,
        "accuracy": statistics.mean(accuracies),
        "error": standard_error(accuracies, case.photos.test * len(case.photos.classes)),
        "validation_accuracy": float(trial["accuracy"]),
        "validation_error": standard_error([float(trial["accuracy"])], _validation_images(storage, case)),
        "states": {str(state): int(count) for state, count in frame["state"].value_counts().items()},
    }


def _validation_images(storage: str, case: Case) -> int:
    """How many images the search measured on: a share of those for training, or each of them once in folds."""
    from nas.store import Store

    with Store.open(storage) as store:
        task = store.study("photos").task
    images = sum(case.photos.images)
    folds, share = int(str(task.get("folds", 1))), float(str(task["validation"]))
    return images if folds > 1 else max(1, round(images * share))
