"""Early stopping with several objectives: asynchronous successive halving on the non-dominated rank.

A rung is an epoch at which a trial must be among the best 1/eta of all that came so far, or stop (Li et al. 2020, A System
for Massively Parallel Hyperparameter Tuning: ASHA, in its stopping form). Best is meant as in NSGA-II and MO-ASHA
(Schmucker et al. 2021, Multi-Objective Asynchronous Successive Halving): by the front that a trial is on over (accuracy
at this rung, costs), and within a front by what it adds to the hypervolume.

In its promotion form nothing is stopped: every trial pauses at a rung, and one that is among the best 1/eta of those that came
there goes on, whenever that is. So a verdict of the first trials, who had nobody to be compared with, is not final. It needs
checkpoints.

In the third form the sampler's model decides at rungs: what a trial was worth there says more of its end, and whether a step
of it or of a new network is worth more is a question of expected hypervolume improvement (`nas.sampler.model.Model.prices`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from nas.errors import SearchError
from nas.objectives import learned
from nas.pareto import losses, scaled_loss
from nas.plugins.registry import Registry, adder
from nas.searches.ranking import Ranking

if TYPE_CHECKING:
    import pandas as pd

    from nas.architecture.cost import Cost

FIRST_SHARE = 0.25
LAST_SHARE = 2 / 3
"""Shares of a training between which trials are stopped: before, the learning rate has just risen and orders say little."""


@dataclass(frozen=True)
class Place:
    """Where a trial stands at a rung."""

    rank: int
    """Rank among all that came so far, from 1."""
    of: int
    goes_on: bool


class EarlyStopping(Protocol):
    """What ends trials before their last epoch: the contract of a scheduler.

    Before a search begins it is told by `recall` what earlier runs of the study have reached. Then every trial is entered at each
    of `epochs`, from one process, in the order in which trials come there; a trial whose place does not say `goes_on` is stopped.
    When all is proposed, stopped networks that would be on the front are trained to their end after all.
    """

    epochs: tuple[int, ...]
    """After these a trial is measured and may be stopped."""

    def enter(
        self, network: str, epoch: int, found: Mapping[str, float | None] | float | None, cost: Cost
    ) -> Place | None:
        """Where a network, named by its hash, stands after an epoch; None where nothing is decided, and it goes on.

        `found` is what was measured after the epoch, by name, or the one value that has to be learned.
        """

    def recall(self, reached: pd.DataFrame) -> None:
        """Takes note of earlier runs: a row per network and epoch, with hash, epoch, accuracy and costs."""


@runtime_checkable
class Promoting(EarlyStopping, Protocol):
    """A scheduler whose trials pause: one that has a checkpoint waits at each of `epochs` until it is promoted.

    What is left when everything is proposed is stopped; where no checkpoint could be written, the place of `enter` decides.
    """

    def promote(self, paused: Mapping[str, int]) -> str | None:
        """Which of the networks that are `paused`, by hash, each after that epoch, goes on; None: a new one is worth more."""


@dataclass(frozen=True)
class StoppingOptions:
    """What a scheduler may know before the first trial."""

    scheduler: str
    """The name that the user gave."""
    objectives: tuple[str, ...]
    epochs: int
    """Epochs of a full training."""
    min_epochs: int | None
    """First epoch at which a trial may stop; None where the user does not say."""
    reduction_factor: float


class Rungs:
    """The trials that reached each rung, with what they were worth there."""

    def __init__(self, objectives: Sequence[str], epochs: int, min_epochs: int | None, reduction_factor: float) -> None:
        self.objectives = tuple(objectives)
        self.factor = reduction_factor
        self.epochs = rung_epochs(epochs, min_epochs, reduction_factor)
        self._rankings = {epoch: Ranking(len(self.objectives)) for epoch in self.epochs}

    def enter(
        self, network: str, epoch: int, found: Mapping[str, float | None] | float | None, cost: Cost
    ) -> Place | None:
        """Enters a network, by its hash, at the rung of this epoch, and says where it stands; None when there is no rung.

        `found` is what was measured after the epoch, by name, or the one value that has to be learned.
        """
        ranking = self._rankings.get(epoch)
        names = learned(self.objectives)
        by_name = found if isinstance(found, Mapping) else dict.fromkeys(names, found)
        values = {name: value for name in names if (value := by_name.get(name)) is not None and math.isfinite(value)}
        if ranking is None or len(values) < len(names):
            return None
        losses = tuple(
            float(scaled_loss(name, values[name] if name in values else cost[name])) for name in self.objectives
        )
        rank = ranking.enter(network, losses)
        return Place(rank, len(ranking), rank <= math.ceil(len(ranking) / self.factor))

    def recall(self, reached: pd.DataFrame) -> None:
        """Enters what an earlier run brought here: a row per network and epoch, with hash, epoch and objectives."""
        names = list(learned(self.objectives))
        known = reached[np.isfinite(reached[names].to_numpy(dtype=np.float64)).all(axis=1)]
        reached_by: dict[int, dict[str, tuple[float, ...]]] = {epoch: {} for epoch in self.epochs}
        for network, epoch, values in zip(
            known["hash"], known["epoch"], losses(known, self.objectives).tolist(), strict=True
        ):
            if epoch in reached_by:
                reached_by[epoch][network] = tuple(values)
        for epoch, networks in reached_by.items():
            self._rankings[epoch].recall(networks)


class Promotion(Rungs):
    """The promotion form: asynchronous successive halving as Li et al. 2020 define it (algorithm 2, get_job)."""

    def promote(self, paused: Mapping[str, int]) -> str | None:
        """The best of those among the best 1/eta of their rung, from the highest rung that has one; None where none has."""
        for epoch in reversed(self.epochs):
            ranking = self._rankings[epoch]
            most = math.floor(len(ranking) / self.factor)
            promoted = ranking.best(most, paused, epoch)
            if promoted is not None:
                return promoted
        return None


Adviser = Callable[[Mapping[str, int]], "str | None"]
"""Says which of the networks that wait, by hash, each after that epoch, is worth more than a new one; None: none."""


@runtime_checkable
class Advised(Promoting, Protocol):
    """A scheduler that asks the sampler: every trial pauses at each rung, so that what it was worth there is known by then."""

    def advised_by(self, adviser: Adviser) -> None:
        """Called once, before the first trial."""


class Gain(Promotion):
    """Trains on what the front gains most by for each step: a trial that waits, or a new one, as the sampler's model expects."""

    _adviser: Adviser | None = None

    def advised_by(self, adviser: Adviser) -> None:
        """See `Advised`."""
        self._adviser = adviser

    def promote(self, paused: Mapping[str, int]) -> str | None:
        """Which goes on; None: a new one is worth more."""
        assert self._adviser is not None
        return self._adviser(paused) if paused else None


