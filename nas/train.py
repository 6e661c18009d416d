"""Trains one model under one recipe, epoch by epoch, and measures it on the validation split.

Read `Trainer` from top to bottom. Whatever a model does wrong ends in a named `State` with a reason; nothing that a
model raises leaves `train`.
"""

from __future__ import annotations

import gc
import math
import platform
import random
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.data import Batches, Dataset
from nas.recipe import Recipe

CHECK_EVERY = 20  # iterations between two looks at the loss: a look makes the CPU wait for a GPU
EXPLODED = 1_000.0  # times the loss of a guess; nothing comes back from there
EVALUATION_BATCH = 512


class State(StrEnum):
    """How a trial ended. Every trial ends in one of these."""

    COMPLETE = "complete"
    STOPPED_EARLY = "stopped_early"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images, and what the model was worth afterwards."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    loss: float
    """On the validation split, like the two accuracies."""
    accuracy: float
    """Top-1, in [0, 1]."""
    top5: float
    seconds: float
    images_per_second: float
    """Training images, evaluation not counted."""
    lr: float
    """At the end of the epoch."""


@dataclass(frozen=True)
class Result:
    """How a training ended."""

    state: State
    reason: str
    """Why, when the state is not complete."""
    accuracy: float | None
    top5: float | None
    loss: float | None
    epochs: tuple[Epoch, ...]
    seconds: float
    device: str
    peak_memory: int | None
    """Most bytes allocated on a CUDA device."""


class Diverged(ArithmeticError):
    """The loss is not a number any more, or has exploded."""


def outcome(problem: BaseException) -> tuple[State, str]:
    """The state and the one-line reason that an error raised by a model stands for."""
    lines = str(problem).strip().splitlines()
    text = f"{type(problem).__name__}: {lines[0][:300]}" if lines else type(problem).__name__
    if isinstance(problem, Diverged):
        return State.DIVERGED, str(problem)
    exhausted = isinstance(problem, MemoryError | torch.OutOfMemoryError)
    if exhausted or (
        isinstance(problem, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    ):
        return State.OUT_OF_MEMORY, text
    return State.FAILED, text


def release_memory() -> None:
    """Gives back what a broken model held, so that the next one starts with the whole device."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and PyTorch: call it before a model is built."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def cpu_gains_from_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; without it bfloat16 is emulated and slower."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Trainer:
    """Trains `model` (B, C, H, W) -> (B, classes) on a data set, one epoch a `step`."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        recipe: Recipe,
        device: torch.device | str = "cpu",
        *,
        seed: int | None = None,
        resident: bool | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = torch.device(device)
        seed = recipe.seed if seed is None else seed
        layout = torch.contiguous_format if recipe.channels_last == "no" else torch.channels_last
        self.model = model.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        self.amp_dtype = _amp_dtype(recipe, self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            torch.backends.cudnn.deterministic = True  # the same seed gives the same network where PyTorch can
            torch.backends.cudnn.benchmark = False
        common: dict[str, Any] = {"memory_format": layout, "seed": seed, "resident": resident}
        self.train_batches = Batches(
            dataset.train, dataset, recipe.batch_size, self.device, augment=recipe.augment, shuffle=True, **common
        )
        self.validation_batches = Batches(dataset.validation, dataset, EVALUATION_BATCH, self.device, **common)
        self.optimizer = _optimizer(model, recipe)
        steps = len(self.train_batches)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: schedule(recipe, step / steps, recipe.epochs)
        )
        # Only fp16 has so few exponents that gradients vanish; the scaler does nothing otherwise.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp_dtype == torch.float16)
        self.explosion = EXPLODED * math.log(max(2, dataset.classes))
        self.epochs: list[Epoch] = []

    def step(self) -> Epoch:
        """Trains one epoch and measures. Raises what the model raises, and Diverged."""
        started = time.perf_counter()
        train_loss = self._train_epoch()
        self._synchronize()
        trained = time.perf_counter()
        accuracy, top5, loss = evaluate(self.model, self.validation_batches, self._autocast())
        if not math.isfinite(loss):
            raise Diverged(f"validation loss is {loss} after epoch {len(self.epochs) + 1}")
        epoch = Epoch(
            epoch=len(self.epochs) + 1,
            train_loss=train_loss,
            loss=loss,
            accuracy=accuracy,
            top5=top5,
            seconds=time.perf_counter() - started,
            images_per_second=self.train_batches.images / (trained - started),
            lr=float(self.optimizer.param_groups[0]["lr"]),
        )
        self.epochs.append(epoch)
        return epoch

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return len(self.epochs) >= self.recipe.epochs

    def result(self, state: State = State.COMPLETE, reason: str = "") -> Result:
        """What came out of it, under the state in which it ended."""
        last = self.epochs[-1] if self.epochs else None
        cuda = self.device.type == "cuda"
        return Result(
            state,
            reason,
            last.accuracy if last else None,
            last.top5 if last else None,
            last.loss if last else None,
            tuple(self.epochs),
            sum(epoch.seconds for epoch in self.epochs),
            device_name(self.device),
            torch.cuda.max_memory_allocated(self.device) if cuda else None,
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything to go on from here: tensors and plain values, so that `torch.load(weights_only=True)` reads it."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "batches": self.train_batches.state_dict(),
            "random": torch.get_rng_state(),
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.train_batches.load_state_dict(state["batches"])
        torch.set_rng_state(state["random"])
        self.epochs = [Epoch(**epoch) for epoch in state["epochs"]]

    def _train_epoch(self) -> float:
        self.model.train()
        total = torch.zeros((), device=self.device)
        for place, (x, y) in enumerate(self.train_batches):
            with self._autocast():
                loss = F.cross_entropy(self.model(x), y, label_smoothing=self.recipe.label_smoothing)
            self.optimizer.zero_grad(set_to_none=True)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            if self.recipe.clip_norm:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.scheduler.step()
            total += loss.detach() * len(y)
            if place % CHECK_EVERY == 0:
                self._check(float(loss.detach()), place)
        mean = float(total) / self.train_batches.images
        self._check(mean, len(self.train_batches) - 1)
        return mean

    def _check(self, loss: float, place: int) -> None:
        if not math.isfinite(loss) or loss > self.explosion:
            raise Diverged(f"training loss is {loss:.3g} at iteration {place + 1} of epoch {len(self.epochs) + 1}")

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.amp_dtype)

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def train(
    make_model: Callable[[], nn.Module],
    dataset: Dataset,
    recipe: Recipe,
    device: torch.device | str = "cpu",
    *,
    on_epoch: Callable[[Epoch], bool | None] = lambda epoch: None,
    seed: int | None = None,
) -> Result:
    """Builds a model from the seed and trains it to the end of the recipe, or until `on_epoch` returns False.

    Never raises what the model raises: that becomes the result's state and reason.
    """
    seed_everything(recipe.seed if seed is None else seed)
    trainer: Trainer | None = None
    started = time.perf_counter()
    try:
        trainer = Trainer(make_model(), dataset, recipe, device, seed=seed)
        while not trainer.finished:
            if on_epoch(trainer.step()) is False:
                return trainer.result(State.STOPPED_EARLY, f"stopped after epoch {len(trainer.epochs)}")
        return trainer.result()
    except Exception as problem:  # whatever a model can do
        state, reason = outcome(problem)
    if trainer is not None:
        result = trainer.result(state, reason)
    else:
        seconds = time.perf_counter() - started
        result = Result(state, reason, None, None, None, (), seconds, device_name(torch.device(device)), None)
    trainer = None
    release_memory()
    return result


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    context: AbstractContextManager[Any] | None = None,
) -> tuple[float, float, float]:
    """Top-1 and top-5 accuracy in [0, 1], and mean cross-entropy. With fewer than five classes top-5 is top-all."""
    was_training = model.training
    model.eval()
    sums: Tensor | None = None
    images = 0
    with context or nullcontext():
        for x, y in batches:
            logits = model(x).float()
            best = logits.topk(min(5, logits.shape[1])).indices
            hits = best == y[:, None]
            loss = F.cross_entropy(logits, y, reduction="sum")
            batch = torch.stack([hits[:, 0].sum().float(), hits.any(1).sum().float(), loss])
            sums = batch if sums is None else sums + batch
            images += len(y)
    model.train(was_training)
    if sums is None:
        raise ValueError("there are no images to evaluate on")
    top1, top5, loss_sum = (sums / images).tolist()
    return top1, top5, loss_sum


