"""The trainings of replays: a plan under one seed is a job, and what comes of it a row of the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nas.data import Split
from nas.errors import NasError
from nas.execution.gpu_sharing import Slot
from nas.execution.job import Job, JobSource, Outcome
from nas.execution.report import Report
from nas.replays.jobs import Series
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.replays.training import SeedTraining
from nas.store.schema import utc_now
from nas.text.formatting import metric_text, words
from nas.train import Verdict


@dataclass(frozen=True)
class SeedSpec:
    """What a process is told of a training."""

    place: int
    """In the plans that it has."""
    seed: int


@dataclass(frozen=True)
class SeedTrainings:
    """Makes trainings of plans; `tests` read the test images of each."""

    plans: Sequence[Plan]
    folders: Sequence[Path]
    tests: Sequence[Callable[[], Split]]

    def __call__(self, spec: SeedSpec, device: torch.device) -> SeedTraining:
        """The training, nothing of which is built yet."""
        place = spec.place
        return SeedTraining(self.plans[place], spec.seed, device, self.folders[place], self.tests[place])


@dataclass(frozen=True, eq=False)
class SeedJob(Job):
    """A plan under one seed."""

    series: Series
    seed: int
    started_at: str = field(default_factory=lambda: utc_now().isoformat())

    @property
    def name(self) -> str:
        """As users see it."""
        return f"{self.series.plan.title} seed {self.seed}"


class SeedSource(JobSource[SeedJob]):
    """Supplies what is to be trained in each of `series`, in their order; each has `slot`."""

    def __init__(
        self, series: Sequence[Series], seeds: Sequence[Sequence[int]], slot: Slot, progress: Progress, *, tells: bool
    ) -> None:
        """`tells`: whether each result is told when it comes."""
        self.progress, self.tells = progress, tells
        self.broken: list[NasError] = []
        """What has to be mended before something can be trained."""
        self._waiting = [
            SeedJob(SeedSpec(place, seed), slot, series[place], seed)
            for place, some in enumerate(seeds)
            for seed in some
        ]

    def next(self, running: int) -> SeedJob | None:
        """The next training."""
        return self._waiting.pop(0) if self._waiting else None

    def heard(self, job: SeedJob, report: Report, *, last: bool) -> None:
        """Shows its epoch."""
        if report.begun is not None:
            self.progress.begin(job.name, job.series.plan.recipe.epochs, len(report.begun.epochs))
        if report.note:
            self.progress.note(f"{job.name}: {report.note}")
        if report.epoch is not None:
            self.progress.epoch(job.name, report.epoch)

    def again(self, job: SeedJob, verdict: Verdict) -> None:
        """It goes on from its last epoch."""
        self.progress.end(job.name)
        self.progress.note(f"{job.name}: {verdict.reason}; it is tried once more")

    def ended(self, job: SeedJob, outcome: Outcome, running: int) -> None:
        """Writes its result. The other seeds of a plan that failed are not tried: they would fail as well."""
        self.progress.end(job.name)
        if outcome.cut_off:
            return  # its checkpoint is what the next run goes on from
        if outcome.mend:
            self.progress.note(f"{job.name}: {outcome.reason}")
            self.broken.append(NasError(outcome.reason or ""))
            return
        if outcome.tested is not None and self.tells:
            metric = job.series.plan.metric
            value = outcome.tested.scores["test"].value(metric)
            self.progress.note(f"{job.name}: test {words(metric)} {metric_text(metric, value)}")
        if not job.series.record(job.seed, outcome, job.started_at):
            self._waiting = [other for other in self._waiting if other.series is not job.series]
