"""The training of a trial, in the process that does it."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.config.recipe import Recipe
from nas.data import Dataset
from nas.errors import NasError
from nas.execution.checkpoint import Checkpoint, Foreign, Kept
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
    kept: Kept | None = None
    """Where its checkpoint lies; None where there is none."""
    rungs: tuple[int, ...] = ()
    """Epochs after which there is a checkpoint before they are reported: the trial may stop there, and go on another time."""


class TrialTraining:
    """Trains one architecture, or one in each fold of a cross-validation, and reports where it is measured."""

    def __init__(self, dataset: Dataset, spec: TrialSpec, device: torch.device) -> None:
        self.dataset, self.spec, self.device = dataset, spec, device
        self.trainer: Trainer | Folds | None = None
        self.checkpoint: Checkpoint | None = None
        self._heard = True

    def begin(self) -> Begun:
        """Builds the network, from its checkpoint where there is one."""
        self.trainer = self._new_trainer()
        kept = self.spec.kept
        if kept is not None:
            self.checkpoint = Checkpoint(replace(kept, identity={**kept.identity, **self._identity()}))
            self._go_on(self.checkpoint)
            self.trainer.after_batch = self._after_batch
        return Begun(epochs=tuple(self.trainer.epochs))

    def step(self) -> Epoch:
        """Trains until the network is measured. What a checkpoint ends with is reported again: nobody may have heard of it."""
        assert self.trainer is not None
        if not self._heard:
            self._heard = True
            return self.trainer.epochs[-1]
        epoch = self.trainer.step()
        while not self.trainer.is_measured(epoch.epoch):
            epoch = self.trainer.step()
        if self.checkpoint is not None:
            self._after_batch()
            if epoch.epoch in self.spec.rungs:
                self.checkpoint.save(self._state(), wait=True)
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

    @property
    def circumstances(self) -> Mapping[str, str]:
        """See `Trainer`."""
        return {} if self.trainer is None else self.trainer.circumstances

    def close(self) -> None:
        """Lets go of the network."""
        if self.trainer is not None:
            self.trainer.close()
        self.trainer = None
        if self.checkpoint is not None:
            self.checkpoint.close()
            self.checkpoint = None

    def _new_trainer(self) -> Trainer | Folds:
        recipe, measured = self.spec.recipe, self.spec.measured
        architecture = Architecture.from_json(self.spec.architecture)

        start = start_of(recipe.pretrained) if recipe.pretrained else None

        def make_model() -> nn.Module:
            model = compile_model(architecture, self.dataset.input, self.dataset.classes)
            if start is not None:
                carry(model, start)
            return model

        if self.dataset.task.folds > 1:
            return Folds(make_model, self.dataset, recipe, self.device, measured=measured)
        seed_everything(recipe.seed)
        return Trainer(make_model(), self.dataset, recipe, self.device, measured=measured)

    def _identity(self) -> dict[str, str | int]:
        """What must be the same in a checkpoint beside what the search says of it."""
        network = hashlib.sha256(self.spec.architecture.encode()).hexdigest()
        return {"network": network, "device": self.device.type}

    def _go_on(self, checkpoint: Checkpoint) -> None:
        """Takes up the checkpoint. One that cannot be used is told of, and the training begins at the start."""
        if not checkpoint.path.parent.is_dir():
            checkpoint.tell(
                f"{checkpoint.path.parent}: is not there on {socket.gethostname()}, so that nothing is kept there"
            )
            return
        assert self.trainer is not None
        try:
            state = checkpoint.load()
            if state is None:
                return
            self.trainer.load_state_dict(state["trainer"])
        except Foreign as problem:
            checkpoint.tell(f"{checkpoint.path}: of another {problem.differs}; its trial begins at the start")
        except NasError as problem:
            checkpoint.tell(f"{str(problem).partition(';')[0]}; its trial begins at the start")
        except Exception as problem:  # whatever PyTorch makes of the state of something else
            reason = f"{type(problem).__name__}: {problem}".partition("\n")[0][:100]
            checkpoint.tell(f"{checkpoint.path}: does not fit ({reason}); its trial begins at the start")
            self.trainer = self._new_trainer()
        else:
            self._heard = self.trainer.under_way or not self.trainer.epochs or self.trainer.finished

    def _after_batch(self) -> None:
        assert self.checkpoint is not None
        self.checkpoint.after_batch(self._state)

    def _state(self) -> dict[str, Any]:
        assert self.trainer is not None
        return {"trainer": self.trainer.state_dict()}
