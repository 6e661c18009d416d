"""The worker: a Ray Tune Trainable that trains one architecture after the other in one process.

A fresh process imports PyTorch for seconds; a reused one starts a trial in milliseconds. The data set comes once through
Ray's object store. An epoch is a step, and what a model does wrong is a report like any other.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from ray import tune
from torch import nn

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.config.block_files import OwnBlocks
from nas.config.recipe import Recipe
from nas.data import Dataset
from nas.execution.protocol import REPORT, Retire
from nas.execution.time_limit import TimedOut, TimeLimit
from nas.states import State
from nas.train import (
    Retry,
    Trainer,
    Verdict,
    answers,
    device_name,
    environment,
    forget_peak,
    judge,
    peak_memory,
    release_memory,
    seed_everything,
)
from nas.train.cross_validation import Folds
from nas.train.device import UNREACHABLE, place

TRAINED = (State.COMPLETE, State.UNTRAINED)
"""States of a training that went through to its end."""

LEAK_BYTES = 1 << 30
"""A process that holds so much more after a trial than after its first one has a leak, and is replaced."""

ANSWER_SECONDS = 60.0
"""A device that has not answered so long after an error is lost, and its process ends."""


class TrialWorker(tune.Trainable):  # type: ignore[misc]
    """Trains the architecture in `config`; each step reports ``{"epoch", "state", "reason", "retry", …}``."""

    trainer: Trainer | Folds | None
    ended: Verdict | None
    """How the trial has ended, and why."""

    def setup(self, config: dict[str, Any], dataset: Dataset, blocks: OwnBlocks, threads: int, device: str) -> None:
        """Called once a process, with the first trial."""
        blocks.load()
        torch.set_num_threads(threads)  # trials share a CPU; each takes what Ray gave it
        self.dataset = dataset
        self.device = torch.device(device)  # Ray shows a worker the GPUs that are its own
        self.name = device_name(self.device)  # it may not say so any more when something has gone wrong
        self.environment = environment()
        self.held: int | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called for every further trial."""
        self._end()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """Called before the process ends or stops a trial."""
        self._end()

    def step(self) -> dict[str, Any]:
        """One epoch, or the report of what went wrong. Raises Retire with the report when this process is spent."""
        epoch: dict[str, Any] | None = None
        if self.ended is None:
            epoch = self._guarded(self._epoch)
        ended = self.ended
        report = {
            "epoch": epoch,
            "state": ended and ended.state,
            "reason": ended.reason if ended else "",
            "retry": ended.retry if ended else Retry.NEVER,
            "seconds": time.perf_counter() - self.started,
            "device": self.name,
            "environment": self.environment,
            "peak_memory": peak_memory(self.device),
        }
        text = json.dumps(report)
        if ended is not None:
            self._end()
            if self._spent(ended):
                raise Retire(text)
        return {REPORT: text, tune.result.DONE: ended is not None}

    def _begin(self, config: dict[str, Any]) -> None:
        self.started = time.perf_counter()
        self.trainer = None
        self.ended = None
        self.limit = TimeLimit(config["timeout"])
        self.shared = config["memory"] is not None or 0 < config["gpus"] < 1
        self._guarded(lambda: self._build(config))

    def _limit_memory(self, size: int | None) -> None:
        """So many bytes of the GPU are for this process, None for all: who needs more fails, and not who shares the GPU."""
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            share = 1.0 if size is None else min(1.0, size / total)
            # Of the current device: "cuda" without a number is refused here.
            torch.cuda.set_per_process_memory_fraction(share)

    def _build(self, config: dict[str, Any]) -> None:
        forget_peak(self.device)
        self._limit_memory(config["memory"])
        recipe = Recipe.from_dict(config["recipe"])
        architecture = Architecture.from_json(config["architecture"])

        def make_model() -> nn.Module:
            return compile_model(architecture, self.dataset.input, self.dataset.classes)

        if self.dataset.task.folds > 1:
            self.trainer = Folds(make_model, self.dataset, recipe, self.device, measured=config["measured"])
        else:
            seed_everything(recipe.seed)
            self.trainer = Trainer(make_model(), self.dataset, recipe, self.device, measured=config["measured"])

    def _epoch(self) -> dict[str, Any]:
        """Trains until the network is measured."""
        assert self.trainer is not None
        epoch = self.trainer.step()
        while not self.trainer.is_measured(epoch.epoch):
            epoch = self.trainer.step()
        if self.trainer.finished:
            self.ended = self.trainer.verdict()
        return asdict(epoch)

    def _guarded(self, action: Any) -> Any:
        """What `action` returns; None, and `ended` says why, when the model goes wrong or takes too long."""
        try:
            with self.limit.running():
                return action()
        except TimedOut:
            self.ended = Verdict(State.TIMED_OUT, f"took longer than {self.limit.seconds:g} s")
        except Exception as problem:  # whatever a model can do
            self.ended = self._weighed(judge(problem))
        return None

    def _weighed(self, verdict: Verdict) -> Verdict:
        """The verdict with what this process knows: what of its device was taken, and which that is.

        Memory that may have run out has not where a whole device was less than half taken.
        """
        if verdict.retry == Retry.ELSEWHERE:  # one that is broken has to be found
            return replace(verdict, reason=f"{verdict.reason}, on {place(self.device)}")
        if verdict.doubtful and not self.shared and (peak_memory(self.device) or 0) < _total_bytes(self.device) / 2:
            return replace(verdict, state=State.FAILED)
        return verdict

    def _end(self) -> None:
        broken = self.ended is not None and self.ended.state not in TRAINED
        self.trainer = None
        if broken or self.device.type == "cuda":
            release_memory()

    def _spent(self, ended: Verdict) -> bool:
        """Whether the next model would suffer from what this process has been through."""
        if ended.retire or (ended.state not in TRAINED and not self._answers()):
            return True
        held = _held_bytes(self.device)
        if self.held is None:
            self.held = held
        return held - self.held > LEAK_BYTES

    def _answers(self) -> bool:
        """Whether the device still computes. A kernel that never ends, ends the process."""
        try:
            with TimeLimit(ANSWER_SECONDS).running():
                return answers(self.device)
        except TimedOut:
            return False


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
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return 0
    return pages * 4096
