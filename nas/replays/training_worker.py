"""The worker of replays: a Ray Tune Trainable that trains a published network or a front member under one seed."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from nas.config.block_files import OwnBlocks
from nas.errors import NasError
from nas.execution.protocol import REPORT, Retire
from nas.replays.plan import Plan
from nas.replays.training import Report, Training
from nas.states import State
from nas.train import Verdict, judge


class ReplayWorker(tune.Trainable):  # type: ignore[misc]
    """Trains what `config` names; each step reports ``{"begun", "epoch", "ended", "broken", "retry"}``.

    `begun`: epochs done before, with the first step; `ended`: a `nas.replays.training.Report`; `broken`: what the user
    has to mend before it can be trained; `retry`: a `nas.train.Retry`.
    """

    def setup(
        self,
        config: dict[str, Any],
        plans: list[Plan],
        tests: list[Any],
        folders: list[Path],
        blocks: OwnBlocks,
        threads: int,
        device: str,
    ) -> None:
        """Called once a process, with the first training. `tests`: references to the test images of each plan."""
        blocks.load()
        torch.set_num_threads(threads)
        self.plans, self.tests, self.folders = plans, tests, folders
        self.device = torch.device(device)  # Ray shows a worker the GPUs that are its own
        self.training: Training | None = None
        self._assign(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called for every further training."""
        self.cleanup()
        self._assign(new_config)
        return True

    def cleanup(self) -> None:
        """Called before the process ends or stops a training."""
        if self.training is not None:
            self.training.close()

    def step(self) -> dict[str, Any]:
        """One epoch; the look at the test set with the last. Raises Retire when this process must not train another."""
        begun: int | None = None
        epoch: dict[str, Any] | None = None
        ended: Report | None = None
        broken: str | None = None
        verdict = Verdict(State.COMPLETE)
        training = self.training
        try:
            if training is None:
                begun, training = self._begin()
            if not training.finished:
                epoch = asdict(training.step())
            if training.finished:
                ended = training.measure(ray.get(self.tests[self.place]))
        except NasError as problem:
            broken = str(problem)
        except Exception as problem:  # whatever a model can do
            verdict = judge(problem)
            ended = (training or self._new()).failed(verdict.state, verdict.reason)
        over = ended is not None or broken is not None
        report = {"begun": begun, "epoch": epoch, "ended": ended and asdict(ended), "broken": broken, "state": None}
        text = json.dumps({**report, "state": ended.state if ended else None, "retry": verdict.retry})
        if over:
            self.cleanup()
            if ended is not None and ended.state != State.COMPLETE:
                raise Retire(text)  # what the model held may still be held
        return {REPORT: text, tune.result.DONE: over}

    def _assign(self, config: dict[str, Any]) -> None:
        self.place, self.seed = config["place"], config["seed"]
        self.training = None

    def _new(self) -> Training:
        return Training(self.plans[self.place], self.seed, self.device, self.folders[self.place])

    def _begin(self) -> tuple[int, Training]:
        folder = self.folders[self.place]
        if not folder.is_dir():
            host = socket.gethostname()
            raise NasError(f"{folder}: is not there on {host}; name an --output that all machines of the cluster share")
        self.training = self._new()
        return self.training.begin(), self.training
