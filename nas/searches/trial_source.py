"""The trials of a search: proposed as jobs, and written to the database as what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from nas.config.recipe import Recipe
from nas.errors import SearchError
from nas.execution.gpu_sharing import Packing, Slot
from nas.execution.job import Job, JobSource, Outcome
from nas.execution.report import Report
from nas.execution.stop import Stop
from nas.objectives import learned
from nas.pareto import left_out
from nas.searches.early_stopping import EarlyStopping
from nas.searches.progress import EndedTrial, Progress
from nas.searches.proposer import Proposal, Proposer
from nas.searches.trial_training import TrialSpec
from nas.states import State
from nas.store import Memory, PastResult, Store
from nas.train import Epoch, Retry, Verdict


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


class TrialSource(JobSource[TrialJob]):
    """Supplies what the proposer proposes, until the study has its trials; then those that were stopped too early.

    `packing` says what each trial has of a GPU, None: all run on CPUs. `rungs` stop trials early, None: none is.
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
    ) -> None:
        self.proposer, self.store, self.plan, self.stop = proposer, store, plan, stop
        self.packing, self.rungs, self.progress = packing, rungs, progress
        self.brings_more = rungs is not None  # a trial that runs may be stopped, and called back later
        self.exhausted = False
        """Whether every network has been proposed."""
        self._counted = plan.finished
        """Trials that count against `plan.trials`: finished before, or begun now."""
        self._called_back: set[str] = set()
        """Networks that were stopped early and are trained to the end after all."""
        self._changed = True
        """Whether a trial has ended since somebody last looked for those."""

    def next(self, running: int) -> TrialJob | None:
        """The next trial that needs a training."""
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
        return self._call_back()

    def started(self, job: TrialJob, running: int) -> None:
        """Shows it."""
        self.progress.started(running)

    def stops(self, job: TrialJob, epoch: Epoch) -> str | None:
        """Where a trial stands that is not among the best at a rung. Seed points always go on."""
        proposal = job.proposal
        if self.rungs is None:
            return None
        place = self.rungs.enter(proposal.architecture.hash, epoch.epoch, measured(epoch), proposal.cost)
        if place is None or place.goes_on or proposal.published or proposal.architecture.hash in self._called_back:
            return None
        return f"{place.rank} of {place.of} at epoch {epoch.epoch}"

    def heard(self, job: TrialJob, report: Report, *, last: bool) -> None:
        """Records an epoch; the last one is recorded with the end of the trial."""
        if report.epoch is not None and not last:
            self.store.record_epoch(job.row, asdict(report.epoch))

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
            self.progress.note(f"{verdict.reason}: the trial of network {network} is tried once more")

    def ended(self, job: TrialJob, outcome: Outcome, running: int) -> None:
        """Writes the result, and tells the sampler of it."""
        proposal = job.proposal
        last = outcome.epochs[-1] if outcome.epochs else None
        found = measured(last) if last else {}
        number = self.store.finish_trial(
            job.row,
            state=outcome.state,
            reason=outcome.reason,
            accuracy=found.get("accuracy"),
            loss=found.get("loss"),
            top5=found.get("top5"),
            values=found,
            seconds=outcome.seconds,
            device=outcome.device or None,
            environment=outcome.environment,
            epochs=[asdict(last)] if last else [],
        )
        self._changed = True
        if outcome.state == State.INTERRUPTED and proposal.architecture.hash not in self._called_back:
            self._counted -= 1  # it counts when it is evaluated again
        if outcome.state == State.COMPLETE:
            self.proposer.finish(proposal, found)
        elif outcome.state == State.STOPPED_EARLY and last is not None:
            self.proposer.finish(proposal, found, last.epoch / self.plan.recipe.epochs)
        else:
            self.proposer.finish(proposal, None)
        trial = _shown(proposal, number, outcome.state, found)
        self.progress.finished(replace(trial, reason=outcome.reason, seconds=outcome.seconds), running)

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
            self.store.add_reading(replace(reading, row=row))
        return row

    def _job(self, proposal: Proposal, row: int) -> TrialJob:
        spec = TrialSpec(proposal.architecture.to_json(), self.plan.recipe, self.plan.measured)
        slot = Slot(0.0) if self.packing is None else self.packing.slot(proposal.architecture)
        return TrialJob(spec, slot, proposal, row)

    def _call_back(self) -> TrialJob | None:
        """When all is proposed: the next trial that was stopped early and would be on the front, to be trained to its end."""
        if self.rungs is None or self.stop.now() or not self._changed:
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
        return self._job(proposal, row)

    def _tells_all(self, past: PastResult) -> bool:
        """Whether a result of another study has what this one learns: it may have been measured by another metric."""
        found = {"accuracy": past.accuracy, "top5": past.top5, "loss": past.loss, **past.values}
        return past.state != State.COMPLETE or all(
            found.get(name) is not None for name in learned(self.proposer.objectives)
        )

    def _take_over(self, proposal: Proposal, row: int, past: PastResult, running: int) -> None:
        number = self.store.take_over(row, past)
        found = {"accuracy": past.accuracy, "top5": past.top5, "loss": past.loss, **past.values}
        self.proposer.finish(proposal, found)
        if self.rungs is not None:
            for epoch, values in self.store.curve(past.row):
                self.rungs.enter(proposal.architecture.hash, epoch, values, proposal.cost)
        trial = _shown(proposal, number, past.state, found)
        self.progress.finished(replace(trial, source=past.row), running)


def measured(epoch: Epoch) -> dict[str, float | None]:
    """What was measured after an epoch, by name."""
    return {name: value for name, value in epoch.found.items() if value == value}


def _shown(proposal: Proposal, number: int, state: str, found: Mapping[str, float | None]) -> EndedTrial:
    others = {name: value for name, value in found.items() if name != "accuracy"}
    digest, accuracy = proposal.architecture.hash, found.get("accuracy")
    return EndedTrial(number, digest, proposal.cost, proposal.published, str(state), accuracy, others=others)
