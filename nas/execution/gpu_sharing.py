"""How many trials share a GPU: peak memory predicted from the exact cost, corrected by what trials have reported.

A prediction is the memory of a training's tensors. Against the tensors that 49 random networks of attn_cnn and
nas_bench_macro really held (batches of 32 at 16, 32 and 64 pixels, float32 and bfloat16), measured / predicted had a median
of 0.85, from 0.42 to 1.14. Workspaces of cuDNN and what the allocator cannot use are not predicted: observation adds them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.architecture.cost import FLOAT_BYTES, Built, facts
from nas.config.recipe import OPTIMIZERS, Recipe
from nas.data import Dataset
from nas.data.batches import RESIDENT_SHARE
from nas.train.launches import Speed, Work
from nas.train.trainer import EVALUATION_BATCH

SHARED_BY = (8, 6, 4, 3, 2, 1)
"""How many trials a GPU may be shared by. Without MPS two of them already take turns, and only launching overlaps."""

CONTEXT_BYTES = 640 << 20
"""What CUDA, cuDNN and cuBLAS take in each process, outside of PyTorch's allocator."""

USABLE = 0.95
"""Share of the memory that was free when the search began."""

FEWEST = 5
"""Observations from which on they are trusted."""

UNSURE = 1.5
"""Times a prediction is taken until then."""

RECENT = 200
"""Observations that count: the architectures that a sampler proposes change."""


@dataclass(frozen=True)
class Gpu:
    """What is known of a device, of the smallest where there are several."""

    free_bytes: int


@dataclass(frozen=True)
class Slot:
    """What one trial has of a device."""

    gpus: float
    """0 on a CPU, a fraction where it is shared."""
    memory: int | None = None
    """Bytes that its process may allocate, so that it cannot take its neighbours'; None for no limit."""
    predicted: int | None = None
    """Bytes that it should need; None on a CPU."""
    alone: bool = False
    """No other trial of the search runs on its device, be it a GPU or the CPU."""

    def whole(self) -> Slot:
        """The same with a whole device for itself."""
        return Slot(max(1.0, self.gpus) if self.gpus else 0.0, None, self.predicted, alone=True)

    @property
    def shared(self) -> bool:
        """Whether other trials may have taken memory from it."""
        return self.gpus < 1 and not self.alone


class Packing:
    """Chooses the slot of each trial."""

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        *,
        gpus: float | None,
        gpu: Gpu | None = None,
        observed: Iterable[tuple[int, int]] = (),
    ) -> None:
        """`gpus`: of each trial, None for as many trials on a `gpu` as fit. `observed`: predicted and real peak bytes."""
        if gpus is None and gpu is None:
            raise ValueError("to share a GPU its memory must be known")
        self._dataset, self._recipe, self._gpus, self._gpu = dataset, recipe, gpus, gpu
        self._ratios: deque[float] = deque(maxlen=RECENT)
        for predicted, peak in observed:
            self.observe(predicted, peak)
        self._last = 0

    def slot(self, architecture: Architecture) -> Slot:
        """For the first attempt at a trial."""
        if self._gpus == 0:
            return Slot(0.0)
        predicted = training_bytes(architecture, self._dataset, self._recipe, self._gpu)
        if self._gpus is not None:
            return Slot(self._gpus, None, predicted)
        number = self._sharers(predicted * self.correction)
        return Slot(_fraction(number), None if number == 1 else self._budget(number), predicted)

    def observe(self, predicted: int, peak: int) -> None:
        """Takes note of what a trial needed, both in bytes; of one that ran out of memory it is the least it needed."""
        self._ratios.append(peak / predicted)

    @property
    def correction(self) -> float:
        """What a prediction is multiplied by: nine of ten trials needed at most so much, and a tenth more for safety."""
        if len(self._ratios) < FEWEST:
            return max([UNSURE, *self._ratios])
        return 1.1 * float(np.quantile(self._ratios, 0.9))

    def _sharers(self, needed: float) -> int:
        fitting = next((number for number in SHARED_BY if needed <= self._budget(number)), 1)
        # A process keeps its share for life, and a new one takes seconds to start: one that is large enough is kept.
        if not fitting / 2 <= self._last <= fitting:
            self._last = fitting
        return self._last

    def _budget(self, number: int) -> int:
        """Bytes that each of so many processes may allocate."""
        assert self._gpu is not None
        return max(0, int(self._gpu.free_bytes * USABLE / number) - CONTEXT_BYTES)


def training_bytes(architecture: Architecture, dataset: Dataset, recipe: Recipe, gpu: Gpu | None = None) -> int:
    """Bytes of tensors that training this network needs at once, at most: the images that lie on the device included."""
    known = Built(architecture, dataset.input, dataset.classes, facts(architecture, dataset.input, dataset.classes))
    price = known.cost
    state = OPTIMIZERS[recipe.optimizer].state(recipe)
    half = recipe.precision != "fp32"  # what a GPU computes in unless it is told otherwise: bfloat16, or float16
    scale = 0.5 if half else 1.0
    weights = price.parameters * FLOAT_BYTES * (2 + state + (scale if half else 0))  # autocast keeps a copy of weights
    # Backward needs what every block has made, and makes as much again on its way: twice the sum of the blocks' peaks.
    maps = sum(fact.peak_bytes for fact in known.facts.values())
    training = 2 * maps * scale * recipe.batch_size
    evaluation = price.activation_bytes * EVALUATION_BATCH * scale
    peak = max(training, evaluation)
    images = len(dataset.train)
    work = Work.of(known.facts.values())
    can_be = images >= recipe.batch_size and recipe.precision != "fp16"
    if can_be and work.is_bound_by_launching(recipe.batch_size, Speed(), half=half):
        # A recorded step keeps its memory while the last batch is trained on, and while the network is measured.
        rest = images % recipe.batch_size
        last = recipe.batch_size + 1 if rest == 1 else rest
        peak = training + max(training * last / recipe.batch_size, evaluation)
    # A batch: bytes, floats, their neighbours in augmentation.
    batch = 3 * _values(dataset.input) * FLOAT_BYTES * max(recipe.batch_size, EVALUATION_BATCH)
    return int(weights + peak + batch + _resident_bytes(dataset, gpu))


def _resident_bytes(dataset: Dataset, gpu: Gpu | None) -> int:
    images = [dataset.train.x.nbytes, dataset.validation.x.nbytes]
    return sum(size for size in images if gpu is None or size < RESIDENT_SHARE * gpu.free_bytes)


def _values(shape: Shape) -> int:
    return int(np.prod(shape))


def _fraction(number: int) -> float:
    """1 / number, rounded down to what Ray counts with, so that so many fit."""
    return 1.0 if number == 1 else int(10_000 / number) / 10_000
