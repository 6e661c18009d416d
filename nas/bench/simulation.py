"""One search against a table, on a simulated clock: what proposes and decides in a search, and workers that only look up."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nas.architecture.architecture import Architecture
from nas.bench.regret import RegretCurve, Run
from nas.bench.table import Table
from nas.errors import BenchError
from nas.objectives import ACCURACY, OBJECTIVES
from nas.searches.early_stopping import SCHEDULERS, Advised, EarlyStopping, StoppingOptions
from nas.searches.options import SearchOptions
from nas.searches.proposer import Proposal, Proposer
from nas.searches.rung_decisions import RungDecisions
from nas.space.space import Assignment
from nas.states import State
from nas.store import Reading

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Setting:
    """How a table is searched, but for the sampler, the scheduler, the workers and the seed."""

    objectives: tuple[str, ...]
    trials: int
    """What `budget` counts: networks, or the whole trainings that a search has the steps or hours of."""
    budget: str = "trials"
    """trials, steps or hours."""
    budget_scale: str = "linear"
    """How budgets are weighed, by regret and by the sampler."""
    min_epochs: int | None = None
    reduction_factor: float = SearchOptions.reduction_factor
    """The two as in a search."""
    hours_of: int = 1
    """Workers whose hours a search has where `budget` says hours."""

    def hours(self, table: Table) -> float:
        """Those of `trials` average trainings. Raises BenchError for a table without seconds."""
        if table.seconds is None:
            raise BenchError("hours: the table has no seconds of training; name them with --metric seconds=COLUMN")
        return float(table.seconds.mean()) * self.trials / self.hours_of / 3600

    def rungs(self, table: Table, scheduler: str) -> EarlyStopping | None:
        """What ends trials early. Raises SearchError where it cannot, and BenchError where the table has no curves for it."""
        epochs = 1 if table.curves is None else table.curves.epochs
        if table.curves is None and scheduler != "none":
            raise BenchError(
                f"--scheduler {scheduler}: the table has no learning curves; say their columns with --curve "
                "'epoch_{epoch}', or with trainings 'epoch_{epoch}_{seed}'"
            )
        known = StoppingOptions(scheduler, self.objectives, epochs, self.min_epochs, self.reduction_factor)
        rungs = SCHEDULERS.find(scheduler)(known)
        if rungs is not None and table.curves is not None:
            table.curves.check(rungs.epochs)
        return rungs


def simulate(
    table: Table, sampler: str, setting: Setting, *, seed: int, workers: int = 1, scheduler: str = "none"
) -> Run:
    """Searches `table` with `workers` trainings at once; each takes the table's seconds, or as long as its MACs."""
    search = TableSearch(table, sampler, setting, seed, scheduler)
    search.run(workers)
    if not search.finished_at:
        raise BenchError(f"no architecture of {table.space.name} meets the constraints")
    return Run(
        sampler,
        workers,
        seed,
        tuple(search.regret.regret),
        tuple(search.finished_at),
        tuple(search.suggest_seconds),
        search.proposer.rejected,
        scheduler,
        tuple(search.trials),
        tuple(epochs / search.epochs for epochs in search.trained),
        search.completed,
    )


@dataclass(frozen=True)
class _Training:
    """A network on a worker, or at a rung."""

    proposal: Proposal
    row: int
    """In the table."""
    epoch: int
    """The last one that is done."""

    @property
    def hash(self) -> str:
        """See `Waiting`."""
        return self.proposal.architecture.hash

    @property
    def assignment(self) -> Assignment:
        """See `Waiting`."""
        return self.proposal.assignment


