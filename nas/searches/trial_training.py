"""The training of a trial, in the process that does it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.config.recipe import Recipe
from nas.data import Dataset
from nas.execution.report import Begun
from nas.network.pretrained import carry, start_of
from nas.train import Epoch, Trainer, Verdict, seed_everything
from nas.train.cross_validation import Folds


@dataclass(frozen=True)
class TrialSpec:
    """What a worker is told of a trial."""

    architecture: str
    """As `Architecture.to_json` writes it."""
    recipe: Recipe
    measured: tuple[int, ...] | None
    """Epochs after which the network is measured; None: all."""


class TrialTraining:
    """Trains one architecture, or one in each fold of a cross-validation, and reports where it is measured."""

    def __init__(self, dataset: Dataset, spec: TrialSpec, device: torch.device) -> None:
        self.dataset, self.spec, self.device = dataset, spec, device
        self.trainer: Trainer | Folds | None = None

    def begin(self) -> Begun:
        """Builds the network."""
        recipe, measured = self.spec.recipe, self.spec.measured
        architecture = Architecture.from_json(self.spec.architecture)

        start = start_of(recipe.pretrained) if recipe.pretrained else None

        def make_model() -> nn.Module:
            model = compile_model(architecture, self.dataset.input, self.dataset.classes)
            if start is not None:
                carry(model, start)
            return model

        if self.dataset.task.folds > 1:
            self.trainer = Folds(make_model, self.dataset, recipe, self.device, measured=measured)
        else:
            seed_everything(recipe.seed)
            self.trainer = Trainer(make_model(), self.dataset, recipe, self.device, measured=measured)
        return Begun()

    def step(self) -> Epoch:
        """Trains until the network is measured."""
        assert self.trainer is not None
        epoch = self.trainer.step()
        while not self.trainer.is_measured(epoch.epoch):
            epoch = self.trainer.step()
        return epoch

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        assert self.trainer is not None
        return self.trainer.finished

    def finish(self) -> tuple[Verdict, None]:
        """Whether the network has learned anything."""
        assert self.trainer is not None
        return self.trainer.verdict(), None

    def close(self) -> None:
        """Lets go of the network."""
        self.trainer = None