def rung_epochs(epochs: int, min_epochs: int | None = None, reduction_factor: float = 3.0) -> tuple[int, ...]:
    """The rungs below a full training: its 1/eta-th part, the 1/eta-th of that, and so on down to `min_epochs`.

    None of them lies in the last third, where the learning rate falls and what is measured changes most; none before
    `min_epochs`, by default a quarter of the training.
    """
    first = max(1, math.ceil(epochs * FIRST_SHARE)) if min_epochs is None else min_epochs
    rungs: set[int] = set()
    rung = epochs / reduction_factor
    while round(rung) >= first:
        if round(rung) <= LAST_SHARE * epochs and round(rung) < epochs:
            rungs.add(round(rung))
        rung /= reduction_factor
    return tuple(sorted(rungs))


Scheduler = Callable[[StoppingOptions], EarlyStopping | None]

SCHEDULERS: Registry[Scheduler] = Registry("scheduler", "nas.schedulers", SearchError)
"""Schedulers by name: each gives what ends trials early, or None where every trial is trained to its end."""


def register_scheduler(name: str) -> Callable[[Scheduler], Scheduler]:
    """Adds a function from `nas.StoppingOptions` to a `nas.EarlyStopping`, or None, as the scheduler `name`.

    It may raise `nas.SearchError` where it cannot work with these options.
    """
    return adder(SCHEDULERS, name, lambda function: function)


@register_scheduler("none")
def _none(options: StoppingOptions) -> EarlyStopping | None:
    return None


@register_scheduler("pareto_asha")
def _pareto_asha(options: StoppingOptions) -> EarlyStopping | None:
    return _with_rungs(Rungs, options)


@register_scheduler("pareto_asha_promotion")
def _pareto_asha_promotion(options: StoppingOptions) -> EarlyStopping | None:
    return _with_rungs(Promotion, options)


@register_scheduler("pareto_gain")
def _pareto_gain(options: StoppingOptions) -> EarlyStopping | None:
    return _with_rungs(Gain, options)


def _with_rungs(kind: type[Rungs], options: StoppingOptions) -> Rungs:
    rungs = kind(options.objectives, options.epochs, options.min_epochs, options.reduction_factor)
    if rungs.epochs:
        return rungs
    possible = rung_epochs(options.epochs, 1, options.reduction_factor)
    if options.min_epochs is not None and possible:
        raise SearchError(
            f"min_epochs: must be at most {possible[-1]}, not {options.min_epochs}: --scheduler {options.scheduler} would never "
            f"stop one, because its last look is after {possible[-1]} of the {options.epochs} epochs of a training"
        )
    raise SearchError(
        f"a training of {options.epochs} epochs is too short for --scheduler {options.scheduler} with reduction factor "
        f"{options.reduction_factor:g}: it would never stop one; train longer, or leave the scheduler out"
    )
