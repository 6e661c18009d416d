"""Between Ray Tune and the study: proposes trials to Tune, and writes what Tune reports to the database.

Ray's own `OptunaSearch` leaves a trial running for ever when a metric is not a number, knows no constraints and repeats
networks. This one runs in the driver, the only process that writes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ray.tune.search import Searcher

from nas.config.recipe import Recipe
from nas.errors import SearchError
from nas.execution.gpu_sharing import Packing, Slot
from nas.execution.protocol import REPORT
from nas.execution.tune_searcher import Link
from nas.execution.worker_loss import Deaths
from nas.pareto import left_out
from nas.searches.early_stopping import Rungs
from nas.searches.progress import Progress
from nas.searches.proposer import Proposal, Proposer
from nas.searches.trial_queue import Attempt, Attempts
from nas.states import State
from nas.store import Memory, PastResult, Store
from nas.train import Retry


@dataclass(frozen=True)
class Plan:
    """What a run of a study is to do."""

    study: str
    recipe: Recipe
    trials: int
    """Finished trials of the study in all."""
    deadline: float | None = None
    """In `time.monotonic`."""
    trial_timeout: float | None = None
    """Seconds."""
    cache: bool = True
    """Whether results of the same network are taken over."""
    measured: tuple[int, ...] | None = None
    """Epochs after which a network is measured; None: all."""
    chance: float = 0.0
    """Accuracy up to which a network has learned nothing."""


class Bridge(Link):
    """Proposes the trials of a search to Tune, and records them."""

    def __init__(
        self, proposer: Proposer, store: Store, plan: Plan, rungs: Rungs | None, *, finished: int, progress: Progress
    ) -> None:
        super().__init__()
        self.trial_timeout = plan.trial_timeout
        self.proposer, self.store, self.plan, self.rungs, self.progress = proposer, store, plan, rungs, progress
        self.started = finished
        """Trials that count against `plan.trials`: finished before, or begun now."""
        self.exhausted = False
        self.packing: Packing | None = None
        """What each trial has of a device; None: a CPU."""
        self._running = Attempts()
        self._called_back: set[str] = set()
        """Networks that were stopped early and are trained to the end after all."""
        self._changed = True
        """Whether a trial has ended since somebody last looked for those."""
        self._deaths = Deaths()
        store.patience.hurried = lambda: self.stop_reason is not None

    # Ray Tune asks for these ------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial, None when there may be one later, or that there is none."""
        config = self._guarded(lambda: self._start(trial_id))
        if config is None and (self.ended() or not (self._running.more_to_come or self._may_call_back())):
            return str(Searcher.FINISHED)
        return config

    def on_worker(self, trial_id: str) -> None:
        """A trial has got a worker."""
        self._running.on_worker(trial_id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch is done."""
        self._guarded(lambda: self._epoch(trial_id, json.loads(result[REPORT])))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended: by itself, by an error of its process, or because the search ends."""
        if trial_id in self._running:
            report = json.loads(result[REPORT]) if result and REPORT in result else {}
            self._guarded(lambda: self._finish(trial_id, report))

    # The scheduler asks for these -------------------------------------------------------------------------------------

    def ended(self) -> bool:
        """Whether everything ends now: time is up, the user says so, or the database fails."""
        if self.plan.deadline is not None and time.monotonic() > self.plan.deadline and not self.stop_reason:
            self.stop_reason = "time is up"
        return super().ended()

    def goes_on(self, trial_id: str, report: Mapping[str, Any]) -> bool:
        """Whether a trial that reports is worth its next epoch. Seed points always are."""
        running = self._running.get(trial_id)
        epoch = report["epoch"]
        if self.rungs is None or running is None or epoch is None or report["state"] is not None:
            return True
        proposal = running.proposal
        place = self.rungs.enter(proposal.architecture.hash, epoch["epoch"], measured(epoch), proposal.cost)
        if place is None or place.goes_on or proposal.published or proposal.architecture.hash in self._called_back:
            return True
        running.stopped = f"{place.rank} of {place.of} at epoch {epoch['epoch']}"
        return False

    def lost(self, trial_id: str, report: Callable[[float], Mapping[str, Any]]) -> None:
        """The process of a trial is gone; `report` makes its last words from the seconds since the trial began."""
        running = self._running.get(trial_id)
        if running is not None:
            running.lost = report(time.monotonic() - running.begun)

    # Ours -------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends what still runs as interrupted: Tune does not tell of trials that it stops with the experiment."""
        for attempt in [*self._running.values(), *self._running.queue]:
            self._guarded(partial(self._record, attempt, {**attempt.last, **(attempt.lost or {})}))

    def _start(self, trial_id: str) -> dict[str, Any] | None:
        queue = self._running.queue
        if not queue and (attempt := self._next()) is not None:
            queue.append(attempt)
        if self.ended() or not queue or not self._running.may_start(queue[0]):
            return None
        attempt = queue.pop(0)
        self._running.begin(trial_id, attempt)
        self.progress.started(len(self._running))
        return {
            "architecture": attempt.proposal.architecture.to_json(),
            "recipe": self.plan.recipe.to_dict(),
            "measured": self.plan.measured,
            "timeout": self.plan.trial_timeout,
            "gpus": attempt.slot.gpus,
            "memory": attempt.slot.memory,
        }

    def _next(self) -> Attempt | None:
        """The next trial that needs a training; None when there is none."""
        while not self.ended() and not self.exhausted and self.started < self.plan.trials:
            proposal = self.proposer.propose()
            if proposal is None:
                self.exhausted = True
                break
            past = self.store.find_result(self.plan.study, proposal.architecture.hash) if self.plan.cache else None
            row = self._begin(proposal)
            self.started += 1
            if past is not None:
                self._take_over(proposal, row, past)
                continue
            return Attempt(proposal, row, self._slot(proposal))
        return self._call_back()

    def _begin(self, proposal: Proposal) -> int:
        """The row of a new trial."""
        row = self.store.start_trial(
            self.plan.study,
            assignment=proposal.assignment,
            options=proposal.options,
            architecture=proposal.architecture,
            cost=proposal.cost,
            published=proposal.published,
        )
        for reading in proposal.readings:
            self.store.add_reading(replace(reading, trial_id=row))
        return row

    def _slot(self, proposal: Proposal) -> Slot:
        return Slot(0.0) if self.packing is None else self.packing.slot(proposal.architecture)

    def _may_call_back(self) -> bool:
        """Whether a trial that runs may be stopped, and called back later."""
        return self.rungs is not None and bool(self._running)

    def _call_back(self) -> Attempt | None:
        """When all is proposed: the next trial that was stopped early and would be on the front, to be trained to its end."""
        if self.rungs is None or self.ended() or not self._changed:
            return None
        trials = self.store.trials(self.plan.study)
        waiting = left_out(trials, self.proposer.objectives, self.plan.chance)
        waiting = waiting[~waiting["hash"].isin(self._called_back)]
        if waiting.empty:
            self._changed = False  # until another trial ends
            return None
        stopped = waiting.iloc[0]
        proposal = self.proposer.again(stopped["assignment"], stopped["hash"])
        if proposal is None:
            raise SearchError(f"trial {stopped['trial']}: its network cannot be built any more; was the space changed?")
        self._called_back.add(stopped["hash"])
        row = self._begin(proposal)
        self.progress.note(
            f"trial {stopped['trial']} was stopped early and would be on the front: its network is trained to the end"
        )
        return Attempt(proposal, row, self._slot(proposal))

    def _take_over(self, proposal: Proposal, row: int, past: PastResult) -> None:
        number = self.store.take_over(row, past)
        found = {"accuracy": past.accuracy, "top5": past.top5, "loss": past.loss, **past.values}
        self.proposer.finish(proposal, found)
        if self.rungs is not None:
            for epoch, values in self.store.curve(past.trial_id):
                self.rungs.enter(proposal.architecture.hash, epoch, values, proposal.cost)
        self._tell(proposal, number, past.state, None, found, 0.0, past.trial_id)

    def _epoch(self, trial_id: str, report: dict[str, Any]) -> None:
        running = self._running[trial_id]
        first = not running.trained
        running.last.update(report)
        if report["epoch"] is not None:
            self._deaths.epoch(first=first)
            self.store.record_epoch(running.row, report["epoch"])

    def _finish(self, trial_id: str, report: Mapping[str, Any]) -> None:
        running = self._running[trial_id]
        report = {**running.last, **(running.lost or report)}
        reason = report.get("reason") or "lost"
        self._observe(running, report)
        problem = self._count(running, report)
        if problem is not None:
            self._record(running, {**report, "state": State.INTERRUPTED})
            raise problem
        if report.get("retry") == Retry.ALONE and running.may_come_back and not self.ended():
            self._running.end(running)
            self._running.queue.insert(0, running.again(reason))
        elif report.get("retry") == Retry.ELSEWHERE and running.moved is None and not self.ended():
            self._running.end(running)
            self._running.queue.insert(0, running.elsewhere(reason))
            network = running.proposal.architecture.hash[:8]
            self.progress.note(f"{reason}: the trial of network {network} is tried once more")
        else:
            self._record(running, report)

    def _count(self, running: Attempt, report: Mapping[str, Any]) -> SearchError | None:
        """Takes note of whether workers come to train. The error that ends the search, when they do not."""
        if report.get("epoch") is not None or running.trained:
            self._deaths.epoch(first=not running.trained)
        elif report.get("retry") == Retry.ELSEWHERE and not report.get("node_lost"):
            return self._deaths.death(report["reason"], len(self._running))
        return None

    def _observe(self, running: Attempt, report: Mapping[str, Any]) -> None:
        """Takes note of what the trial took of a GPU's memory, where it came far enough to tell."""
        peak, predicted = report.get("peak_memory"), running.slot.predicted
        if peak is None or predicted is None:
            return
        if report.get("state") != State.OUT_OF_MEMORY and report.get("epoch") is None and not running.trained:
            return
        if self.packing is not None:
            self.packing.observe(predicted, peak)
        self.store.add_memory(Memory(running.row, predicted, peak, running.slot.gpus))

    def _record(self, running: Attempt, report: Mapping[str, Any]) -> None:
        epoch = report.get("epoch") or running.last.get("epoch") or {}
        state, reason = self._outcome(running, report)
        found = measured(epoch)
        seconds = report.get("seconds", time.monotonic() - running.begun)
        number = self.store.finish_trial(
            running.row,
            state=state,
            reason=reason,
            accuracy=found.get("accuracy"),
            loss=found.get("loss"),
            top5=found.get("top5"),
            values=found,
            seconds=seconds,
            device=report.get("device"),
            environment=report.get("environment", {}),
            epochs=[epoch] if epoch else [],
        )
        self._running.end(running)
        self._changed = True
        if state == State.INTERRUPTED and running.proposal.architecture.hash not in self._called_back:
            self.started -= 1  # it counts when it is evaluated again
        fidelity = epoch.get("epoch", 0) / self.plan.recipe.epochs
        if state == State.COMPLETE:
            self.proposer.finish(running.proposal, found)
        elif state == State.STOPPED_EARLY:
            self.proposer.finish(running.proposal, found, fidelity)
        else:
            self.proposer.finish(running.proposal, None)
        self._tell(running.proposal, number, state, reason, found, seconds, None)

    def _outcome(self, running: Attempt, report: Mapping[str, Any]) -> tuple[State, str | None]:
        if report.get("state") is not None:
            state = State(report["state"])
            if report.get("retry") == Retry.ELSEWHERE and running.moved is None:
                state = State.INTERRUPTED  # there was no time to try it again: the next run does
            return state, running.explained(report.get("reason") or None)
        if running.stopped is not None:
            return State.STOPPED_EARLY, running.stopped
        return State.INTERRUPTED, self.stop_reason or "the search ended"

    def _tell(
        self,
        proposal: Proposal,
        number: int,
        state: str,
        reason: str | None,
        found: Mapping[str, float | None],
        seconds: float,
        source: int | None,
    ) -> None:
        self.progress.finished(
            {
                "trial": number,
                "hash": proposal.architecture.hash,
                "state": str(state),
                "reason": reason,
                "accuracy": None,
                **found,
                **proposal.cost.to_dict(),
                "published": proposal.published,
                "seconds": seconds,
                "source": source,
            },
            len(self._running),
        )


def measured(epoch: Mapping[str, Any]) -> dict[str, float | None]:
    """What was measured after an epoch, by name."""
    return {
        **{name: epoch[name] for name in ("accuracy", "top5", "loss") if name in epoch},
        **(epoch.get("others") or {}),
    }
