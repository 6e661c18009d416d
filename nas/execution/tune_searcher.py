"""Between Ray Tune and who supplies jobs: proposes them to Tune, and says what became of each.

Ray's own `OptunaSearch` leaves a trial running for ever when a metric is not a number, knows no constraints and repeats
networks. This one runs in the driver, the only process that writes to the database.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from ray.tune.search import Searcher

from nas.errors import NasError
from nas.execution.attempts import Attempt, Attempts
from nas.execution.job import J, JobSource
from nas.execution.report import REPORT, Report
from nas.execution.stop import Stop
from nas.execution.worker_loss import Deaths, last_words
from nas.states import State
from nas.text.log import LOG
from nas.train import Epoch, Retry

T = TypeVar("T")


class JobSearcher(Searcher, Generic[J]):  # type: ignore[misc]
    """Tune's searcher over the jobs of `source`. A NasError is kept in `stop`, and ends the run.

    `timeout`: seconds after which a process that died is taken for one that hung; `concurrent`: jobs that run at once at most.
    """

    def __init__(
        self, source: JobSource[J], stop: Stop, timeout: float | None = None, concurrent: int | None = None
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.source, self.stop, self.timeout, self.concurrent = source, stop, timeout, concurrent
        self.attempts: Attempts[J] = Attempts()
        self._deaths = Deaths()

    # Ray Tune asks for these ------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job, None when there may be one later, or that there is none.

        Tune draws eight hexadecimal digits at every step, and its own limit of concurrency ends the run over those of a trial that
        runs: with 512 trials at a time and 300,000 epochs, one search in thirty. Here they are drawn again.
        """
        if trial_id in self.attempts or len(self.attempts) >= (self.concurrent or math.inf):
            return None
        attempt = self._guarded(lambda: self._start(trial_id))
        if attempt is not None:
            return {"spec": attempt.job.spec, "slot": attempt.slot}
        later = self.attempts.more_to_come or (self.attempts and self.source.brings_more)
        return None if later and not self.stop.now() else str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """An epoch is done."""
        self._guarded(lambda: self._epoch(self.attempts[trial_id], result[REPORT]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A job ended: by itself, by an error of its process, or because the run ends."""
        if trial_id in self.attempts:
            text = result.get(REPORT) if result else None
            self._guarded(lambda: self._finish(self.attempts[trial_id], text))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the rows of the database are the only state. Tune wants to see a file."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""

    def __getstate__(self) -> dict[str, object]:
        # The Tuner pickles its configuration to be able to restore it; we restore from the database instead.
        return {}

    # The scheduler asks for these -------------------------------------------------------------------------------------

    def on_worker(self, trial_id: str) -> None:
        """A job has got a worker: Tune may take its time to start a process, or wait for a GPU."""
        attempt = self.attempts.get(trial_id)
        if attempt is not None and attempt.waiting:
            LOG.debug("%s: has a worker after %.1f s", attempt.job.name, time.monotonic() - attempt.begun_at)
        self.attempts.on_worker(trial_id)

    def goes_on(self, trial_id: str, text: str) -> bool:
        """Whether a job that reports this is worth its next epoch."""
        return self._guarded(lambda: self._goes_on(self.attempts.get(trial_id), text)) is not False

    def tick(self) -> None:
        """Called after every step of Tune."""
        self._guarded(self.source.tick)

    def lost(self, trial_id: str, problem: Exception | None) -> None:
        """The process of a job is gone, and Ray says this of it."""
        attempt = self.attempts.get(trial_id)
        if attempt is not None:
            self._guarded(lambda: self._lose(attempt, problem))

    # Ours -------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends what still runs: Tune does not tell of jobs that it stops with the experiment."""
        for attempt in [*self.attempts.values(), *self.attempts.queue]:
            self._guarded(partial(self._end, attempt))

    def _start(self, trial_id: str) -> Attempt[J] | None:
        queue = self.attempts.queue
        if not queue and not self.stop.now() and (job := self.source.next(len(self.attempts))) is not None:
            queue.append(Attempt(job, job.slot))
        if self.stop.now() or not queue or not self.attempts.may_start(queue[0]):
            return None
        attempt = queue.pop(0)
        attempt.begun_at = time.monotonic()
        LOG.debug("%s: waits for a worker, beside %d others", attempt.job.name, len(self.attempts))
        self.attempts.begin(trial_id, attempt)
        self.source.started(attempt.job, len(self.attempts))
        return attempt

    def _goes_on(self, attempt: Attempt[J] | None, text: str) -> bool:
        report = attempt.read(text) if attempt is not None else Report()
        if attempt is None or report.epoch is None or report.verdict is not None:
            return True
        attempt.stopped = self.source.stops(attempt.job, report)
        return attempt.stopped is None

    def _epoch(self, attempt: Attempt[J], text: str) -> None:
        self._hear(attempt, attempt.read(text), last=False)

    def _hear(self, attempt: Attempt[J], report: Report, *, last: bool) -> None:
        if report.epoch is not None:
            self._deaths.epoch(first=not attempt.epochs)
            LOG.debug("%s", _told(attempt, report, report.epoch))
        attempt.hear(report)
        self.source.heard(attempt.job, report, last=last)

    def _lose(self, attempt: Attempt[J], problem: Exception | None) -> None:
        LOG.debug("%s: its process is gone: %s", attempt.job.name, problem)
        report = last_words(problem, time.monotonic() - attempt.begun_at, self.timeout)
        self._hear(attempt, report, last=True)

    def _finish(self, attempt: Attempt[J], text: str | None) -> None:
        report = attempt.report if text is None else attempt.read(text)
        if report is not attempt.report:
            self._hear(attempt, report, last=True)
        self._observe(attempt)
        problem = self._died_untrained(attempt)
        if problem is not None:
            self._end(attempt, cut_off=True)
            raise problem
        following = None if self.stop.now() else attempt.again()
        if following is None:
            self._end(attempt)
            return
        LOG.debug("%s: is tried again", attempt.job.name)
        self.attempts.end(attempt)
        self.attempts.queue.insert(0, following)
        assert attempt.report.verdict is not None
        self.source.again(attempt.job, attempt.report.verdict)

    def _died_untrained(self, attempt: Attempt[J]) -> NasError | None:
        """Takes note of whether processes come to train. The error that ends the run, when they do not."""
        report = attempt.report
        if attempt.epochs:
            self._deaths.epoch(first=False)
        elif report.verdict is not None and report.verdict.retry == Retry.ELSEWHERE and not report.node_lost:
            return self._deaths.death(report.verdict.reason, len(self.attempts))
        return None

    def _observe(self, attempt: Attempt[J]) -> None:
        """Says what the job took of a GPU's memory, where it came far enough to tell."""
        peak, verdict = attempt.peak_memory, attempt.report.verdict
        exhausted = verdict is not None and verdict.state == State.OUT_OF_MEMORY
        if peak is not None and (exhausted or attempt.epochs):
            self.source.took(attempt.job, attempt.slot, peak)

    def _end(self, attempt: Attempt[J], *, cut_off: bool = False) -> None:
        outcome = attempt.outcome(self.stop.reason, cut_off=cut_off)
        LOG.debug("%s: %s after %.1f s%s", attempt.job.name, outcome.state, outcome.seconds, _because(outcome.reason))
        self.source.ended(attempt.job, outcome, self.attempts.beside(attempt))
        self.attempts.end(attempt)

    def _guarded(self, action: Callable[[], T]) -> T | None:
        # Tune would wrap an error in its own and print pages; the driver raises it as it is.
        try:
            return action()
        except NasError as problem:
            self.stop.fail(problem)
            return None


def _told(attempt: Attempt[J], report: Report, epoch: Epoch) -> str:
    """What a worker says of an epoch, in one line."""
    peak = "" if report.peak_memory is None else f", at most {report.peak_memory / 2**20:,.0f} MiB"
    return (
        f"{attempt.job.name}: epoch {epoch.epoch} after {report.seconds:.1f} s on {report.device}, loss {epoch.train_loss:.3f}, "
        f"{epoch.images_per_second:,.0f} images/s{peak}"
    )


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""