class TableSearch:
    """As `nas.searches.trial_source.TrialSource` and what drives it, without a database."""

    def __init__(self, table: Table, sampler: str, setting: Setting, seed: int, scheduler: str) -> None:
        self.table, self.setting, self.seed = table, setting, seed
        scale = setting.budget_scale
        heard = None if table.heard is None else table.losses(setting.objectives, seed, scale)
        self.regret = RegretCurve(table.losses(setting.objectives, budget_scale=scale), heard)
        self.proposer = Proposer(
            table.space,
            table.input,
            table.classes,
            objectives=setting.objectives,
            sampler=sampler,
            seed=seed,
            budget_scale=setting.budget_scale,
            timed=setting.budget == "hours",
            epochs=None if table.curves is None else table.curves.epochs,
            measure=_measure(table, [name for name in setting.objectives if OBJECTIVES[name].known == "measured"]),
        )
        rungs = setting.rungs(table, scheduler)
        if isinstance(rungs, Advised) and not self.proposer.advises:
            raise BenchError(
                f"--scheduler {scheduler}: asks the sampler which trial goes on, and {sampler} cannot say; pareto can"
            )
        self.epochs = 1 if table.curves is None else table.curves.epochs
        self.stations = (*(rungs.epochs if rungs is not None else ()), self.epochs)
        """Epochs at which something may be decided."""
        self.early: RungDecisions[_Training] = RungDecisions(
            rungs, self.proposer, self.epochs, pauses=True, chance=table.chance, left=self._trainings_left
        )
        seconds = table.seconds if table.seconds is not None else table.costs["macs"] / table.costs["macs"].mean()
        self.epoch_seconds = seconds / self.epochs
        self.clock = 0.0
        self.epochs_done = 0
        self.exhausted = False
        self.left: set[str] = set()
        """Networks that have been on a worker and left it."""
        self.ended: list[dict[str, Any]] = []
        """A row a training that is over, as a study has them."""
        self.completed = 0
        self.suggest_seconds: list[float] = []
        self.finished_at: list[float] = []
        self.trials: list[int] = []
        self.trained: list[int] = []
        """Epochs of all networks by each event."""
        self._running: list[tuple[float, int, _Training]] = []
        """Ordered by when each comes to its next station; of those at the same time the first that began."""
        self._begun = 0

    def run(self, workers: int) -> None:
        """Plays it through."""
        while True:
            while len(self._running) < workers and (training := self._next()) is not None:
                self._begun += 1
                self._train(training, self._begun)
            if not self._running:
                return
            self.clock, begun, training = heapq.heappop(self._running)
            self.epochs_done += training.epoch - self._before(training)
            if not self._decide(training):
                self._train(training, begun)
            if self._is_over():
                return

    def _train(self, training: _Training, begun: int) -> None:
        """To the next station."""
        station = next(epoch for epoch in self.stations if epoch > training.epoch)
        seconds = float(self.epoch_seconds[training.row]) * (station - training.epoch)
        heapq.heappush(self._running, (self.clock + seconds, begun, replace(training, epoch=station)))

    def _before(self, training: _Training) -> int:
        """The station before the one to which it came."""
        return max((epoch for epoch in self.stations if epoch < training.epoch), default=0)

    def _is_over(self) -> bool:
        """Whether the budget of steps or of hours is spent."""
        if self.setting.budget == "steps":
            return self.epochs_done >= self.setting.trials * self.epochs
        return self.setting.budget == "hours" and self.clock >= self.setting.hours(self.table) * 3600

    def _trainings_left(self) -> float:
        """How many full trainings a worker still has time for: as a search with `--time` knows it."""
        if self.setting.budget == "steps":
            return self.setting.trials - self.epochs_done / self.epochs
        if self.setting.budget == "hours":
            left = self.setting.hours(self.table) * 3600 - self.clock
            return left / (float(self.epoch_seconds.mean()) * self.epochs)
        return math.inf

    def _next(self) -> _Training | None:
        """What a worker does next: as `TrialSource.next`."""
        promoted = self.early.promoted()
        if promoted is not None:
            return self._go_on(promoted)
        if not self.exhausted and (self.setting.budget != "trials" or len(self.suggest_seconds) < self.setting.trials):
            begun = time.perf_counter()
            proposal = self.proposer.propose()
            if proposal is not None:
                self.suggest_seconds.append(time.perf_counter() - begun)
                return _Training(proposal, self.table.row(proposal.architecture.hash, proposal.assignment), 0)
            self.exhausted = True
        stopped = self.early.call_back(self._frame)
        if stopped is None:
            return None
        waits = stopped["hash"] in self.early.waiting
        return self._go_on(self.early.take(stopped["hash"]) if waits else self.ended[int(stopped["trial"])]["training"])

    def _go_on(self, training: _Training) -> _Training:
        """One that waited goes on from its rung, one that was stopped begins again."""
        self.early.goes_on(training.hash, training.epoch)
        proposal = self.proposer.again(training.proposal.assignment, training.hash)
        assert proposal is not None, "a network of the table can be built twice"
        return replace(training, proposal=proposal)

    def _decide(self, training: _Training) -> bool:
        """What becomes of a training at a station: whether it leaves its worker. As `TrialSource.stops` and `ended`."""
        value = self.table.hears(training.row, self.seed, training.epoch)
        found = {ACCURACY.name: None if math.isnan(value) else value}
        if training.epoch < self.epochs:
            if self.early.stops(training.hash, training.epoch, found, training.proposal.cost) is None:
                return False
            self.proposer.finish(training.proposal, found, training.epoch / self.epochs)
            if self.early.promoting is not None:
                self.early.wait(training)
            else:
                self.ended.append(self._row(replace(training, epoch=0), State.STOPPED_EARLY, value))
            self.regret.pass_by()
        else:
            self.proposer.finish(training.proposal, found)
            self.ended.append(self._row(training, State.COMPLETE, value))
            self.completed += 1
            self.regret.add(training.row)
        self.early.ended()
        self.left.add(training.hash)
        self.finished_at.append(self.clock)
        self.trials.append(len(self.left))
        self.trained.append(self.epochs_done)
        return True

    def _row(self, training: _Training, state: State, accuracy: float) -> dict[str, Any]:
        cost = training.proposal.cost
        costs = {name: float(cost[name]) for name in self.setting.objectives if name != ACCURACY.name}
        return {
            "trial": len(self.ended),
            "hash": training.hash,
            "state": str(state),
            "accuracy": accuracy,
            "training": training,
            **costs,
        }

    def _frame(self) -> pd.DataFrame:
        """What has ended, and what waits as if it were stopped."""
        import pandas as pd

        waits = [
            self._row(training, State.STOPPED_EARLY, self.table.hears(training.row, self.seed, training.epoch))
            for training in self.early.waiting.values()
        ]
        return pd.DataFrame([*self.ended, *waits])


def _measure(table: Table, names: Sequence[str]) -> Callable[[Architecture], list[Reading]]:
    """Measures networks by the table."""

    def readings(architecture: Architecture) -> list[Reading]:
        row = table.row(architecture.hash, {}) if names else 0
        return [
            Reading(name, architecture.hash, table.input, table.classes, "table", {}, float(table.costs[name][row]))
            for name in names
        ]

    return readings
