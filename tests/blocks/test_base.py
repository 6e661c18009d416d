"""Hyperparameters and the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
import torch
from torch import nn

import blocks.base
from blocks import BLOCKS, OneOf, Range, ShapeError, Width, block
from blocks.base import Hyperparameter, resolve_width
from nas.errors import BlockError
from nas.plugins.registry import Registry


def test_one_of() -> None:
    sizes = OneOf(1, 3, "auto")
    assert [sizes.allows(value) for value in (1, 3, "auto", 1.0, 2, True, "3", None)] == [
        *(True, True, True, True),
        *(False, False, False, False),
    ]
    assert str(OneOf(True, "x", 2)) == "true, x, 2"
    assert OneOf(True, False).allows(True)
    assert not OneOf(True, False).allows(1)


def test_range() -> None:
    share = Range(0.0, 0.9, (0.0, 0.9))
    assert [share.allows(value) for value in (0, 0.0, 0.45, 0.9, 0.91, -0.1, True, "0", float("nan"))] == [
        *(True, True, True, True),
        *(False, False, False, False, False),
    ]
    whole = Range(0, 8, (0, 8))
    assert [whole.allows(value) for value in (0, 8, 0.0, 4.5, 9)] == [True, True, False, False, False]
    assert str(whole) == "0 to 8"


@pytest.mark.parametrize(
    ("value", "inputs", "width"),
    [("x1", 7, 7), ("x2", 7, 14), ("x0.5", 7, 4), ("x1.5", 5, 8), ("x0.5", 1, 1), ("x0.01", 3, 1), (24, 7, 24)],
)
def test_widths(value: str | int, inputs: int, width: int) -> None:
    assert Hyperparameter("channels", Width.__metadata__[0], "x1").allowed.allows(value)  # type: ignore[attr-defined]
    assert resolve_width(value, inputs) == width


@pytest.mark.parametrize("value", [0, -1, 65_537, True, 1.5, "x0", "x-1", "x", "2x", "xinf", "xnan", "x65"])
def test_what_is_no_width(value: Any) -> None:
    assert not BLOCKS["conv"].hyperparameters["channels"].allowed.allows(value)


def test_make_fills_in_defaults_and_relative_widths() -> None:
    module = BLOCKS["conv"].make({"channels": "x1.5", "kernel_size": 1}, ((4, 6, 6),), 10)
    assert module(torch.ones(1, 4, 6, 6)).shape == (1, 6, 6, 6)
    assert BLOCKS["conv"].make({}, ((4, 6, 6),), 10)(torch.ones(2, 4, 6, 6)).shape == (2, 4, 6, 6)
    with pytest.raises(TypeError):
        BLOCKS["conv"].make({"kernel": 1}, ((4, 6, 6),), 10)


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks.base, "BLOCKS", Registry("block", "nas.nothing", BlockError))


def _no_default(self: nn.Module, in_channels: int, *, size: Annotated[int, OneOf(1)]) -> None: ...
def _not_allowed(self: nn.Module, in_channels: int, *, size: Annotated[int, OneOf(1)] = 2) -> None: ...
def _no_values(self: nn.Module, in_channels: int, *, size: int = 1) -> None: ...
def _unknown(self: nn.Module, channels_in: int) -> None: ...


@pytest.mark.usefixtures("empty_registry")
def test_a_family_is_one_of_those_that_there_are() -> None:
    with pytest.raises(BlockError, match="family is 'atention', not one of convolution, .*; did you mean 'attention'?"):
        block("new", family="atention")(type("New", (nn.Module,), {}))


@pytest.mark.usefixtures("empty_registry")
@pytest.mark.parametrize(
    ("constructor", "message"),
    [
        (_no_default, "block 'new': 'size' needs OneOf, Range or Width, and an allowed default"),
        (_not_allowed, "block 'new': 'size' needs OneOf, Range or Width, and an allowed default"),
        (_no_values, "block 'new': 'size' needs OneOf, Range or Width, and an allowed default"),
        (_unknown, "block 'new': 'channels_in' is none of in_channels, in_shape, in_shapes, classes"),
    ],
)
def test_a_block_that_breaks_the_rules_is_not_registered(constructor: Callable[..., None], message: str) -> None:
    with pytest.raises(BlockError, match=message):
        block("new", source="a test, 1")(type("New", (nn.Module,), {"__init__": constructor}))
    assert not blocks.base.BLOCKS


@pytest.mark.usefixtures("empty_registry")
def test_a_name_is_registered_once() -> None:
    block("new", source="a test, 1")(type("New", (nn.Identity,), {"__init__": lambda self: None}))
    with pytest.raises(BlockError, match="block 'new' exists already; give yours another name"):
        block("new", source="a test, 1")(type("Other", (nn.Identity,), {"__init__": lambda self: None}))


def test_a_merge_refuses_inputs_that_differ() -> None:
    for name, message in (("add", "add needs inputs of one shape, not 2×4×4 and 3×4×4"), ("concat", None)):
        shapes = ((2, 4, 4), (3, 4, 4))
        if message is None:
            assert BLOCKS[name].make({}, shapes, 10)(*(torch.ones(1, *shape) for shape in shapes)).shape[1] == 5
        else:
            with pytest.raises(ShapeError, match=message):
                BLOCKS[name].make({}, shapes, 10)
    with pytest.raises(ShapeError, match="concat needs inputs of one shape"):
        BLOCKS["concat"].make({}, ((2, 4, 4), (2, 4, 5)), 10)


def test_every_hyperparameter_of_a_shipped_block_says_in_a_line_what_it_does() -> None:
    for name, shipped in BLOCKS.items():
        if not shipped.module.__module__.startswith("blocks."):
            continue  # of another test
        for hyperparameter in shipped.hyperparameters.values():
            assert 10 < len(hyperparameter.meaning) < 100, f"{name}.{hyperparameter.name}: '{hyperparameter.meaning}'"
        assert not shipped.link or shipped.link.startswith(("https://arxiv.org/abs/", "https://doi.org/10.")), name


def test_the_line_nearest_to_the_hyperparameter_counts() -> None:
    assert (
        BLOCKS["cbam"].hyperparameters["spatial_kernel"].meaning == "side of the kernel that makes the map of weights"
    )
    assert BLOCKS["cbam"].hyperparameters["reduction"].meaning == "channels are divided by it inside the module"
