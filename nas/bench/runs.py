"""Every sampler, number of workers and seed against one table, in one process or several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from blocks.base import Shape
from nas.bench.regret import Run
from nas.bench.simulation import Setting, simulate
from nas.bench.table import Table
from nas.bench.table_files import Mapping, ending
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
        if not ending(self.table):
            from nas.bench.study_table import CURVE, read_study

            records, input, classes, epochs = read_study(str(self.table), self.storage, space)
            mapping = self.mapping
            if epochs is not None:
                mapping = replace(mapping, curve=mapping.curve or CURVE, epochs=mapping.epochs or str(epochs))
            return Table.of(
                self.table,
                records,
                space,
                mapping=mapping,
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
    setting: Setting,
    *,
    seeds: int,
    workers: Sequence[int],
    schedulers: Sequence[str] = ("none",),
    jobs: int = 1,
    done: Callable[[int, int], None] = lambda finished, of: None,
) -> list[Run]:
    """All runs, ordered by sampler, scheduler, workers and seed; `done` hears how many of them are finished."""
    work = list(product(samplers, schedulers, workers, range(seeds)))
    runs: dict[tuple[str, str, int, int], Run] = {}
    with threadpool_limits(1):  # small matrices: threads of several searches would only wait for each other
        if jobs == 1:
            for key in work:
                runs[key] = _simulate(table, setting, *key)
                done(len(runs), len(work))
            return [runs[key] for key in work]
    # spawn: a forked child of a process with threads can wait for ever for a lock that nobody holds
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, (source, setting)) as pool:
        futures = {pool.submit(_work, *key): key for key in work}
        try:
            for future in as_completed(futures):
                runs[futures[future]] = future.result()
                done(len(runs), len(work))
        finally:
            pool.shutdown(cancel_futures=True)
    return [runs[key] for key in work]


_task: tuple[Table, Setting] | None = None


def _start(source: Source, setting: Setting) -> None:
    global _task
    threadpool_limits(1)
    _task = source.load(), setting


def _work(sampler: str, scheduler: str, workers: int, seed: int) -> Run:
    assert _task is not None
    return _simulate(*_task, sampler, scheduler, workers, seed)


def _simulate(table: Table, setting: Setting, sampler: str, scheduler: str, workers: int, seed: int) -> Run:
    return simulate(table, sampler, setting, seed=seed, workers=workers, scheduler=scheduler)
