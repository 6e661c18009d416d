"""Trains one model under one recipe, epoch by epoch, and measures it on the validation split.

Read `Trainer` from top to bottom. What a model raises leaves it, and becomes a named state in `nas.execution.runner`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.config.losses import Loss, find_loss
from nas.config.recipe import Augment, Recipe
from nas.data import Batches, Dataset, Split
from nas.data.stored import select
from nas.errors import RecipeError
from nas.states import State
from nas.train.averages import Averaged, recalibrate
from nas.train.device import forget_peak
from nas.train.distillation import soft_loss
from nas.train.evaluation import evaluate, predict
from nas.train.generators import generators, set_generators
from nas.train.layout import memory_layout
from nas.train.mixup import Targets, mixed
from nas.train.outcome import Diverged, Verdict
from nas.train.precision import amp_dtype
from nas.train.schedule import SHARE, freeze, make_optimizer, schedule

CHECK_EVERY = 20  # iterations between two looks at the loss: a look makes the CPU wait for a GPU
EXPLODED = 1_000.0  # times the loss of a guess; nothing comes back from there
EVALUATION_BATCH = 512
DOUBTFUL_NORM = 1e6
"""Largest norm of all gradients together: what is larger, or no number, is no gradient of a network that trains."""


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
    kernels are deterministic. For that cuDNN does not choose its algorithms by timing them. In fp32 on CUDA convolutions may
    use TF32, as PyTorch has it by default.

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
        self.amp_dtype = amp_dtype(recipe, self.device, model, dataset.input)
        forget_peak(
            self.device
        )  # before the model comes there: one that has no room shall not report the peak of another
        self.model = model.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False
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
        self.loss: Loss = (
            find_loss(recipe.loss)
            if recipe.loss
            else partial(self.type.loss, weights=self.class_weights, smoothing=recipe.label_smoothing)
        )
        # Only fp16 has so few exponents that gradients vanish; the scaler does nothing otherwise.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_dtype == torch.float16)
        self.teacher = teacher
        # What a guess has by a loss of a user's own nobody knows.
        self.explosion = math.inf if recipe.loss else EXPLODED * self.type.guess(dataset.classes)
        self.epochs: list[Epoch] = []
        self.after_batch: Callable[[], None] = lambda: None
        """Called after each step of the optimizer: there `state_dict` may be taken too."""
        self._under_way: _UnderWay | None = None
        self._started = 0.0

    def step(self) -> Epoch:
        """Trains one epoch and measures. Raises what the model raises, and Diverged."""
        self._started = time.perf_counter() - (self._under_way.seconds if self._under_way else 0.0)
        train_loss, train_accuracy = self._train_epoch()
        self._synchronize()
        trained = time.perf_counter()
        found = {"accuracy": math.nan, "top5": math.nan, "loss": math.nan}
        number = len(self.epochs) + 1
        is_measured = self.is_measured(number)
        if is_measured and (self.validation_batches.images or number >= self.recipe.epochs):
            self.settle(self.norm_batches if number >= self.recipe.epochs else self.some_norm_batches)
        if is_measured and self.validation_batches.images:
            found |= self._evaluate(self.validation_batches)
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
        recalibrate(self.network, batches or self.norm_batches, self._autocast())

    def evaluate(self, split: Split) -> dict[str, float]:
        """The mean loss and every metric, by name, on other images, such as those of `nas.data.load_test`."""
        return self._evaluate(self._evaluation_batches(split, None))

    def predict(self, split: Split) -> Tensor:
        """Outputs (N, …) in float32, on the CPU, for the images of a split in their order."""
        return predict(self.network, self._evaluation_batches(split, None), self._autocast())

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
            "scaler": self.scaler.state_dict(),
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
        self.scaler.load_state_dict(state["scaler"])
        if state.get("in_float32", False):
            self.amp_dtype = None
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
            logits, loss = self._gradients(x, targets)
            if self.recipe.clip_norm:
                self.scaler.unscale_(self.optimizer)
                norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
                if self._doubts and not float(norm) < DOUBTFUL_NORM:
                    self.amp_dtype = None
                    logits, loss = self._gradients(x, targets)
                    nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.averaged is not None:
                self.averaged.update()
            sums.loss += loss.detach() * len(y)
            sums.right = sums.right + self.type.right(logits.detach(), y)
            if place % CHECK_EVERY == 0:
                self._check(float(loss.detach()), place)
            self.after_batch()
        self._under_way = None
        mean = float(sums.loss) / self.train_batches.images
        self._check(mean, len(self.train_batches) - 1)
        return mean, sums.right.item() / self.train_batches.images

    @property
    def _doubts(self) -> bool:
        """Whether gradients may be wrong though the network is right: oneDNN's in bfloat16, see `nas.train.precision`.

        The rest of the training is then done in float32: AMSRA-Net on digits, whose 7×7 convolution has maps of 2×2, got an
        infinite gradient at its 18th step, and trains to 99 % without bfloat16.
        """
        return self.device.type == "cpu" and self.amp_dtype == torch.bfloat16

    def _gradients(self, x: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Outputs (B, …) and the loss of a batch, whose gradients are then in the parameters."""
        with self._autocast():
            logits = self.model(x)
            loss = targets.loss(self.loss, logits)
            if self.teacher is not None:
                with torch.no_grad():
                    said = self.teacher(x)
                taught = soft_loss(logits, said, self.recipe.temperature)
                loss = torch.lerp(loss, taught, self.recipe.teacher_weight)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return logits, loss

    def _set_lr(self, epoch: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * schedule(self.recipe, epoch, self.recipe.epochs) * group.get(SHARE, 1.0)

    def _check(self, loss: float, place: int) -> None:
        if not math.isfinite(loss) or loss > self.explosion:
            raise Diverged(f"training loss is {loss:.3g} at iteration {place + 1} of epoch {len(self.epochs) + 1}")

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp_dtype)

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
        return evaluate(self.network, batches, self._autocast(), self.type)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def check_fits(recipe: Recipe, dataset: Dataset) -> None:
    """Raises RecipeError where the recipe asks for what the type of the task does not have."""
    balanced = [name for name in ("class_weights", "sampling") if getattr(recipe, name) == "balanced"]
    if balanced and dataset.type.counts(dataset.train.y, dataset.classes) is None:
        raise RecipeError(f"{balanced[0]} balanced: a task of {dataset.type.name} has no classes to balance")
    if recipe.sampling == "balanced" and dataset.train.y.ndim > 1:
        raise RecipeError(f"sampling balanced: an image in a task of {dataset.type.name} is not of one class")
    plain = Augment(crop_padding=0, flip=False)
    moved_by = ("crop_padding", "flip", "cutout", "crop_scale", "policy", "erase")
    moving = [name for name in moved_by if getattr(recipe.augment, name) != getattr(plain, name)]
    if recipe.cutmix and dataset.type.is_dense:
        raise RecipeError(f"cutmix: the labels of a task of {dataset.type.name} do not move with the image")
    if moving and dataset.type.is_dense:
        raise RecipeError(
            f"augment {moving[0]}: the labels of a task of {dataset.type.name} do not move with the image"
        )


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
