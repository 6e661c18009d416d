"""Cross-validation: one network trained several times side by side, each time measured on images that this training has not seen.

250 images tell an accuracy of 75 % to 2.7 points; measured on each of 1,000 once it is known to 1.4, at the price of as many
trainings as there are folds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from nas.config.recipe import Recipe
from nas.data import Dataset
from nas.states import State
from nas.train.generators import seed_everything
from nas.train.outcome import Verdict
from nas.train.trainer import Epoch, Trainer


class Folds:
    """Trains a model a fold, epoch by epoch in step, and reports them as one; the interface is that of `Trainer`.

    Accuracies and losses are means over all images: each is measured once. The seed of a training is that of the recipe plus
    the number of its fold.
    """

    def __init__(
        self,
        make_model: Callable[[], nn.Module],
        dataset: Dataset,
        recipe: Recipe,
        device: torch.device | str = "cpu",
        *,
        measured: Collection[int] | None = None,
    ) -> None:
        self.dataset = dataset
        # All run as long as the shortest wants: parts that differ by an image may differ by a step an epoch.
        recipe = recipe.for_images(dataset.trained_images)
        self.trainers: list[Trainer] = []
        for number, fold in enumerate(dataset.folded()):
            seed = recipe.seed + number
            seed_everything(seed)
            self.trainers.append(Trainer(make_model(), fold, recipe, device, seed=seed, measured=measured))
        self.epochs: list[Epoch] = []

    def step(self) -> Epoch:
        """An epoch of every training. Raises what a model raises, and Diverged."""
        done = len(self.epochs)
        epochs = [
            trainer.epochs[-1]
            if len(trainer.epochs) > done
            else trainer.step()  # a fold of a checkpoint is done before others
            for trainer in self.trainers
        ]
        trained = [trainer.train_batches.images for trainer in self.trainers]
        measured = [trainer.validation_batches.images for trainer in self.trainers]

        def mean(name: str, weights: list[int]) -> float:
            return float(np.average([getattr(epoch, name) for epoch in epochs], weights=weights))

        seconds = sum(epoch.seconds for epoch in epochs)
        epoch = Epoch(
            epoch=epochs[0].epoch,
            train_loss=mean("train_loss", trained),
            loss=mean("loss", measured),
            accuracy=mean("accuracy", measured),
            top5=mean("top5", measured),
            seconds=seconds,
            images_per_second=mean("images_per_second", trained),
            lr=epochs[0].lr,
            train_accuracy=mean("train_accuracy", trained),
            others={
                name: float(np.average([one.others[name] for one in epochs], weights=measured))
                for name in epochs[0].others
            },
        )
        self.epochs.append(epoch)
        return epoch

    def is_measured(self, epoch: int) -> bool:
        """Whether the networks are measured after that epoch, counted from 1."""
        return self.trainers[0].is_measured(epoch)

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return self.trainers[0].finished

    @property
    def after_batch(self) -> Callable[[], None]:
        """Called after each step of an optimizer."""
        return self.trainers[0].after_batch

    @after_batch.setter
    def after_batch(self, action: Callable[[], None]) -> None:
        for trainer in self.trainers:
            trainer.after_batch = action

    @property
    def under_way(self) -> bool:
        """Whether a part of an epoch is trained that `step` goes on with."""
        return any(trainer.under_way for trainer in self.trainers)

    def state_dict(self) -> dict[str, Any]:
        """As that of `Trainer`: every training, of which some may be an epoch ahead of others."""
        return {
            "folds": [trainer.state_dict() for trainer in self.trainers],
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        for trainer, its in zip(self.trainers, state["folds"], strict=True):
            trainer.load_state_dict(its)  # they share PyTorch's generator, whose state is the same in all
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]

    @property
    def circumstances(self) -> dict[str, str]:
        """Those of the first training: the others have the same network."""
        return self.trainers[0].circumstances

    def close(self) -> None:
        """Gives back the memory of recorded steps."""
        for trainer in self.trainers:
            trainer.close()

    def verdict(self) -> Verdict:
        """How the trainings ended together: complete, or untrained with the reason."""
        last = self.epochs[-1]
        problem = self.dataset.type.untrained(self.dataset.measured_labels, self.dataset.classes, last.found)
        return Verdict(State.COMPLETE) if problem is None else Verdict(State.UNTRAINED, problem)
