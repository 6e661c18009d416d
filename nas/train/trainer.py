"""Trains one model under one recipe, epoch by epoch, and measures it on the validation split.

Read `Trainer` from top to bottom. What a model raises leaves it, and becomes a named state in `nas.execution.runner`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from nas.config.losses import Loss, find_loss
from nas.config.recipe import Recipe
from nas.data import Batches, Dataset, Split
from nas.data.stored import select
from nas.states import State
from nas.train.averages import Averaged, recalibrate
from nas.train.captured import Captured
from nas.train.cuda_graph import captured
from nas.train.device import deterministic, forget_peak
from nas.train.evaluation import evaluate, predict
from nas.train.generators import generators, set_generators
from nas.train.layout import memory_layout
from nas.train.mixup import Targets, mixed
from nas.train.outcome import Diverged, Verdict
from nas.train.precision import amp_dtype
from nas.train.recipe_checks import check_fits
from nas.train.schedule import SHARE, freeze, make_optimizer, schedule
from nas.train.step import Step

T = TypeVar("T")

CHECK_EVERY = 20  # iterations between two looks at the loss: a look makes the CPU wait for a GPU
EXPLODED = 1_000.0  # times the loss of a guess; nothing comes back from there
EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, and what the model was worth afterwards."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    loss: float
    """Loss on the validation split, like the two accuracies; all three are NaN where there is none."""
    accuracy: float
    """Top-1, in [0, 1]; NaN, like `top5`, in a task that has none."""
    top5: float
    seconds: float
    images_per_second: float
    """Training images, evaluation not counted."""
    lr: float
    """Learning rate of the last batch."""
    train_accuracy: float = math.nan
    """Top-1, or the share that is right, on the training images, as augmented and while the weights changed."""
    others: Mapping[str, float] = field(default_factory=dict)
    """Other metrics on the validation split, by name."""

    @property
    def found(self) -> dict[str, float]:
        """All that was measured on the validation split, by name."""
        return {"accuracy": self.accuracy, "top5": self.top5, "loss": self.loss, **self.others}


@dataclass
class _UnderWay:
    """The epoch that is trained: sums over its batches so far."""

    loss: Tensor
    right: Tensor
    seconds: float = 0.0
    """In a process before this one."""


class Trainer:
    """Trains `model` (B, C, H, W) -> (B, classes), or what the type of the task wants, on a data set, one epoch a `step`.

    What is measured is `network`: the model, or the average of its weights where the recipe has one, with statistics of batch
    norm that were measured for it. Of the epochs those in `measured` and the last are measured, None: all.

    The same seed gives the same network: to the bit on a CPU with the same number of threads, and on CUDA where PyTorch's
    kernels are deterministic. For that cuDNN does not choose its algorithms by timing them while this trains and measures. In
    fp32 on CUDA convolutions may use TF32, as PyTorch has it by default.

    `steps` takes the steps: on CUDA it replays a recorded one where that is faster, with the same numbers (`nas.train.captured`).

    A `teacher` gives logits (B, classes) for the same images, on the same device; its answers are a share of what is learned.
    """

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        recipe: Recipe,
        device: torch.device | str = "cpu",
        *,
        seed: int | None = None,
        resident: bool | None = None,
        measured: Collection[int] | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        check_fits(recipe, dataset)
        self.recipe = recipe = recipe.for_images(len(dataset.train))
        self.dataset = dataset
        self.type = dataset.type.focused(recipe.focal) if recipe.focal else dataset.type
        self.measured = measured
        self.device = torch.device(device)
        seed = recipe.seed if seed is None else seed
        self.layout = memory_layout(recipe, self.device, model)
        precision = amp_dtype(recipe, self.device, model, dataset.input)
        forget_peak(
            self.device
        )  # before the model comes there: one that has no room shall not report the peak of another
        self.model = model.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.train_batches = Batches(
            dataset.train,
            dataset,
            recipe.batch_size,
            self.device,
            augment=recipe.augment,
            shuffle=True,
            balanced=recipe.sampling == "balanced",
            seed=seed,
            memory_format=self.layout,
            resident=resident,
        )
        final, meanwhile = recipe.norm_images, recipe.norm_images // 4  # on the way nobody keeps the network
        self.norm_batches = self._norm_batches(_some(dataset.train, final), seed, resident)
        self.some_norm_batches = self._norm_batches(_some(dataset.train, meanwhile), seed, resident)
        self.validation_batches = self._evaluation_batches(dataset.validation, resident)
        freeze(model, recipe)
        self.optimizer = make_optimizer(model, recipe)
        self.averaged = Averaged(self.model, recipe.ema) if recipe.ema else None
        self.class_weights = _class_weights(dataset).to(self.device) if recipe.class_weights == "balanced" else None
        loss: Loss = (
            find_loss(recipe.loss)
            if recipe.loss
            else partial(self.type.loss, weights=self.class_weights, smoothing=recipe.label_smoothing)
        )
        self.one_step = Step(
            self.model,
            self.optimizer,
            recipe,
            self.device,
            loss=loss,
            right=self.type.right,
            amp_dtype=precision,
            teacher=teacher,
        )
        self.steps: Captured = captured(self.one_step, recipe.batch_size, len(dataset.train))
        # What a guess has by a loss of a user's own nobody knows.
        self.explosion = math.inf if recipe.loss else EXPLODED * self.type.guess(dataset.classes)
        self.epochs: list[Epoch] = []
        self.after_batch: Callable[[], None] = lambda: None
        """Called after each step of the optimizer: there `state_dict` may be taken too."""
        self._under_way: _UnderWay | None = None
        self._started = 0.0

    def step(self) -> Epoch:
        """Trains one epoch and measures. Raises what the model raises, and Diverged."""
        with deterministic(self.device):
            return self._epoch()

    def _epoch(self) -> Epoch:
        self._started = time.perf_counter() - (self._under_way.seconds if self._under_way else 0.0)
        train_loss, train_accuracy = self._train_epoch()
        self._synchronize()
        trained = time.perf_counter()
        found = {"accuracy": math.nan, "top5": math.nan, "loss": math.nan}
        number = len(self.epochs) + 1
        is_measured = self.is_measured(number)
        if is_measured and (self.validation_batches.images or number >= self.recipe.epochs):
            batches = self.norm_batches if number >= self.recipe.epochs else self.some_norm_batches
            self._in_memory(partial(self.settle, batches))
        if is_measured and self.validation_batches.images:
            found |= self._in_memory(partial(self._evaluate, self.validation_batches))
            if not math.isfinite(found["loss"]):
                raise Diverged(f"validation loss is {found['loss']} after epoch {len(self.epochs) + 1}")
        epoch = Epoch(
            epoch=len(self.epochs) + 1,
            train_loss=train_loss,
            loss=found.pop("loss"),
            accuracy=found.pop("accuracy"),
            top5=found.pop("top5"),
            seconds=time.perf_counter() - self._started,
            images_per_second=self.train_batches.images / (trained - self._started),
            lr=max(float(group["lr"]) for group in self.optimizer.param_groups),
            train_accuracy=train_accuracy,
            others=found,
        )
        self.epochs.append(epoch)
        return epoch

    def is_measured(self, epoch: int) -> bool:
        """Whether the network is measured after that epoch, counted from 1."""
        return self.measured is None or epoch in self.measured or epoch >= self.recipe.epochs

    @property
    def network(self) -> nn.Module:
        """What is measured and kept."""
        return self.model if self.averaged is None else self.averaged.model

    def verdict(self) -> Verdict:
        """How the training ended: complete, or untrained with the reason. After the last epoch."""
        last = self.epochs[-1]
        problem = None
        if self.validation_batches.images:
            problem = self.type.untrained(self.dataset.measured_labels, self.dataset.classes, last.found)
        return Verdict(State.COMPLETE) if problem is None else Verdict(State.UNTRAINED, problem)

    def settle(self, batches: Batches | None = None) -> None:
        """Makes `network` ready to be measured: statistics of batch norm for the weights that it has now, over `batches`."""
        if self.averaged is not None:
            self.averaged.take_buffers()
        with deterministic(self.device):
            recalibrate(self.network, batches or self.norm_batches, self.one_step.autocast())

    def evaluate(self, split: Split) -> dict[str, float]:
        """The mean loss and every metric, by name, on other images, such as those of `nas.data.load_test`."""
        return self._evaluate(self._evaluation_batches(split, None))

    def predict(self, split: Split) -> Tensor:
        """Outputs (N, …) in float32, on the CPU, for the images of a split in their order."""
        with deterministic(self.device):
            return predict(self.network, self._evaluation_batches(split, None), self.one_step.autocast())

    @property
    def amp_dtype(self) -> torch.dtype | None:
        """The type that autocast computes in; None for float32 throughout."""
        return self.one_step.amp_dtype

    @property
    def circumstances(self) -> dict[str, str]:
        """What a result was measured under beside its device and versions: on CUDA whether a recorded step was replayed."""
        if self.device.type != "cuda":
            return {}
        unused = self.steps.reason or ("" if self.steps.replays else "too few steps")
        return {"cuda_graph": f"not used: {unused}" if unused else "used"}

    def close(self) -> None:
        """Gives back the memory of a recorded step."""
        self.steps.forget()

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return len(self.epochs) >= self.recipe.epochs

    def state_dict(self) -> dict[str, Any]:
        """Everything to go on from here, after an epoch or a batch: tensors and plain values, for `torch.load(weights_only=True)`.

        The tensors are those of the training, which changes them: copy what is to last.
        """
        return {
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.one_step.scaler.state_dict(),
            "in_float32": self.amp_dtype is None,
            "batches": self.train_batches.state_dict(),
            **generators(self.device),
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "under_way": self._under_way_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken, by this nas or one before it."""
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.one_step.scaler.load_state_dict(state["scaler"])
        if state.get("in_float32", False):
            self.one_step.amp_dtype = None
        self.steps.forget()
        self.train_batches.load_state_dict(state["batches"])
        set_generators(state, self.device)
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        under_way = state.get("under_way")
        self._under_way = None
        if under_way is not None:
            loss, right = (under_way[name].to(self.device, copy=True) for name in ("loss", "right"))
            self._under_way = _UnderWay(loss, right, under_way["seconds"])

    @property
    def under_way(self) -> bool:
        """Whether a part of an epoch is trained that `step` goes on with."""
        return self._under_way is not None

    def _under_way_state(self) -> dict[str, Any] | None:
        if self._under_way is None:
            return None
        sums = {"loss": self._under_way.loss, "right": self._under_way.right}
        return {**sums, "seconds": time.perf_counter() - self._started}

    def _train_epoch(self) -> tuple[float, float]:
        """Mean loss and share of right answers."""
        self.model.train()
        right = torch.zeros((), device=self.device, dtype=torch.int64)  # becomes a float where shares are counted
        sums = self._under_way = self._under_way or _UnderWay(torch.zeros((), device=self.device), right)
        for place, (x, y) in enumerate(self.train_batches, self.train_batches.done):
            self._set_lr(len(self.epochs) + place / len(self.train_batches))
            x, targets = mixed(x, y, self.recipe) if self.recipe.mixes else (x, Targets(y))
            loss, right = self.steps(x, targets)
            if self.averaged is not None:
                self.averaged.update()
            sums.loss += loss * len(y)
            sums.right = sums.right + right
            if place % CHECK_EVERY == 0:
                self._check(float(loss), place)
            self.after_batch()
        self._under_way = None
        mean = float(sums.loss) / self.train_batches.images
        self._check(mean, len(self.train_batches) - 1)
        return mean, sums.right.item() / self.train_batches.images

    def _set_lr(self, epoch: float) -> None:
        for group in self.optimizer.param_groups:
            rate = self.recipe.lr * schedule(self.recipe, epoch, self.recipe.epochs) * group.get(SHARE, 1.0)
            # A recorded step reads it from the GPU, in float32: others have the same one.
            group["lr"] = float(np.float32(rate)) if self.device.type == "cuda" else rate

    def _check(self, loss: float, place: int) -> None:
        if not math.isfinite(loss) or loss > self.explosion:
            raise Diverged(f"training loss is {loss:.3g} at iteration {place + 1} of epoch {len(self.epochs) + 1}")

    def _in_memory(self, action: Callable[[], T]) -> T:
        """What comes of `action`, again without the memory of a recorded step where there is too little beside it."""
        try:
            return action()
        except torch.OutOfMemoryError:
            if not self.steps.give_up("no memory to measure the network beside the recorded step"):
                raise
        return action()

    def _norm_batches(self, split: Split, seed: int, resident: bool | None) -> Batches:
        """Training images as the model has seen them: with the borders and colours of the augmentation, but not mixed."""
        return Batches(
            split,
            self.dataset,
            EVALUATION_BATCH,
            self.device,
            augment=self.recipe.augment,
            shuffle=self.recipe.sampling == "balanced",
            balanced=self.recipe.sampling == "balanced",
            seed=seed,
            same=True,
            memory_format=self.layout,
            resident=resident,
        )

    def _evaluation_batches(self, split: Split, resident: bool | None) -> Batches:
        return Batches(split, self.dataset, EVALUATION_BATCH, self.device, memory_format=self.layout, resident=resident)

    def _evaluate(self, batches: Batches) -> dict[str, float]:
        with deterministic(self.device):
            return evaluate(self.network, batches, self.one_step.autocast(), self.type)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _some(split: Split, images: int) -> Split:
    """So many images of a split, evenly over it."""
    if images >= len(split):
        return split
    index = np.linspace(0, len(split) - 1, images).round().astype(np.int64) if images else np.arange(0)
    return Split(select(split.x, index), split.y[index])


def _class_weights(dataset: Dataset) -> Tensor:
    """(classes,): the inverse of each class's share of the training images, so that an image counts 1 on average."""
    counts = dataset.type.counts(dataset.train.y, dataset.classes)
    assert counts is not None, "check_fits has refused it"
    return torch.from_numpy(counts.sum() / (dataset.classes * np.maximum(counts, 1))).float()
