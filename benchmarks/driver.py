"""What one driver costs: its CPU seconds for a trial and for an epoch, and how many GPUs it can therefore feed.

    python benchmarks/driver.py [--storage URL] [--sampler random] [--minutes 10] [--epochs 30] [--json]

Real searches on a real Ray, with workers that train nothing, so that only the driver's side is left: proposing, Ray Tune,
both sets of tables. CPU seconds of the driver's process, from searches of two lengths (a trial) and with more epochs (an
epoch); other load on the machine hardly changes them. The GPUs: as many as keep one core of the driver at half its time,
when a training on each takes so many minutes for so many epochs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

import nas
import nas.searches.trial_training as trials_of_a_search
from nas.execution.report import Begun
from nas.states import State
from nas.train import Epoch, Verdict

FEW, MANY, EPOCHS = 40, 120, 11
LOAD = 0.5
"""Of a core, so that a burst of finished trials does not wait."""


class TrainsNothing(trials_of_a_search.TrialTraining):
    """Reports as many epochs as the recipe has."""

    number = 0

    def begin(self) -> Begun:
        """Builds nothing."""
        return Begun()

    def step(self) -> Epoch:
        """An epoch that takes no time."""
        self.number += 1
        return Epoch(self.number, 1.0, 1.0, 0.5, 0.9, 0.0, 0.0, 0.1)

    @property
    def finished(self) -> bool:
        """Whether all are reported."""
        return self.number >= self.spec.recipe.epochs

    def finish(self) -> tuple[Verdict, None]:
        """It went well."""
        return Verdict(State.COMPLETE), None


def cpu_seconds(storage: str, study: str, trials: int, epochs: int, sampler: str) -> tuple[float, float]:
    """CPU and wall seconds of one search in this process."""
    begun, wall = time.process_time(), time.perf_counter()
    result = nas.search(
        "nas_bench_macro", storage=storage, study=study, trials=trials, epochs=epochs, sampler=sampler,
        image_size=32, seed_points="none", max_concurrent=4, cache=False,
    )  # fmt: skip
    assert result.states == {"complete": trials}, result.states
    return time.process_time() - begun, time.perf_counter() - wall


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", metavar="URL", help="An empty study database.  [default: a new SQLite file]")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--minutes", type=float, default=10.0, help="That a training takes on a GPU.")
    parser.add_argument("--epochs", type=int, default=30, help="Of a training.")
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    import ray

    trials_of_a_search.TrialTraining = TrainsNothing  # type: ignore[misc]
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as folder:
        storage = arguments.storage or f"sqlite:///{folder}/nas.db"
        cpu_seconds(storage, "warm", 4, 1, arguments.sampler)  # imports, the blocks' costs
        few, _ = cpu_seconds(storage, "few", FEW, 1, arguments.sampler)
        many, wall = cpu_seconds(storage, "many", MANY, 1, arguments.sampler)
        long, _ = cpu_seconds(storage, "long", FEW, EPOCHS, arguments.sampler)
    trial = (many - few) / (MANY - FEW)
    epoch = (long - few) / (FEW * (EPOCHS - 1))
    gpus = LOAD * 60 * arguments.minutes / (trial + (arguments.epochs - 1) * epoch)
    found = {"trial": trial, "epoch": epoch, "gpus": int(gpus), "trials_a_second": MANY / wall}
    if arguments.as_json:
        print(json.dumps({**found, "sampler": arguments.sampler, "environment": environment_line()}))
        return
    print(f"driver: CPU of its process, sampler {arguments.sampler}, {storage.partition(':')[0]}")
    print(f"  a trial of one epoch {trial * 1e3:6.1f} ms")
    print(f"  each further epoch   {epoch * 1e3:6.1f} ms")
    print(
        f"  one driver feeds     {int(gpus):6,d} GPUs with trainings of {arguments.minutes:g} minutes and {arguments.epochs} epochs"
    )
    print(f"  {environment_line()}")


if __name__ == "__main__":
    main()
