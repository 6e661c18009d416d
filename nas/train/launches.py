"""Whether the steps of a training are bound by launching kernels or by the GPU that runs them: an estimate from the cost model.

Where they are, they are recorded once and replayed: `nas.train.captured`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch import fx, nn

from blocks import Facts

LAUNCH_SECONDS = 5e-6
"""What a CPU needs to launch one kernel through PyTorch, at least."""
OPERATIONS = {False: 2.5, True: 3.4}
"""Operations of a training step for each of a forward pass, in float32 and in half precision, whose casts count too.

Counted on a CPU (`TorchDispatchMode`; forward, cross-entropy, backward, fused AdamW) for five networks of attn_cnn, three
published ones and one each of mobile, transformer, dense, nas_bench_201 and darts_cell: 2.2 to 2.9 and 2.4 to 4.4; the transformer
3.8 and 6.0. An operation is taken for one kernel. Convolutions and batch norms launch more, so that there are rather more.
"""
TRAFFIC = {False: 6.0, True: 3.0}
"""Bytes that a step reads and writes for each byte that a forward pass in float32 makes: 4.8 to 6.9 and 2.5 to 4.5 there."""
WEIGHT_TRAFFIC = {False: 28.0, True: 34.0}
"""Bytes that a step reads and writes for each weight, whatever the batch: the same there for every network, to 3 %."""
MACS_A_CYCLE = {False: 256, True: 512}
"""Multiply-accumulates of one multiprocessor: those of V100, T4 and A10. Newer chips can do two to eight times as many, which small
maps never reach."""


@dataclass(frozen=True)
class Speed:
    """What a GPU can do at best."""

    bytes_per_second: float = 1.5e12
    """Its memory's; what is taken where nobody has looked is an A100, here and below."""
    cycles_per_second: float = 108 * 1.4e9
    """The clocks of all its multiprocessors added up."""

    @classmethod
    def of(cls, device: torch.device) -> Self:
        """That of a CUDA device, from what its driver says of its clocks."""
        known = torch.cuda.get_device_properties(device)
        memory = 2e3 * known.memory_clock_rate * known.memory_bus_width / 8  # kHz, at twice the clock, bits
        cycles = 1e3 * known.clock_rate * known.multi_processor_count
        return cls(memory or cls.bytes_per_second, cycles or cls.cycles_per_second)


@dataclass(frozen=True)
class Work:
    """What a network does in a forward pass, and how large it is."""

    operations: int
    made_bytes: int
    """Bytes of the tensors that it makes of one image, in float32."""
    macs: int
    """For one image."""
    parameters: int

    @classmethod
    def of(cls, facts: Iterable[Facts]) -> Self:
        """That of all blocks of a network."""
        known = list(facts)
        names = ("operations", "made_bytes", "macs", "parameters")
        return cls(*(sum(getattr(fact, name) for fact in known) for name in names))

    @classmethod
    def of_model(cls, model: nn.Module) -> Self | None:
        """That of a compiled network; None of a model that was made in another way."""
        nodes = model.graph.nodes if isinstance(model, fx.GraphModule) else ()
        facts = [node.meta["facts"] for node in nodes if "facts" in node.meta]
        return cls.of(facts) if facts else None

    def kernels(self, *, half: bool) -> float:
        """Kernels of a training step."""
        return OPERATIONS[half] * self.operations

    def seconds(self, batch: int, speed: Speed, *, half: bool) -> float:
        """What a training step takes at least: bytes moved and products computed, one after the other."""
        moved = TRAFFIC[half] * self.made_bytes * batch + WEIGHT_TRAFFIC[half] * self.parameters
        macs = 3 * self.macs * batch  # backward has two products for each of forward
        return moved / speed.bytes_per_second + macs / (MACS_A_CYCLE[half] * speed.cycles_per_second)

    def is_bound_by_launching(self, batch: int, speed: Speed, *, half: bool) -> bool:
        """Whether launching the kernels of a step takes longer than running them."""
        return self.kernels(half=half) * LAUNCH_SECONDS > self.seconds(batch, speed, half=half)
