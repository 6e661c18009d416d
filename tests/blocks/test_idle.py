"""Hyperparameters that do nothing beside others: two assignments that differ in one alone are one network."""

from __future__ import annotations

import random
from typing import Annotated

import pytest
import torch
from torch import Tensor, nn

import blocks
from blocks.base import BlockError, OneOf, Scalar, block
from nas.space.published import PublishedConfig
from nas.space.space import Space
from tests.blocks.cases import BLOCKS, Case

IDLE = [
    pytest.param(name, idle, other, at, id=f"{name}-{idle}-{at}")
    for name, one in BLOCKS.items()
    for idle, other, values in one.idle
    for at in values
]


@pytest.mark.parametrize(("name", "idle", "other", "at"), IDLE)
def test_what_is_said_to_do_nothing_does_nothing(name: str, idle: str, other: str, at: Scalar) -> None:
    outputs: list[Tensor] = []
    for value in BLOCKS[name].hyperparameters[idle].allowed.examples:
        case = Case(name, ((other, at), (idle, value)))
        if not case.is_refused:
            outputs += [case.make()(*case.inputs())]
    assert len(outputs) > 1
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0], rtol=0, atol=0)


def test_one_network_is_proposed_once_however_it_is_spelled() -> None:
    space = Space.load("attn_cnn")
    known = PublishedConfig.load("banbury_resnet8")  # it has neither gates nor attention
    plain = space.plan(known.assignment).assignment
    spelled = {
        name: random.Random(name).choice(["first", "second"] if name.endswith("attention_in") else [4, 8])
        for name in plain
        if name.endswith((".gate_reduction", ".attention_in"))
    }
    assert len(spelled) == 6
    assert space.from_assignment({**plain, **spelled}) == space.from_assignment(plain)
    gated = {**plain, "body.residual.1.layers.basic.gate": "se"}
    assert space.from_assignment({**gated, "body.residual.1.layers.basic.gate_reduction": 4}) != space.from_assignment(
        gated
    )


@pytest.mark.parametrize(
    "idle", [("size", "kind", ("none",)), ("depth", "kind", ("plain",)), ("size", "size", (1,)), ("size", "kind", (1,))]
)
def test_what_no_hyperparameter_has_is_refused(idle: tuple[str, str, tuple[Scalar, ...]]) -> None:
    with pytest.raises(BlockError, match="block 'idler': idle names two hyperparameters and values of the second"):

        @block("idler", idle=(idle,))
        class Idler(nn.Module):
            """x (B, C, H, W) -> (B, C, H, W)"""

            def __init__(
                self,
                in_channels: int,
                *,
                size: Annotated[int, OneOf(1, 2), "how much"] = 1,
                kind: Annotated[str, OneOf("plain", "other"), "which"] = "plain",
            ) -> None:
                super().__init__()

    assert "idler" not in blocks.BLOCKS
