"""Faults sown into every block, each at one pair of values of its hyperparameters: the properties find them there."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import blocks
from blocks.base import Block
from tests.blocks.cases import BLOCKS, Pair, every_pair, met_by, pairs
from tests.blocks.conformance import PROPERTIES
from tests.blocks.test_conformance import check, tried

Forward = Callable[..., Tensor]
Sow = Callable[[nn.Module, Forward], Forward]
"""From a module and its forward pass to one with a fault; it may add to the module."""


def writes_into_its_input(module: nn.Module, forward: Forward) -> Forward:
    def faulty(*inputs: Tensor) -> Tensor:
        output = forward(*inputs)
        if not module.training:
            inputs[0].add_(1)
        return output

    return faulty


def mixes_the_images_of_a_batch(module: nn.Module, forward: Forward) -> Forward:
    return lambda *inputs: forward(*inputs) + inputs[0].mean()


def is_random_in_evaluation(module: nn.Module, forward: Forward) -> Forward:
    return lambda *inputs: nn.functional.dropout(forward(*inputs) + 1, 0.5, training=True)


def depends_on_the_memory_format(module: nn.Module, forward: Forward) -> Forward:
    def faulty(*inputs: Tensor) -> Tensor:
        first = inputs[0]
        strange = first.is_contiguous(memory_format=torch.channels_last) and not first.is_contiguous()
        return forward(*inputs) + (1 if strange else 0)

    return faulty


def forgets_a_weight(module: nn.Module, forward: Forward) -> Forward:
    module.forgotten = nn.Parameter(torch.ones(1))
    return lambda *inputs: forward(*inputs) * module.forgotten.detach()


def cuts_the_gradient(module: nn.Module, forward: Forward) -> Forward:
    return lambda *inputs: forward(*(x.detach() for x in inputs))


def has_state_that_no_file_keeps(module: nn.Module, forward: Forward) -> Forward:
    scale = torch.rand(1).item()
    return lambda *inputs: (forward(*inputs) + 1) * scale


def computes_in_float32_whatever_comes(module: nn.Module, forward: Forward) -> Forward:
    return lambda *inputs: forward(*inputs).float()


def breaks_at_odd_sizes(module: nn.Module, forward: Forward) -> Forward:
    def faulty(*inputs: Tensor) -> Tensor:
        if inputs[0].shape[2] % 2:
            raise RuntimeError("shapes cannot be multiplied")
        return forward(*inputs)

    return faulty


def does_more_than_is_measured(module: nn.Module, forward: Forward) -> Forward:
    def faulty(*inputs: Tensor) -> Tensor:
        if not inputs[0].is_meta:
            flat = inputs[0].flatten(1)
            flat @ flat.T
        return forward(*inputs)

    return faulty


FAULTS: tuple[Sow, ...] = (
    writes_into_its_input,
    mixes_the_images_of_a_batch,
    is_random_in_evaluation,
    depends_on_the_memory_format,
    forgets_a_weight,
    cuts_the_gradient,
    has_state_that_no_file_keeps,
    computes_in_float32_whatever_comes,
    breaks_at_odd_sizes,
    does_more_than_is_measured,
)
ALL = [(name, fault) for name in BLOCKS for fault in FAULTS]
# Each block with two of the faults, each fault in several blocks.
SOME = [(name, FAULTS[(2 * place + step) % len(FAULTS)]) for place, name in enumerate(BLOCKS) for step in (0, 1)]


@dataclass
class Sown:
    """Makes a block's modules, with a fault where its hyperparameters have a pair of values."""

    block: Block
    fault: Sow
    pair: Pair
    made: int = 0

    def __call__(self, *filled_in: Any, **hyperparameters: Any) -> nn.Module:
        module: nn.Module = self.block.module(*filled_in, **hyperparameters)
        if self.pair <= set(hyperparameters.items()):
            self.made += 1
            module.forward = self.fault(module, module.forward)
        return module


def place_of(name: str) -> Pair:
    """A pair of values that some case has which the block takes: of defaults only where it has no others."""
    rng = random.Random(name)
    taken = {pair for case in pairs(name) if not case.is_refused for pair in met_by(case)}
    candidates = [pair for pair in every_pair(name) if pair in taken and not is_width(name, pair)]
    return rng.choice(candidates) if candidates else frozenset()


def is_width(name: str, pair: Pair) -> bool:
    """Whether a width is among them: a module gets it resolved."""
    return any(BLOCKS[name].hyperparameters[key].is_width for key, _ in pair)


def is_found(name: str, fault: Sow, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether some property, at the cases where it is tried, fails for the block with the fault."""
    pair = place_of(name)
    cases = [(holds, case) for holds in PROPERTIES for case in tried(holds, name) if pair <= set(case.params)]
    sown = Sown(BLOCKS[name], fault, pair)
    monkeypatch.setitem(blocks.base.BLOCKS._items, name, replace(BLOCKS[name], load=lambda: sown))
    monkeypatch.setattr(blocks.base, "_facts", {})
    for holds, case in cases:
        before = sown.made
        try:
            check(holds, case)
        except (AssertionError, RuntimeError, pytest.fail.Exception):
            return sown.made > before
    return False


@pytest.mark.parametrize(("name", "fault"), SOME, ids=lambda value: getattr(value, "__name__", value))
def test_a_fault_at_one_pair_of_values_is_found(name: str, fault: Sow, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_found(name, fault, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault"), ALL, ids=lambda value: getattr(value, "__name__", value))
def test_every_fault_is_found_in_every_block(name: str, fault: Sow, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_found(name, fault, monkeypatch)
