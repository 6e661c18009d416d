"""What is measured of a network in training: statistics of batch norm that belong to its weights, and weights averaged.

Batch norm keeps running averages of what it saw while the weights still changed. Early in a training they describe other
weights: a network of 98.6 % measured 9.9 % with them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model


def has_batch_norm(architecture: Architecture, input: tuple[int, ...], classes: int) -> bool:
    """Whether the network of an architecture has a batch norm with statistics of its own."""
    with torch.device("meta"):
        model = compile_model(architecture, input, classes)
    return bool(_norms(model))


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]


@torch.no_grad()
def recalibrate(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], context: AbstractContextManager[Any] | None = None
) -> None:
    """Measures the statistics of all batch norms of `model` anew: the mean over `batches`, each with the same weight.

    Nothing else of the model runs as in training, so that dropout drops nothing (Wu and Johnson 2021, Rethinking "Batch"
    in BatchNorm, section 3: precise BatchNorm). Without batches nothing changes.
    """
    norms = _norms(model)
    batches = iter(batches)
    first = next(batches, None)
    if not norms or first is None:
        return
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's word for a cumulative average
        norm.train()
    try:
        with context or nullcontext():
            model(first[0])
            for x, _ in batches:
                model(x)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode


class Averaged:
    """A copy of `model` whose weights follow the model's slowly: an exponential moving average with this decay a step.

    The first steps count for more, so that the average does not remember the initial weights: the decay of step n is at
    most (1 + n) / (10 + n), as in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._followed = list(zip(self.model.parameters(), model.parameters(), strict=True))
        self._buffers = list(zip(self.model.buffers(), model.buffers(), strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Takes note of the weights after a step of the optimizer."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        ours, theirs = zip(*self._followed, strict=True)
        torch._foreach_lerp_(ours, theirs, weight)

    @torch.no_grad()
    def take_buffers(self) -> None:
        """Statistics of norms and the like as the model has them: they are no weights, and have no average of their own."""
        for ours, theirs in self._buffers:
            ours.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Weights and number of steps, for a checkpoint."""
        return {"model": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.steps = state["steps"]
