"""The trials of a search: proposed as jobs, and written to the database as what becomes of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nas.config.recipe import Recipe
from nas.errors import SearchError
from nas.execution.gpu_sharing import Packing, Slot
from nas.execution.job import Job, JobSource, Outcome
from nas.execution.report import Report
from nas.execution.stop import Stop
from nas.objectives import learned
from nas.searches.early_stopping import EarlyStopping
from nas.searches.paused_trials import PausedTrial, read_paused
from nas.searches.pending_epochs import PendingEpochs
from nas.searches.progress import EndedTrial, Progress
from nas.searches.proposer import Proposal, Proposer
from nas.searches.rung_decisions import RungDecisions
from nas.searches.trial_checkpoints import TrialCheckpoints
from nas.searches.trial_training import TrialSpec
from nas.states import State
from nas.store import Memory, PastResult, Store, TrialResult
from nas.train import Epoch, Retry, Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrialPlan:
    """What a run of a study is to do."""

    study: str
    recipe: Recipe
    trials: int
    """Finished trials of the study in all."""
    finished: int
    """Those that it had before."""
    cache: bool = True
    """Whether results of the same network are taken over."""
    measured: tuple[int, ...] | None = None
    """Epochs after which a network is measured; None: all."""
    chance: float = 0.0
    """Accuracy up to which a network has learned nothing."""


@dataclass(frozen=True, eq=False)
class TrialJob(Job):
    """One trial."""

    proposal: Proposal
    row: int
    """Id in the database."""

    @property
    def name(self) -> str:
        """The begin of its network's hash."""
        return f"network {self.proposal.architecture.hash[:8]}"


