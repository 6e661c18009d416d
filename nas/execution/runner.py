"""What a process does with one training after the other: whatever a network does wrong becomes a report like any other.

The rule is written here, in `nas.train.outcome` (what an error says), in `nas.execution.worker_loss` (what the death of a
process says) and in `nas.execution.attempts` (what is tried again), for searches and replays, on Ray and without it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from nas.errors import NasError
from nas.execution.attempts import Attempt
from nas.execution.checkpoint import Checkpoint, Ending
from nas.execution.gpu_sharing import Slot
from nas.execution.job import J, JobSource, Training, Trainings
from nas.execution.report import Begun, Evaluated, Report
from nas.execution.time_limit import TimedOut, TimeLimit
from nas.states import State
from nas.text.log import LOG
from nas.train import (
    Epoch,
    Retry,
    Verdict,
    answers,
    device_name,
    environment,
    forget_peak,
    judge,
    peak_memory,
    release_memory,
)
from nas.train.device import UNREACHABLE, place

TRAINED = (State.COMPLETE, State.UNTRAINED)
"""States of a training that went through to its end."""

LEAK_BYTES = 1 << 30
"""A process that holds so much more after a training than after its first one has a leak, and is replaced."""

ANSWER_SECONDS = 60.0
"""A device that has not answered so long after an error is lost, and its process ends."""


class Runner:
    """Trains on one device, each training in at most `timeout` seconds."""

    def __init__(self, device: torch.device, timeout: float | None = None) -> None:
        self.device, self.timeout = device, timeout
        self.name = device_name(device)  # it may not say so any more when something has gone wrong
        self.environment = environment()
        self.spent = False
        """Whether the next network would suffer from what this process has been through."""
        self._held: int | None = None
        self._training: Training | None = None
        self._built = False

    def assign(self, training: Training, slot: Slot) -> None:
        """What is trained next. Nothing happens before the first step."""
        self.close()
        self._training, self._slot, self._built = training, slot, False
        self._limit = TimeLimit(self.timeout)
        self._started = time.perf_counter()

    def step(self) -> Report:
        """The next report: of an epoch, or of the end."""
        assert self._training is not None
        begun: Begun | None = None
        epoch: Epoch | None = None
        tested: Evaluated | None = None
        verdict: Verdict | None = None
        try:
            with self._limit.running():
                if not self._built:
                    begun = self._build(self._training)
                if not self._training.finished:
                    epoch = self._training.step()
                if self._training.finished:
                    verdict, tested = self._training.finish()
        except TimedOut:
            verdict = Verdict(State.TIMED_OUT, f"took longer than {self._limit.seconds:g} s")
        except Exception as problem:  # whatever a model can do
            LOG.debug("what a training raised:", exc_info=True)
            verdict = self._weighed(judge(problem))
        report = Report(
            begun=begun,
            epoch=epoch,
            verdict=verdict,
            tested=tested,
            seconds=time.perf_counter() - self._started,
            device=self.name,
            environment={**self.environment, **self._training.circumstances},
            peak_memory=peak_memory(self.device),
        )
        report = self._with_checkpoint(report, self._training.checkpoint)
        if verdict is not None:
            self.close(broken=verdict.state not in TRAINED)
            self.spent = self._is_spent(verdict)
        return report

    def close(self, *, broken: bool = False) -> None:
        """Lets go of the training, and of what a `broken` one still holds."""
        if self._training is not None:
            self._training.close()
            self._training = None
        if broken or self.device.type == "cuda":
            release_memory()

    def _with_checkpoint(self, report: Report, checkpoint: Checkpoint | None) -> Report:
        if checkpoint is None:
            return report
        return replace(report, saved=checkpoint.written, note=checkpoint.note())

    def _build(self, training: Training) -> Begun:
        forget_peak(self.device)
        self._limit_memory(self._slot.memory)
        begun = training.begin()
        self._built = True
        return begun

    def _limit_memory(self, size: int | None) -> None:
        """So many bytes of the GPU are for this process, None for all: who needs more fails, and not who shares the GPU."""
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            share = 1.0 if size is None else min(1.0, size / total)
            # Of the current device: "cuda" without a number is refused here.
            torch.cuda.set_per_process_memory_fraction(share)

    def _weighed(self, verdict: Verdict) -> Verdict:
        """The verdict with what this process knows: what of its device was taken, and which that is.

        Memory that may have run out has not where a whole device was less than half taken.
        """
        if verdict.retry == Retry.ELSEWHERE:  # one that is broken has to be found
            return replace(verdict, reason=f"{verdict.reason}, on {place(self.device)}")
        shared = self._slot.memory is not None or 0 < self._slot.gpus < 1
        if verdict.doubtful and not shared and (peak_memory(self.device) or 0) < _total_bytes(self.device) / 2:
            return replace(verdict, state=State.FAILED)
        return verdict

    def _is_spent(self, verdict: Verdict) -> bool:
        if verdict.retire or (verdict.state not in TRAINED and not self._answers()):
            return True
        held = _held_bytes(self.device)
        if self._held is None:
            self._held = held
        return held - self._held > LEAK_BYTES

    def _answers(self) -> bool:
        """Whether the device still computes. A kernel that never ends, ends the process."""
        try:
            with TimeLimit(ANSWER_SECONDS).running():
                return answers(self.device)
        except TimedOut:
            return False


def run_here(source: JobSource[J], trainings: Trainings, device: torch.device) -> None:
    """Runs the jobs of `source` in this process, one after the other; nobody tries one again.

    Raises NasError for what the user has to mend, and lets KeyboardInterrupt through: the same call goes on from there.
    """
    runner = Runner(device)
    while (job := source.next(0)) is not None:
        attempt = Attempt(job, job.slot, final=True)
        runner.assign(trainings(job.spec, device), job.slot)
        try:
            with Ending.on_sigterm(KeyboardInterrupt):
                while attempt.report.verdict is None:
                    attempt.hear(runner.step())
                    source.heard(job, attempt.report, last=attempt.report.verdict is not None)
        except BaseException:
            source.ended(job, attempt.outcome(cut_off=True), 0)
            raise
        finally:
            runner.close()
        outcome = attempt.outcome()
        if outcome.mend:
            source.ended(job, replace(outcome, cut_off=True), 0)
            raise NasError(outcome.reason or "")
        source.ended(job, outcome, 0)


def _total_bytes(device: torch.device) -> int:
    """Memory of a GPU; 0 of another device, and of one that does not answer."""
    if device.type == "cuda":
        with suppress(*UNREACHABLE):
            return int(torch.cuda.get_device_properties(device).total_memory)
    return 0


def _held_bytes(device: torch.device) -> int:
    """Memory that this process holds: of the GPU, else of the machine (0 where that cannot be told)."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    except OSError:  # not Linux
        return 0
    return (resident - shared) * 4096  # mapped images are shared, and given back when somebody needs their memory
