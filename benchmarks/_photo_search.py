"""The one place of benchmarks/photos.py that runs nas: a search on a folder of photos, and what it ends with."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _photo_sets import Case
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

    The search is ended with Ctrl-C when it has had its share, and the same command, with its trials now done, goes on with the
    retraining: as `--time` would do it in one go on a machine of our own.
    """
    work.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    storage = f"sqlite:///{work / 'nas.db'}"
    command = [
        *(sys.executable, "-m", "nas", "search", "--study", "photos", "--storage", storage),
        *("--space", str(REPOSITORY / "search_spaces" / "attn_cnn.yaml"), "--data", f"imagefolder:{case.folder}"),
        *("--max-parameters", f"{options.limit:.0f}", "--seed", str(case.seed), "--sampler", sampler),
        *("--max-concurrent", str(options.max_concurrent), "--retrain", str(options.retrain)),
        *shlex.split(options.search_options),
    ]
    search, retrain = [*command, "--trials", "100000", "--time", "30d"], [*command, "--trials", "1", "--json"]
    searched = run_watched(search, work, "search", environment, say, budget.search)
    _check(search, searched, work, "search")
    retrained = run_watched(retrain, work, "retrain", environment, say)
    _check(retrain, retrained, work, "retrain")
    return {
        **_read_result(json.loads((work / "retrain.out").read_text()), case),
        "core_seconds": searched.core_seconds + retrained.core_seconds,
        "search_core_seconds": searched.core_seconds,
        "commands": [shlex.join(search), shlex.join(retrain)],
    }


class Failed(Exception):
    """A search or a retraining gave no result; the other parts go on."""


def _check(command: list[str], watched: Watched, work: Path, name: str) -> None:
    if watched.code not in (0, 130):
        raise Failed(f"{shlex.join(command)}: exit code {watched.code}: {last_line(work, name)}; see {work}/{name}.log")


def _read_result(result: dict[str, Any], case: Case) -> dict[str, Any]:
    """Accuracies of the weights that a search ended with, and what became of its trials."""
    final = result["final"]
    if final is None:
        raise Failed(f"{case.title}: no retraining came to its end")
    (record,) = [record for record in result["retrained"] if record["trial"] == final["trial"]]
    test, validation = final["test"], final["validation"]
    return {
        "trial": final["trial"],
        "parameters": final["parameters"],
        "macs": final["macs"],
        "accuracies": record["values"],
        "accuracy": test["accuracy"],
        "error": test["standard_errors"]["accuracy"],
        "validation_accuracy": validation["accuracy"],
        "validation_error": validation["standard_errors"]["accuracy"],
        "by_chance": final["validation_minus_test"]["by_chance"],
        "recalls": [one["accuracy"] for one in test["classes"]],
        "states": result["states"],
    }
