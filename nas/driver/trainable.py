"""The worker: a Ray Tune Trainable that trains one architecture after the other in one process.

A fresh process imports PyTorch for seconds; a reused one starts a trial in milliseconds. The data set comes once through
Ray's object store. An epoch is a step, and what a model does wrong is a report like any other.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

import torch
from ray import tune

from nas.architecture import Architecture
from nas.compile import compile_model
from nas.data import Dataset
from nas.recipe import Recipe
from nas.train import State, Trainer, environment, outcome, release_memory, seed_everything
from nas.train import device_name as name_of

REPORT = "report"
"""Key of a result under which the report stands as JSON: Tune flattens nested dictionaries."""


class TrialWorker(tune.Trainable):  # type: ignore[misc]
    """Trains the architecture in `config`; each step reports ``{"epoch", "state", "reason", …}``."""

    trainer: Trainer | None
    problem: tuple[State, str] | None

    def setup(self, config: dict[str, Any], dataset: Dataset, threads: int, device: str) -> None:
        """Called once a process, with the first trial."""
        torch.set_num_threads(threads)  # trials share a CPU; each takes what Ray gave it
        self.dataset = dataset
        self.device = torch.device(device)  # Ray shows a worker the GPUs that are its own
        self.environment = environment()
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
        """One epoch, or the report of what went wrong."""
        if self.problem is not None:
            return self._report(None, *self.problem)
        assert self.trainer is not None
        try:
            epoch = self.trainer.step()
        except Exception as problem:  # whatever a model can do
            self.problem = outcome(problem)
            return self._report(None, *self.problem)
        return self._report(asdict(epoch), State.COMPLETE if self.trainer.finished else None, "")

    def _begin(self, config: dict[str, Any]) -> None:
        self.started = time.perf_counter()
        self.trainer = None
        self.problem = None
        recipe = Recipe.from_dict(config["recipe"])
        try:
            seed_everything(recipe.seed)
            architecture = Architecture.from_json(config["architecture"])
            model = compile_model(architecture, self.dataset.input, self.dataset.classes)
            self.trainer = Trainer(model, self.dataset, recipe, self.device)
        except Exception as problem:  # whatever a model can do
            self.problem = outcome(problem)

    def _end(self) -> None:
        broken = self.problem is not None
        self.trainer = None
        if broken or self.device.type == "cuda":
            release_memory()

    def _report(self, epoch: dict[str, Any] | None, state: State | None, reason: str) -> dict[str, Any]:
        report = {
            "epoch": epoch,
            "state": state,
            "reason": reason,
            "seconds": time.perf_counter() - self.started,
            "device": name_of(self.device),
            "environment": self.environment,
        }
        return {REPORT: json.dumps(report), tune.result.DONE: state is not None}
