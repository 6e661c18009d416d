"""The estimate of kernels against what PyTorch dispatches in a training step on a CPU; which networks are bound by launching."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from blocks.counting import computes
from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.architecture.cost import cost
from nas.errors import Infeasible
from nas.space.published import PublishedConfig
from nas.space.space import Space
from nas.train.launches import Speed, Work

INPUT, CLASSES = (3, 32, 32), 10
H200 = Speed(4.8e12, 132 * 1.98e9)


def drawn(space: str, number: int) -> list[Architecture]:
    """Random networks, from the one with the fewest MACs on."""
    rng, found = random.Random(0), []
    while len(found) < number:
        try:
            found.append(Space.load(space).from_assignment(Space.load(space).sample(rng), INPUT, CLASSES))
        except Infeasible:
            continue
    return sorted(found, key=lambda network: cost(network, INPUT, CLASSES).macs)


class _Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        self.number += computes(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("space", ["attn_cnn", "nas_bench_201", "mobile"])
def test_kernels_are_estimated(space: str, half: bool) -> None:
    model = compile_model(drawn(space, 5)[1], INPUT, CLASSES)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = nn.functional.cross_entropy(model(torch.rand(2, *INPUT)), torch.tensor([0, 1]))
        loss.backward()
        optimizer.step()

    step()  # has made the state of the optimizer
    with _Operations() as seen:
        step()
    work = Work.of_model(model)
    assert work is not None
    assert 0.65 < work.kernels(half=half) / seen.number < 1.5


@pytest.mark.parametrize("speed", [Speed(), H200], ids=["A100", "H200"])
def test_small_attention_networks_are_bound_by_launching_and_resnet_18_is_not(speed: Speed) -> None:
    def is_bound(network: Architecture, batch: int = 128) -> bool:
        work = Work.of_model(compile_model(network, INPUT, CLASSES))
        assert work is not None
        return work.is_bound_by_launching(batch, speed, half=True)

    median = drawn("attn_cnn", 21)[10]
    assert is_bound(median)
    assert not is_bound(median, 8192)
    assert not is_bound(PublishedConfig.load("jiang_resnet18").architecture())


def test_a_gpu_is_as_fast_as_its_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    h100 = SimpleNamespace(
        memory_clock_rate=2_619_000, memory_bus_width=5120, clock_rate=1_980_000, multi_processor_count=132
    )
    unknown = SimpleNamespace(memory_clock_rate=0, memory_bus_width=0, clock_rate=0, multi_processor_count=108)
    speeds = []
    for properties in (h100, unknown):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, known=properties: known)
        speeds.append(Speed.of(torch.device("cuda")))
    assert speeds[0].bytes_per_second == pytest.approx(3.35e12, rel=0.01)  # as its data sheet has it
    assert speeds[0].cycles_per_second == pytest.approx(132 * 1.98e9)
    assert speeds[1] == Speed()


def test_of_other_models_nothing_is_known() -> None:
    assert Work.of_model(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) is None
