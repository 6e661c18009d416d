"""What early stopping makes of the trials of a search: which stop or wait at a rung, go on from there, or are called back.

Both a search and its simulation on a table of trained networks decide by this class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from nas.pareto import left_out
from nas.searches.early_stopping import Advised, EarlyStopping, Place, Promoting

if TYPE_CHECKING:
    import pandas as pd

    from nas.architecture.cost import Cost
    from nas.searches.proposer import Proposer
    from nas.space.space import Assignment


class Waiting(Protocol):
    """A trial that waits at a rung."""

    @property
    def hash(self) -> str:
        """Names its network."""

    @property
    def assignment(self) -> Assignment:
        """What its network is in the space."""

    @property
    def epoch(self) -> int:
        """The one after which it waits."""


W = TypeVar("W", bound=Waiting)


class RungDecisions(Generic[W]):
    """Decides for one run of a search; it is told of every epoch and every end, in their order."""

    def __init__(
        self,
        rungs: EarlyStopping | None,
        proposer: Proposer,
        epochs: int,
        *,
        pauses: bool,
        chance: float = 0.0,
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`rungs` stop or pause trials early, None: none is. `pauses`: whether a trial can wait and go on from where it is.

        `epochs` are those of a full training; `chance` is the accuracy up to which a network has learned nothing; `left` says how
        many full trainings a worker still has time for.
        """
        self.rungs, self.chance = rungs, chance
        self._proposer, self._epochs, self._left = proposer, epochs, left
        self.promoting = rungs if pauses and isinstance(rungs, Promoting) else None
        """What promotes trials that wait; None: none waits."""
        self._asks = isinstance(self.promoting, Advised)
        """Whether the sampler decides: then each waits until the sampler has been told of it."""
        if isinstance(self.promoting, Advised):
            self.promoting.advised_by(self._advise)
        self.waiting: dict[str, W] = {}
        """Trials at a rung, by network: see `wait` and `take`."""
        self._rungs_of: dict[str, int] = {}
        """And after which epoch each waits."""
        self.called_back: set[str] = set()
        """Networks that were stopped early, or waited, and are trained to the end after all."""
        self._passed: dict[str, int] = {}
        """The last epoch after which a network was found to go on: what a checkpoint reports once more is not decided again."""
        self._changed = True
        """Whether a trial has ended since somebody last looked for those to be called back."""

    def stops(
        self,
        network: str,
        epoch: int,
        found: Mapping[str, float | None],
        cost: Cost,
        *,
        published: bool = False,
        saved: bool = True,
    ) -> Place | None:
        """Where a network stands that stops or waits after this epoch; None where it goes on, as published ones always do.

        `saved`: whether it has a checkpoint of this epoch, without which it cannot wait.
        """
        if self.rungs is None:
            return None
        place = self.rungs.enter(network, epoch, found, cost)
        if place is None or published or network in self.called_back or self._passed.get(network, 0) >= epoch:
            return None
        waits = self.promoting is not None and saved
        if waits and self._asks:
            return place
        if self._would_go_on(network, epoch) if waits else place.goes_on:
            self.goes_on(network, epoch)
            return None
        return place

    def goes_on(self, network: str, epoch: int) -> None:
        """What was decided after this epoch holds when it is reported once more."""
        self._passed[network] = epoch

    def ended(self) -> None:
        """A trial is over, or waits from now on."""
        self._changed = True

    def wait(self, trial: W) -> None:
        """A trial has come to a rung, and waits there."""
        self.waiting[trial.hash] = trial
        self._rungs_of[trial.hash] = trial.epoch

    def take(self, network: str) -> W:
        """The trial of this network waits no more."""
        del self._rungs_of[network]
        return self.waiting.pop(network)

    def promoted(self) -> W | None:
        """The trial that goes on now, if one does rather than that a new one begins. It waits no more."""
        network = None if self.promoting is None else self.promoting.promote(self._rungs_of)
        return None if network is None else self.take(network)

    def _would_go_on(self, network: str, epoch: int) -> bool:
        """Whether a network that is there after this epoch is the next to go on, among all that wait."""
        assert self.promoting is not None
        self._rungs_of[network] = epoch
        try:
            return self.promoting.promote(self._rungs_of) == network
        finally:
            del self._rungs_of[network]

    def _advise(self, paused: Mapping[str, int]) -> str | None:
        """What the sampler says."""
        assert self.rungs is not None
        shares = {name: (self.waiting[name].assignment, epoch / self._epochs) for name, epoch in paused.items()}
        return self._proposer.goes_on(shares, [epoch / self._epochs for epoch in self.rungs.epochs], self._left())

    def call_back(self, trials: Callable[[], pd.DataFrame]) -> pd.Series | None:
        """When all is proposed: the next of `trials` that was stopped early and would be on the front, to be trained to its end.

        `trials` are those that have ended, and those that wait as if they were stopped. One that waits does so no more once the
        caller has taken it out of `waiting`.
        """
        if self.rungs is None or not self._changed:
            return None
        found = left_out(trials(), self._proposer.objectives, self.chance)
        found = found[~found["hash"].isin(self.called_back)]
        if found.empty:
            self._changed = False  # until another trial ends
            return None
        self.called_back.add(found.iloc[0]["hash"])
        return found.iloc[0]
