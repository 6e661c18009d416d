"""The trials that run, and which may start now: those that share a GPU alike, and one by one what needs a device alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.execution.gpu_sharing import Slot
from nas.searches.proposer import Proposal


@dataclass
class Attempt:
    """One trial on its way through a worker."""

    proposal: Proposal
    row: int
    """Id in the database."""
    slot: Slot
    first: str | None = None
    """Why the first attempt ran out of memory, when this is the second one."""
    moved: str | None = None
    """What an attempt before this one was lost by, that may have had nothing to do with the network."""
    begun: float = field(default_factory=time.monotonic)
    waiting: bool = True
    """Whether it has no worker yet."""
    company: bool = False
    """Whether another trial has run beside it."""
    last: dict[str, Any] = field(default_factory=dict)
    """The last report."""
    lost: Mapping[str, Any] | None = None
    """The report of a process that is gone, or what is said in its place."""
    stopped: str | None = None
    """Why the scheduler stopped it."""

    @property
    def may_come_back(self) -> bool:
        """Whether it is tried again when it runs out of memory: once, and only where a device of its own has more."""
        return self.first is None and self.slot.shared and (self.company or self.slot.memory is not None)

    def again(self, reason: str) -> Attempt:
        """The second attempt, on a device of its own."""
        return Attempt(self.proposal, self.row, self.slot.whole(), first=reason, moved=self.moved)

    def elsewhere(self, reason: str) -> Attempt:
        """The same in another process."""
        return Attempt(self.proposal, self.row, self.slot, first=self.first, moved=reason)

    def explained(self, reason: str | None) -> str | None:
        """The reason of its end, with what had happened to the attempts before it."""
        said = [reason] if reason else []
        if self.first is not None:
            said.append("alone on its device" + ("" if reason == self.first else f"; at first {self.first}"))
        if self.moved is not None:
            said.append("twice" if reason == self.moved else f"tried again; at first {self.moved}")
        if not reason:
            return ", ".join(said) or None
        return f"{reason} ({', '.join(said[1:])})" if said[1:] else reason

    @property
    def trained(self) -> bool:
        """Whether it has reported an epoch."""
        return self.last.get("epoch") is not None


class Attempts(dict[str, Attempt]):
    """The attempts that run, by Tune's id of the trial; and those that wait for their turn."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[Attempt] = []
        """Begun in the database, but not given to Tune."""

    def may_start(self, attempt: Attempt) -> bool:
        """Whether it may be given to Tune now.

        Nothing runs beside an attempt that is alone on the CPU. Tune takes what has room first, so that a trial that wants
        more of a GPU would wait for ever while smaller ones come: as long as one waits for a worker, only its like may start.
        """
        if any(other.slot.alone and not other.slot.gpus for other in self.values()):
            return False
        if attempt.slot.alone and not attempt.slot.gpus:
            return not self
        return all(other.slot.gpus == attempt.slot.gpus for other in self.values() if other.waiting)

    def begin(self, trial_id: str, attempt: Attempt) -> None:
        """Tune is told to start it."""
        for other in self.values():
            other.company = attempt.company = True
        self[trial_id] = attempt

    def on_worker(self, trial_id: str) -> None:
        """It has a worker; its time counts from now."""
        attempt = self.get(trial_id)
        if attempt is not None:
            attempt.waiting = False
            attempt.begun = time.monotonic()

    def end(self, attempt: Attempt) -> None:
        """It is over, wherever it was."""
        self.queue = [other for other in self.queue if other is not attempt]
        for trial_id in [trial_id for trial_id, other in self.items() if other is attempt]:
            del self[trial_id]

    @property
    def more_to_come(self) -> bool:
        """Whether there may be attempts to start later, without any new proposal."""
        return bool(self.queue) or any(attempt.may_come_back or attempt.moved is None for attempt in self.values())