def schedule(recipe: Recipe, epoch: float, epochs: int) -> float:
    """The factor of the learning rate at `epoch` (a fraction counts) of `epochs`."""
    warmup = min(recipe.warmup_epochs, epochs)
    if recipe.schedule == "one_cycle":
        rise = warmup or 0.3 * epochs
        if epoch < rise:
            return 0.04 + 0.96 * epoch / rise
        return max(1e-4, 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - rise) / max(1e-9, epochs - rise)))))
    if epoch < warmup:
        return max(1e-4, epoch / warmup)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - warmup) / max(1e-9, epochs - warmup))))
    if recipe.schedule == "step":
        at = [milestone * epochs if milestone < 1 else milestone for milestone in recipe.milestones]
        return float(recipe.gamma ** sum(epoch >= milestone for milestone in at))
    return 1.0


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if recipe.decay_norm_bias or p.ndim > 1]
    others = [p for p in model.parameters() if not recipe.decay_norm_bias and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def _amp_dtype(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    if recipe.precision == "auto":
        gains = device.type == "cuda" or (device.type == "cpu" and cpu_gains_from_bf16())
        return torch.bfloat16 if gains else None
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.precision]


def device_name(device: torch.device) -> str:
    """What a result was measured on, such as ``cuda: NVIDIA H100`` or ``cpu: Intel Xeon``."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {_cpu_name()}"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class Environment:
    """What a result was measured on, apart from the device."""

    nas: str
    python: str = field(default_factory=platform.python_version)
    torch: str = field(default_factory=lambda: str(torch.__version__))
    cuda: str | None = field(default_factory=lambda: torch.version.cuda if torch.cuda.is_available() else None)
    platform: str = field(default_factory=platform.platform)
    commit: str | None = None


def environment() -> dict[str, Any]:
    """Versions, platform and commit, for the study database."""
    from nas import __version__
    from nas.resources import commit

    return asdict(Environment(nas=__version__, commit=commit()))
