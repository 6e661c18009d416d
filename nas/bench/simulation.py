"""One search against a table, on a simulated clock: the driver's own `Proposer`, and workers that only look up."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
import numpy.typing as npt

from nas.architecture.architecture import Architecture
from nas.bench.table import Table
from nas.errors import BenchError
from nas.objectives import OBJECTIVES
from nas.searches.options import SearchOptions
from nas.searches.proposer import Proposal, Proposer
from nas.store import Reading


@dataclass(frozen=True)
class Run:
    """What one search found, trial by trial in the order in which they finished."""

    sampler: str
    workers: int
    seed: int
    regret: tuple[float, ...]
    """1 - HV/HV_max after each trial."""
    finished_at: tuple[float, ...]
    """When each trial finished, on the simulated clock."""
    suggest_seconds: tuple[float, ...]
    """Real time of each proposal."""
    repeats: int
    """Proposals of the sampler that could not be trained: a network met before, or one that does not fit."""


def simulate(
    table: Table,
    sampler: str,
    objectives: Sequence[str],
    *,
    trials: int,
    seed: int,
    workers: int = 1,
    budget_scale: str | None = None,
) -> Run:
    """Searches `table` with `workers` trainings at once; each takes the table's seconds, or as long as its MACs.

    Regret and the sampler weigh budgets by `budget_scale`; without one regret is linear, and the sampler's is that of a search.
    """
    scale = budget_scale or "linear"
    heard = None if table.heard is None else table.losses(objectives, seed, scale)
    curve = RegretCurve(table.losses(objectives, budget_scale=scale), heard)
    proposer = Proposer(
        table.space,
        table.input,
        table.classes,
        objectives=objectives,
        sampler=sampler,
        seed=seed,
        budget_scale=budget_scale or SearchOptions.budget_scale,
        measure=_measure(table, [name for name in objectives if OBJECTIVES[name].known == "measured"]),
    )
    durations = table.seconds if table.seconds is not None else table.costs["macs"] / table.costs["macs"].mean()
    running: list[tuple[float, int, Proposal, int]] = []
    finished_at: list[float] = []
    seconds: list[float] = []
    clock = 0.0
    while True:
        while len(running) < workers and len(seconds) < trials:
            begun = time.perf_counter()
            proposal = proposer.propose()
            if proposal is None:
                break
            seconds.append(time.perf_counter() - begun)
            row = table.row(proposal.architecture.hash, proposal.assignment)
            heapq.heappush(running, (clock + float(durations[row]), len(seconds), proposal, row))
        if not running:
            break
        clock, _, proposal, row = heapq.heappop(running)
        proposer.finish(proposal, table.hears(row, seed))
        curve.add(row)
        finished_at.append(clock)
    if not finished_at:
        raise BenchError(f"no architecture of {table.space.name} meets the constraints")
    return Run(sampler, workers, seed, tuple(curve.regret), tuple(finished_at), tuple(seconds), proposer.rejected)


def _measure(table: Table, names: Sequence[str]) -> Callable[[Architecture], list[Reading]]:
    """Measures networks by the table."""

    def readings(architecture: Architecture) -> list[Reading]:
        row = table.row(architecture.hash, {}) if names else 0
        return [
            Reading(name, architecture.hash, table.input, table.classes, "table", {}, float(table.costs[name][row]))
            for name in names
        ]

    return readings


class RegretCurve:
    """1 - HV/HV_max of a growing set of rows of (networks, objectives) losses in [0, 1], up to (1, …, 1).

    With `heard`, losses that are known with noise, the front is what is best by these, and scored by the others: then it can get
    worse.
    """

    def __init__(self, losses: npt.NDArray[np.float64], heard: npt.NDArray[np.float64] | None = None) -> None:
        self._losses, self._heard = losses, losses if heard is None else heard
        self._rows: list[int] = []
        self._reference = np.ones(losses.shape[1])
        self._best = moocore.hypervolume(losses, ref=self._reference)
        self._volume = 0.0
        self.regret: list[float] = []
        """After each row."""

    def add(self, row: int) -> None:
        """One more trial is finished."""
        point, front = self._heard[row], self._heard[self._rows]
        if not np.any(np.all(front <= point, axis=1)):
            stays = ~np.all(front >= point, axis=1)
            self._rows = [*[old for old, kept in zip(self._rows, stays, strict=True) if kept], row]
            self._volume = float(moocore.hypervolume(self._losses[self._rows], ref=self._reference))
        self.regret.append(1 - self._volume / self._best if self._best > 0 else 0.0)
