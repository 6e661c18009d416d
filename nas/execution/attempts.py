"""Attempts at jobs: what becomes of one, which may start now, and which are tried again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Generic

from nas.execution.gpu_sharing import Slot
from nas.execution.job import J, Outcome
from nas.execution.report import Begun, Environment, Report
from nas.states import State
from nas.train import Epoch, Retry, Verdict

LOST_SECONDS = 4 * 3600.0
"""A trial whose machines are taken away goes on elsewhere until it has trained so long without coming further."""
LEAST_LOST_SECONDS = 30.0
"""What such an attempt counts at least, so that one which ends its machine at once is not tried for ever."""


@dataclass(eq=False)
class Attempt(Generic[J]):
    """One job on its way through a process."""

    job: J
    slot: Slot
    first: str | None = None
    """Why the first attempt ran out of memory, when this is the second one."""
    moved: str | None = None
    """What an attempt before this one was lost by, that may have had nothing to do with the network."""
    final: bool = False
    """Whether nobody could try it in another process: it counts as it ends."""
    begun_at: float = field(default_factory=time.monotonic)
    waiting: bool = True
    """Whether it has no worker yet."""
    company: bool = False
    """Whether another job has run beside it."""
    begun: Begun | None = None
    epochs: list[Epoch] = field(default_factory=list)
    """That this attempt has reported."""
    report: Report = field(default_factory=Report)
    """The last one, or what is said in the place of a process that is gone."""
    device: str = ""
    environment: Environment = field(default_factory=dict)
    peak_memory: int | None = None
    stopped: str | None = None
    """Why its source stopped it."""
    reached: int = 0
    """The last epoch that attempts before this one have reported."""
    moves: int = 0
    """How many attempts before this one were lost."""
    lost_seconds: float = 0.0
    """How long those have trained that came no further than the ones before them."""
    _text: str = ""
    _read: Report = field(default_factory=Report)

    def read(self, text: str) -> Report:
        """The report in a text; decoded once, though Tune hands it to the scheduler and then to the searcher."""
        if text != self._text:
            self._text, self._read = text, Report.from_json(text)
        return self._read

    def hear(self, report: Report) -> None:
        """Takes note of a report."""
        self.report = report
        self.begun = report.begun or self.begun
        if report.epoch is not None:
            self.epochs.append(report.epoch)
        if report.device:
            self.device, self.environment = report.device, report.environment
        if report.peak_memory is not None:
            self.peak_memory = report.peak_memory

    @property
    def may_come_back(self) -> bool:
        """Whether it is tried again when it runs out of memory: once, and only where a device of its own has more."""
        return self.first is None and self.slot.shared and (self.company or self.slot.memory is not None)

    def again(self) -> Attempt[J] | None:
        """The attempt that follows on how this one ended; None when it is over."""
        verdict = self.report.verdict
        if verdict is None:
            return None
        if verdict.retry == Retry.ALONE and self.may_come_back:
            return Attempt(self.job, self.slot.whole(), first=verdict.reason, moved=self.moved)
        if self._may_move(verdict):
            return Attempt(
                self.job,
                self.slot,
                first=self.first,
                moved=verdict.reason,
                reached=max((epoch.epoch for epoch in self.epochs), default=self.reached),
                moves=self.moves + 1,
                lost_seconds=self._lost_seconds(),
            )
        return None

    def _may_move(self, verdict: Verdict) -> bool:
        """Whether it is tried in another process: once, again whenever an attempt has come further than those before, and where
        its machine was lost, as one for a lower price is, as often as `LOST_SECONDS` allow."""
        if verdict.retry != Retry.ELSEWHERE or self.final:
            return False
        return self.moved is None or self._further or (self.report.node_lost and self._lost_seconds() < LOST_SECONDS)

    @property
    def _further(self) -> bool:
        return any(epoch.epoch > self.reached for epoch in self.epochs)

    def _lost_seconds(self) -> float:
        """`lost_seconds` with this attempt, which was lost."""
        if self._further:
            return 0.0
        spent = 0.0 if self.waiting else self.report.seconds or time.monotonic() - self.begun_at
        return self.lost_seconds + max(LEAST_LOST_SECONDS, spent)

    def outcome(self, ended_by: str | None = None, *, cut_off: bool = False) -> Outcome:
        """How the job ended with this attempt. `ended_by`: why the run ended; `cut_off`: whatever it reported, it is not over."""
        verdict = self.report.verdict
        state, reason = State.INTERRUPTED, ended_by or "the search ended"
        if verdict is not None:
            # What would be tried in another process, had there been time, is tried by the next run.
            cut_off |= self._may_move(verdict)
            state = State.INTERRUPTED if cut_off else verdict.state
            reason = self._explained(verdict.reason)
        elif self.stopped is not None:
            state, reason = State.STOPPED_EARLY, self.stopped
        else:
            cut_off = True
        before = self.begun.epochs if self.begun else ()
        return Outcome(
            state=state,
            reason=reason or None,
            mend=verdict is not None and verdict.mend,
            cut_off=cut_off,
            begun=self.begun,
            epochs=(*before, *self.epochs),
            tested=self.report.tested,
            seconds=self.report.seconds or time.monotonic() - self.begun_at,
            device=self.device,
            environment=self.environment,
        )

    def _explained(self, reason: str) -> str:
        """The reason of its end, with what had happened to the attempts before it."""
        before = []
        if self.first is not None:
            before.append("alone on its device" + ("" if reason == self.first else f"; at first {self.first}"))
        if self.moved is not None:
            times = f"{self.moves + 1} times" if self.moves > 1 else "twice"
            again = f"tried again {self.moves} times; the last time" if self.moves > 1 else "tried again; at first"
            before.append(times if reason == self.moved else f"{again} {self.moved}")
        said = ", ".join(before)
        return f"{reason} ({said})" if reason and said else reason or said


class Attempts(dict[str, Attempt[J]]):
    """The attempts that run, by Tune's id of the trial; and those that wait for their turn."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: list[Attempt[J]] = []
        """Not given to Tune yet."""

    def may_start(self, attempt: Attempt[J]) -> bool:
        """Whether it may be given to Tune now.

        Nothing runs beside an attempt that is alone on the CPU. Tune takes what has room first, so that a job that wants
        more of a GPU would wait for ever while smaller ones come: as long as one waits for a worker, only its like may start.
        """
        if any(other.slot.alone and not other.slot.gpus for other in self.values()):
            return False
        if attempt.slot.alone and not attempt.slot.gpus:
            return not self
        return all(other.slot.gpus == attempt.slot.gpus for other in self.values() if other.waiting)

    def begin(self, trial_id: str, attempt: Attempt[J]) -> None:
        """Tune is told to start it."""
        for other in self.values():
            other.company = attempt.company = True
        self[trial_id] = attempt

    def on_worker(self, trial_id: str) -> None:
        """It has a worker; its time counts from now."""
        attempt = self.get(trial_id)
        if attempt is not None:
            attempt.waiting = False
            attempt.begun_at = time.monotonic()

    def beside(self, attempt: Attempt[J]) -> int:
        """How many others run."""
        return sum(other is not attempt for other in self.values())

    def end(self, attempt: Attempt[J]) -> None:
        """It is over, wherever it was."""
        self.queue = [other for other in self.queue if other is not attempt]
        for trial_id in [trial_id for trial_id, other in self.items() if other is attempt]:
            del self[trial_id]

    @property
    def more_to_come(self) -> bool:
        """Whether there may be attempts to start later, without any new job."""
        return bool(self.queue or self)  # each that runs may lose its process
