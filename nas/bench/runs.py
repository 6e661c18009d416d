"""Every sampler, number of workers and seed against one table, in one process or several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from blocks.base import Shape
from nas.bench.simulation import Run, simulate
from nas.bench.table import Table
from nas.bench.table_files import SUFFIXES, Mapping
from nas.space.space import Space


@dataclass(frozen=True)
class Source:
    """Where a table comes from, so that a process can read it for itself."""

    space: str
    table: Path
    """A file, or the name of a study."""
    mapping: Mapping
    input: Shape | None
    classes: int
    max_parameters: float | None = None
    max_macs: float | None = None
    incomplete: bool = False
    storage: str | None = None

    def load(self) -> Table:
        """Reads the space and the table. Raises NasError."""
        space = Space.load(self.space).limit(parameters=self.max_parameters, macs=self.max_macs)
        if self.table.suffix.lower() not in SUFFIXES:
            from nas.bench.study_table import read_study

            records, input, classes = read_study(str(self.table), self.storage, space)
            return Table.of(
                self.table,
                records,
                space,
                mapping=self.mapping,
                input=self.input or input,
                classes=classes or self.classes,
                incomplete=True,
            )
        return Table.load(
            self.table,
            space,
            mapping=self.mapping,
            input=self.input,
            classes=self.classes,
            incomplete=self.incomplete,
        )


def run_all(
    source: Source,
    table: Table,
    samplers: Sequence[str],
    objectives: Sequence[str],
    *,
    trials: int,
    seeds: int,
    workers: Sequence[int],
    jobs: int = 1,
    budget_scale: str | None = None,
    done: Callable[[int, int], None] = lambda finished, of: None,
) -> list[Run]:
    """All runs, ordered by sampler, workers and seed; `done` hears how many of them are finished."""
    work = [(name, count, seed) for name in samplers for count in workers for seed in range(seeds)]
    runs: dict[tuple[str, int, int], Run] = {}
    with threadpool_limits(1):  # small matrices: threads of several searches would only wait for each other
        if jobs == 1:
            for name, count, seed in work:
                runs[name, count, seed] = simulate(
                    table, name, objectives, trials=trials, seed=seed, workers=count, budget_scale=budget_scale
                )
                done(len(runs), len(work))
            return [runs[key] for key in work]
    # spawn: a forked child of a process with threads can wait for ever for a lock that nobody holds
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, (source,)) as pool:
        futures = {pool.submit(_work, *key, tuple(objectives), trials, budget_scale): key for key in work}
        try:
            for future in as_completed(futures):
                runs[futures[future]] = future.result()
                done(len(runs), len(work))
        finally:
            pool.shutdown(cancel_futures=True)
    return [runs[key] for key in work]


_table: Table | None = None


def _start(source: Source) -> None:
    global _table
    threadpool_limits(1)
    _table = source.load()


def _work(
    sampler: str, workers: int, seed: int, objectives: Sequence[str], trials: int, budget_scale: str | None
) -> Run:
    assert _table is not None
    return simulate(_table, sampler, objectives, trials=trials, seed=seed, workers=workers, budget_scale=budget_scale)
