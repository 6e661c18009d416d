"""What early stopping makes of the trials of a search: which stop or wait at a rung, go on from there, or are called back.

Both a search and its simulation on a table of trained networks decide by this class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from nas.pareto import left_out
from nas.searches.early_stopping import EarlyStopping, Place, Promoting

if TYPE_CHECKING:
    import pandas as pd

    from nas.architecture.cost import Cost


class Waiting(Protocol):
    """A trial that waits at a rung."""

    @property
    def hash(self) -> str:
        """Names its network."""

    @property
    def epoch(self) -> int:
        """The one after which it waits."""


W = TypeVar("W", bound=Waiting)


class RungDecisions(Generic[W]):
    """Decides for one run of a search; it is told of every epoch and every end, in their order."""

    def __init__(
        self, rungs: EarlyStopping | None, objectives: Sequence[str], *, pauses: bool, chance: float = 0.0
    ) -> None:
        """`rungs` stop or pause trials early, None: none is. `pauses`: whether a trial can wait and go on from where it is.

        `chance` is the accuracy up to which a network has learned nothing.
        """
        self.rungs, self.objectives, self.chance = rungs, tuple(objectives), chance
        self.promoting = rungs if pauses and isinstance(rungs, Promoting) else None
        """What promotes trials that wait; None: none waits."""
        self.waiting: dict[str, W] = {}
        """Trials at a rung, by network."""
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
        if self._promoted({network: epoch}) == network if waits else place.goes_on:
            self.goes_on(network, epoch)
            return None
        return place

    def goes_on(self, network: str, epoch: int) -> None:
        """What was decided after this epoch holds when it is reported once more."""
        self._passed[network] = epoch

    def ended(self) -> None:
        """A trial is over, or waits from now on."""
        self._changed = True

    def promoted(self) -> W | None:
        """The trial that goes on now, if one does rather than that a new one begins. It waits no more."""
        network = self._promoted({})
        return None if network is None else self.waiting.pop(network)

    def _promoted(self, there: Mapping[str, int]) -> str | None:
        """Which goes on of those that wait and of the networks `there`, each after that epoch."""
        if self.promoting is None:
            return None
        return self.promoting.promote({**{name: trial.epoch for name, trial in self.waiting.items()}, **there})

    def call_back(self, trials: Callable[[], pd.DataFrame]) -> pd.Series | None:
        """When all is proposed: the next of `trials` that was stopped early and would be on the front, to be trained to its end.

        `trials` are those that have ended, and those that wait as if they were stopped. One that waits does so no more once the
        caller has taken it out of `waiting`.
        """
        if self.rungs is None or not self._changed:
            return None
        found = left_out(trials(), self.objectives, self.chance)
        found = found[~found["hash"].isin(self.called_back)]
        if found.empty:
            self._changed = False  # until another trial ends
            return None
        self.called_back.add(found.iloc[0]["hash"])
        return found.iloc[0]