class TrialSource(JobSource[TrialJob]):
    """Supplies trials that go on, or what the proposer proposes, until the study has its trials; then those stopped too early.

    `packing` says what each trial has of a GPU, None: all run on CPUs. `rungs` stop or pause trials early, None: none is.
    `checkpoints` are what trials go on from, None: nothing is kept, and none pauses. `paused`: trials of the study that do, as
    `Store.paused` has them.
    """

    def __init__(
        self,
        proposer: Proposer,
        store: Store,
        plan: TrialPlan,
        stop: Stop,
        *,
        packing: Packing | None,
        rungs: EarlyStopping | None,
        progress: Progress,
        checkpoints: TrialCheckpoints | None = None,
        paused: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.proposer, self.store, self.plan, self.stop = proposer, store, plan, stop
        self.packing, self.progress = packing, progress
        self.brings_more = rungs is not None  # a trial that runs may be stopped, and called back later
        self.exhausted = False
        """Whether every network has been proposed."""
        self.checkpoints = checkpoints
        self._early: RungDecisions[PausedTrial] = RungDecisions(
            rungs,
            proposer,
            plan.recipe.epochs,
            pauses=checkpoints is not None,
            chance=plan.chance,
            left=self._trainings_left,
        )
        self._trained_seconds: list[float] = []
        """What full trainings took in this run."""
        self._interrupted, waiting = read_paused(plan.study, paused, store, self._early.promoting)
        for trial in waiting:
            self._early.wait(trial)
        self._pending = PendingEpochs(store, plan.study)
        self._told: set[str] = set()
        self._counted = plan.finished
        """Trials that count against `plan.trials`: finished before, or begun now."""

    def next(self, running: int) -> TrialJob | None:
        """The next trial that needs a training."""
        while not self.stop.now() and (paused := self._next_paused()) is not None:
            job = self._go_on(paused)
            if job is not None:
                return job
        while not self.stop.now() and not self.exhausted and self._counted < self.plan.trials:
            proposal = self.proposer.propose()
            if proposal is None:
                self.exhausted = True
                break
            past = self.store.find_result(self.plan.study, proposal.architecture.hash) if self.plan.cache else None
            row = self._begin(proposal)
            self._counted += 1
            if past is None or not self._tells_all(past):
                return self._job(proposal, row)
            self._take_over(proposal, row, past, running)
        job = self._call_back()
        if job is None and not running and not self.stop.now():
            self._give_up_waiting()
        return job

    def _next_paused(self) -> PausedTrial | None:
        """The trial that goes on now: interrupted ones first."""
        return self._interrupted.pop(0) if self._interrupted else self._early.promoted()

    def started(self, job: TrialJob, running: int) -> None:
        """Shows it."""
        self.progress.started(running)

    def stops(self, job: TrialJob, report: Report) -> str | None:
        """Where a trial stands that is not among the best at a rung: it stops or waits there. Seed points always go on."""
        proposal, epoch = job.proposal, report.epoch
        if epoch is None:
            return None
        place = self._early.stops(
            proposal.architecture.hash,
            epoch.epoch,
            measured(epoch),
            proposal.cost,
            published=proposal.published is not None,
            saved=report.saved,
        )
        return None if place is None else f"{place.rank} of {place.of} at epoch {epoch.epoch}"

    def heard(self, job: TrialJob, report: Report, *, last: bool) -> None:
        """Keeps an epoch, and those of a checkpoint, for the next tick; the last one is recorded with the end of the trial."""
        if report.note and report.note not in self._told:
            self._told.add(report.note)
            self.progress.note(report.note)
        for epoch in report.begun.epochs if report.begun is not None else ():
            if self.plan.measured is None or epoch.epoch in self.plan.measured:
                self._pending.add(job.row, asdict(epoch))
        if report.epoch is None:
            return
        if not last:
            self._pending.add(job.row, asdict(report.epoch))
        if self.checkpoints is not None:  # whoever goes on from one may not report this again
            self._pending.tick(now=True)
        self.progress.epoch(job.proposal.architecture.hash, report.epoch, self.plan.recipe.epochs)

    def tick(self) -> None:
        """Records the epochs that have waited long enough."""
        self._pending.tick()

    def took(self, job: TrialJob, slot: Slot, peak: int) -> None:
        """Takes note of what the trial needed of a GPU, for the next ones and the next run."""
        if slot.predicted is None:
            return
        if self.packing is not None:
            self.packing.observe(slot.predicted, peak)
        self.store.add_memory(Memory(job.row, slot.predicted, peak, slot.gpus))

    def again(self, job: TrialJob, verdict: Verdict) -> None:
        """Says that a worker was lost."""
        if verdict.retry == Retry.ELSEWHERE:
            network = job.proposal.architecture.hash[:8]
            kept = self.checkpoints is not None and self.checkpoints.has(job.row)
            what = "goes on from its checkpoint" if kept else "is tried once more"
            self.progress.note(f"{verdict.reason}: the trial of network {network} {what}")

    def ended(self, job: TrialJob, outcome: Outcome, running: int) -> None:
        """Writes the result, and tells the sampler of it. A trial that can go on has not ended."""
        proposal = job.proposal
        last = outcome.epochs[-1] if outcome.epochs else None
        found = measured(last) if last else {}
        self._early.ended()
        if outcome.state == State.INTERRUPTED and self._goes_on(job, outcome):
            self._pause(job, outcome, found)
            self.proposer.finish(proposal, None)
            return
        if outcome.state == State.STOPPED_EARLY and last is not None and self._waits(job):
            self._pause(job, outcome, found)
            self.proposer.finish(proposal, found, last.epoch / self.plan.recipe.epochs)
            self._wait(job, outcome, found, running)
            return
        result = _result(outcome, found)
        number = self.store.finish_trial(job.row, outcome.state, result, self._last_points(job, outcome))
        if self.checkpoints is not None:
            self.checkpoints.remove(job.row)
        if outcome.state == State.INTERRUPTED and proposal.architecture.hash not in self._early.called_back:
            self._counted -= 1  # it counts when it is evaluated again
        if outcome.state == State.COMPLETE:
            self._trained_seconds.append(_seconds(outcome))
            self.proposer.finish(proposal, found)
        elif outcome.state == State.STOPPED_EARLY and last is not None:
            self.proposer.finish(proposal, found, last.epoch / self.plan.recipe.epochs)
        else:
            self.proposer.finish(proposal, None)
        trial = _shown(proposal, number, outcome.state, found)
        self.progress.finished(replace(trial, reason=outcome.reason, seconds=_seconds(outcome)), running)

    def _trainings_left(self) -> float:
        """How many full trainings a worker still has time for."""
        seconds = self.stop.seconds_left()
        if seconds is None or not self._trained_seconds:
            return math.inf
        return seconds / statistics.median(self._trained_seconds)

    def _goes_on(self, job: TrialJob, outcome: Outcome) -> bool:
        """Whether the next run goes on with it in its row: from its checkpoint, or at the start where it has not come to one."""
        return self.checkpoints is not None and (outcome.cut_off or self.checkpoints.has(job.row))

    def _pause(self, job: TrialJob, outcome: Outcome, found: Mapping[str, float | None]) -> None:
        """The trial stops where it is."""
        self.store.pause_trial(job.row, _result(outcome, found), self._last_points(job, outcome))

    def _last_points(self, job: TrialJob, outcome: Outcome) -> list[Mapping[str, object]]:
        """What of its learning curve is not recorded yet."""
        return [*self._pending.take(job.row), *map(asdict, outcome.epochs[-1:])]

    def _waits(self, job: TrialJob) -> bool:
        """Whether a trial that stops at a rung may be promoted."""
        return self._early.promoting is not None and self.checkpoints is not None and self.checkpoints.has(job.row)

    def _wait(self, job: TrialJob, outcome: Outcome, found: Mapping[str, float | None], running: int) -> None:
        """The trial waits at its rung."""
        proposal = job.proposal
        trial = PausedTrial(
            job.row,
            proposal.architecture.hash,
            proposal.assignment,
            proposal.published,
            outcome.epochs[-1].epoch,
            proposal.cost,
            _result(outcome, found),
        )
        self._early.wait(trial)
        self.progress.paused(trial.hash, outcome.reason or "", len(self._early.waiting), running)

    def _go_on(self, paused: PausedTrial) -> TrialJob | None:
        """A trial that is paused runs again; None where its network cannot be built any more, and it ends."""
        self._early.goes_on(paused.hash, paused.epoch)
        self.store.resume_trial(paused.row)
        self.progress.resumed(len(self._early.waiting))
        proposal = self.proposer.again(paused.assignment, paused.hash)
        if proposal is None or proposal.architecture.hash != paused.hash:
            reason = "its network cannot be built any more, or breaks a constraint now"
            self.store.finish_trial(paused.row, State.INTERRUPTED, TrialResult(reason))
            return None
        return self._job(replace(proposal, published=paused.published), paused.row)

    def _give_up_waiting(self) -> None:
        """Everything is done: what still waits at a rung was worth less than all that was trained in its place."""
        while self._early.waiting:
            trial = self._early.take(next(reversed(self._early.waiting)))
            self.store.resume_trial(trial.row)
            number = self.store.finish_trial(trial.row, State.STOPPED_EARLY, trial.result)
            if self.checkpoints is not None:
                self.checkpoints.remove(trial.row)
            self.progress.resumed(len(self._early.waiting))
            self.progress.finished(
                EndedTrial(
                    number,
                    trial.hash,
                    trial.cost,
                    trial.published,
                    State.STOPPED_EARLY,
                    trial.result.values.get("accuracy"),
                    reason=trial.result.reason,
                    seconds=trial.result.seconds or 0.0,
                    others=trial.result.values,
                ),
                0,
            )

    def _begin(self, proposal: Proposal) -> int:
        """The row of a new trial."""
        row = self.store.start_trial(
            self.plan.study,
            assignment=proposal.assignment,
            options=proposal.options,
            architecture=proposal.architecture,
            cost=proposal.cost,
            published=proposal.published,
            outline=proposal.outline,
        )
        for reading in proposal.readings:
            self.store.add_reading(replace(reading, row=row))
        return row

    def _job(self, proposal: Proposal, row: int) -> TrialJob:
        kept = None if self.checkpoints is None else self.checkpoints.kept(row)
        rungs = () if self._early.rungs is None else self._early.rungs.epochs
        spec = TrialSpec(proposal.architecture.to_json(), self.plan.recipe, self.plan.measured, kept, rungs)
        slot = Slot(0.0) if self.packing is None else self.packing.slot(proposal.architecture)
        return TrialJob(spec, slot, proposal, row)

    def _call_back(self) -> TrialJob | None:
        """When all is proposed: the next trial that was stopped early and would be on the front, to be trained to its end."""
        stopped = None if self.stop.now() else self._early.call_back(self._trials)
        if stopped is None:
            return None
        if stopped["hash"] in self._early.waiting:
            network = stopped["hash"][:8]
            self.progress.note(f"network {network} waits and would be on the front: it is trained to the end")
            return self._go_on(self._early.take(stopped["hash"]))
        proposal = self.proposer.again(stopped["assignment"], stopped["hash"])
        if proposal is None:
            raise SearchError(f"trial {stopped['trial']}: its network cannot be built any more; was the space changed?")
        row = self._begin(proposal)
        self.progress.note(
            f"trial {stopped['trial']} was stopped early and would be on the front: its network is trained to the end"
        )
        return self._job(proposal, row)

    def _trials(self) -> pd.DataFrame:
        """Those that have ended, and those that wait as if they were stopped."""
        trials = self.store.trials(self.plan.study)
        if not self._early.waiting:
            return trials
        import pandas as pd

        waits = self.store.paused(self.plan.study).assign(state=str(State.STOPPED_EARLY))
        return waits if trials.empty else pd.concat([trials, waits], ignore_index=True)

    def _tells_all(self, past: PastResult) -> bool:
        """Whether a result of another study has what this one learns: it may have been measured by another metric."""
        return past.state != State.COMPLETE or all(
            past.values.get(name) is not None for name in learned(self.proposer.objectives)
        )

    def _take_over(self, proposal: Proposal, row: int, past: PastResult, running: int) -> None:
        number = self.store.take_over(row, past)
        self.proposer.finish(proposal, past.values)
        if self._early.rungs is not None:
            for epoch, values in self.store.curve(past.row):
                self._early.rungs.enter(proposal.architecture.hash, epoch, values, proposal.cost)
        trial = _shown(proposal, number, past.state, past.values)
        self.progress.finished(replace(trial, source=past.row), running)


def measured(epoch: Epoch) -> dict[str, float | None]:
    """What was measured after an epoch, by name."""
    return {name: value for name, value in epoch.found.items() if value == value}


def _result(outcome: Outcome, found: Mapping[str, float | None]) -> TrialResult:
    """What is known of a trial, for the database."""
    return TrialResult(outcome.reason, found, _seconds(outcome), outcome.device or None, outcome.environment)


def _seconds(outcome: Outcome) -> float:
    """How long the training took, in whatever processes it was."""
    before = outcome.begun.epochs if outcome.begun is not None else ()
    return outcome.seconds + sum(epoch.seconds for epoch in before)


def _shown(proposal: Proposal, number: int, state: str, found: Mapping[str, float | None]) -> EndedTrial:
    others = {name: value for name, value in found.items() if name != "accuracy"}
    digest, accuracy = proposal.architecture.hash, found.get("accuracy")
    return EndedTrial(number, digest, proposal.cost, proposal.published, str(state), accuracy, others=others)
