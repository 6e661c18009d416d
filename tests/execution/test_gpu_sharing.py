"""How many trials share a GPU; the device is invented, the tensors of a training are real ones on the CPU."""

from __future__ import annotations

import random
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.architecture.cost import cost
from nas.config.recipe import Recipe
from nas.data import Dataset, Task
from nas.data.task import make_dataset
from nas.errors import Infeasible
from nas.execution.gpu_sharing import CONTEXT_BYTES, SHARED_BY, UNSURE, USABLE, Gpu, Packing, training_bytes
from nas.space.space import Space
from nas.train.schedule import make_optimizer

GIB = 1 << 30


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (40, 3, 32, 32), dtype=np.uint8)
    return make_dataset(Task("digits", None, 0.2, 0, 32), x, np.arange(40) % 10, tuple("abcdefghij"))


@cache
def _draw(seed: int, count: int, most_macs: float = 3e8) -> tuple[Architecture, ...]:
    space, rng = Space.load("attn_cnn"), random.Random(seed)
    found: list[Architecture] = []
    while len(found) < count:
        try:
            architecture = space.from_assignment(space.sample(rng), (3, 32, 32), 10)
            if cost(architecture, (3, 32, 32), 10).macs < most_macs:
                found.append(architecture)
        except Infeasible:
            continue
    return tuple(found)


class _Living(TorchDispatchMode):  # type: ignore[misc]
    """Peak bytes of all tensors made inside."""

    def __init__(self, given: list[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._alive: dict[int, tuple[Any, int]] = {}
        self._given = {tensor.untyped_storage()._cdata for tensor in given}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._alive = {key: value for key, value in self._alive.items() if not value[0].expired()}
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._given:
                    self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())  # type: ignore[no-untyped-call]
        self.peak = max(self.peak, sum(size for _, size in self._alive.values()))
        return result


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.long)])
def test_the_prediction_is_close_to_the_tensors_of_a_training(precision: str, dataset: Dataset) -> None:
    recipe = Recipe(precision=precision, batch_size=128)  # type: ignore[arg-type]
    for architecture in _draw(1, 2, 2.5e7):
        model = compile_model(architecture, dataset.input, 10).to(memory_format=torch.channels_last)
        optimizer = make_optimizer(model, recipe)
        x = torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        with _Living(list(model.buffers())) as living:
            for _ in range(2):
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    loss = F.cross_entropy(model(x), torch.zeros(128, dtype=torch.int64))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        weights = sum(parameter.numel() for parameter in model.parameters()) * 4
        ratio = (living.peak + weights) / training_bytes(architecture, dataset, recipe)
        assert 0.3 < ratio < 1.15, architecture.hash


def test_adamw_larger_batches_and_more_images_need_more(dataset: Dataset) -> None:
    architecture = _draw(0, 1)[0]
    plain = training_bytes(architecture, dataset, Recipe())
    parameters = cost(architecture, dataset.input, 10).parameters
    assert training_bytes(architecture, dataset, Recipe(optimizer="adamw")) - plain == 4 * parameters
    assert plain - training_bytes(architecture, dataset, Recipe(momentum=0.0)) == 4 * parameters
    assert training_bytes(architecture, dataset, Recipe(batch_size=4096)) > 10 * plain
    assert training_bytes(architecture, dataset, Recipe(batch_size=512, precision="fp32")) > 1.5 * training_bytes(
        architecture, dataset, Recipe(batch_size=512)
    )
    too_many = Gpu(free_bytes=2 * dataset.train.x.nbytes)  # then they are sent batch by batch
    assert plain - training_bytes(architecture, dataset, Recipe(), too_many) == dataset.train.x.nbytes


def test_as_many_share_a_device_as_fit_and_never_more(dataset: Dataset) -> None:
    small, large = sorted(_draw(0, 40), key=lambda a: training_bytes(a, dataset, Recipe()))[::39]
    chosen = []
    for gib in (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 48, 80):
        device = Gpu(int(gib * GIB))
        for architecture in (small, large):
            slot = Packing(dataset, Recipe(), gpus=None, gpu=device).slot(architecture)
            number = round(1 / slot.gpus)
            chosen.append(number)
            assert number in SHARED_BY
            assert number * slot.gpus <= 1
            assert slot.predicted == training_bytes(architecture, dataset, Recipe(), device)
            if number == 1:
                assert slot.memory is None
                continue
            assert slot.memory is not None
            assert slot.predicted * UNSURE <= slot.memory
            assert number * (slot.memory + CONTEXT_BYTES) <= USABLE * device.free_bytes + number
    assert set(chosen) == set(SHARED_BY)


def test_what_trials_reported_corrects_the_prediction(dataset: Dataset) -> None:
    architecture = _draw(0, 1)[0]
    recipe = Recipe(batch_size=8192)  # beside it the memory of a process hardly counts
    needed = training_bytes(architecture, dataset, recipe)
    device = Gpu(int(4 * (1.2 * needed + CONTEXT_BYTES) / USABLE))

    def sharers(ratios: list[float]) -> int:
        observed = [(1000, int(1000 * ratio)) for ratio in ratios]
        packing = Packing(dataset, recipe, gpus=None, gpu=device, observed=observed)
        return round(1 / packing.slot(architecture).gpus)

    assert sharers([]) == 3
    assert sharers([0.5] * 3) == 3  # too few to trust
    assert sharers([0.5] * 5) == 8
    assert sharers([1.05] * 20) == 4
    assert sharers([1.05] * 20 + [9.0]) == 4  # one of a kind: it is tried again alone
    assert sharers([3.0]) == 1  # but one is enough to be careful
    assert sharers([2.0] * 20) == 2


def test_a_share_is_kept_while_it_is_large_enough(dataset: Dataset) -> None:
    """A process of another share has to be started, which takes longer than a small training."""

    def changes(values: list[float]) -> int:
        return sum(a != b for a, b in pairwise(values))

    changed = [0, 0]
    drawn = _draw(0, 30)
    for seed in range(8):  # one order of networks alone says little
        architectures = random.Random(seed).sample(drawn, len(drawn))
        sizes = [training_bytes(architecture, dataset, Recipe()) for architecture in architectures]
        device = Gpu(int((4 * (UNSURE * float(np.median(sizes)) + CONTEXT_BYTES)) / USABLE))
        packing = Packing(dataset, Recipe(), gpus=None, gpu=device)
        kept = [packing.slot(architecture).gpus for architecture in architectures]
        fresh = [Packing(dataset, Recipe(), gpus=None, gpu=device).slot(a).gpus for a in architectures]
        assert all(mine >= best for mine, best in zip(kept, fresh, strict=True))
        changed = [changed[0] + changes(kept), changed[1] + changes(fresh)]
    assert changed[0] < changed[1] / 2


def test_a_share_that_the_user_names_is_taken(dataset: Dataset) -> None:
    architecture = _draw(0, 1)[0]
    quarter = Packing(dataset, Recipe(), gpus=0.25).slot(architecture)
    assert (quarter.gpus, quarter.memory, quarter.shared) == (0.25, None, True)
    assert quarter.predicted == training_bytes(architecture, dataset, Recipe())
    two = Packing(dataset, Recipe(), gpus=2).slot(architecture)
    assert not two.shared
    none = Packing(dataset, Recipe(), gpus=0).slot(architecture)
    assert (none.gpus, none.predicted) == (0, None)
    assert none.shared  # the memory of the machine
    alone = [slot.whole() for slot in (quarter, two, none)]
    assert [(slot.gpus, slot.shared) for slot in alone] == [(1, False), (2, False), (0, False)]
