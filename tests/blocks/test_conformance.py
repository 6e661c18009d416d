"""What holds for every block with any values of its hyperparameters. A new block is covered by being registered.

Each property is tried at cases in which every two values of two hyperparameters meet, then at cases that hypothesis draws
from the whole product, at any small shape. `test_faults.py` says which faults are found so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import pytest
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from torch import nn

from blocks import ShapeError
from blocks.base import Scalar
from tests.blocks.cases import BLOCKS, CHANNELS, CLASSES, SHAPE, Case, every_pair, met_by, pairs, product
from tests.blocks.conformance import (
    PROPERTIES,
    Property,
    a_size_works_or_is_refused,
    autocast_is_close,
    bfloat16_is_close,
    float16_is_close,
    gradients_reach_the_input_and_every_weight,
    it_is_a_leaf_of_a_traced_graph,
)

every_block = pytest.mark.parametrize("name", BLOCKS)
without_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
NUMERIC = {
    gradients_reach_the_input_and_every_weight,
    bfloat16_is_close,
    float16_is_close,
    autocast_is_close,
}
"""Of maps with enough values: one position needs no attention, and two values have a norm that any rounding turns over."""
ODD_SIZES = ((7, 9), (1, 1), (2, 2), (1, 5), (3, 2))


@pytest.mark.long
@pytest.mark.timeout(1500)  # many cases: some seconds at rest
@every_block
def test_every_two_values(name: str) -> None:
    met = {pair for case in pairs(name) if not case.is_refused for pair in met_by(case)}
    for pair in set(every_pair(name)) - met:  # the block refuses every case that was tried with them
        alone = Case(name, tuple(item for item in dict(pair).items()))
        assert alone.is_refused
        assert alone in pairs(name) or Case(name, alone.changed[::-1]) in pairs(name)
    for holds in PROPERTIES:
        for case in tried(holds, name):
            check(holds, case)


def tried(holds: Property, name: str) -> Iterator[Case]:
    """The cases at which a property is tried: half precision, which is slow, in one of its two types at each.

    Tracing does not look into a block, so that its hyperparameters are nothing to it.
    """
    if holds is a_size_works_or_is_refused:
        for place, case in enumerate(pairs(name)):
            yield from {case.at(*ODD_SIZES[0]), case.at(*ODD_SIZES[place % len(ODD_SIZES)])}
    elif holds in (bfloat16_is_close, float16_is_close):
        yield from pairs(name)[holds is float16_is_close :: 2]
    elif holds is it_is_a_leaf_of_a_traced_graph:
        yield pairs(name)[0]
    else:
        yield from pairs(name)


@pytest.mark.timeout(1500)
@every_block
def test_the_whole_product(name: str) -> None:
    """A few cases, always the same; `make slow` draws many others."""
    draw(name, examples=5, derandomize=True, phases=(Phase.explicit, Phase.generate))


@pytest.mark.slow
@every_block
def test_the_whole_product_anew(name: str) -> None:
    draw(name, examples=200, derandomize=False, phases=tuple(Phase))


def draw(name: str, examples: int, derandomize: bool, phases: Collection[Phase]) -> None:
    everything = settings(
        max_examples=examples,
        phases=phases,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=HealthCheck,
    )

    @everything
    @example(Case(name))
    @given(product(name))
    def hold(case: Case) -> None:
        for holds in PROPERTIES:
            check(holds, case)

    hold()


def check(holds: Property, case: Case) -> None:
    if holds in NUMERIC:
        channels = case.shape[0] if case.shape[0] >= 24 else CHANNELS
        case = Case(case.block, case.changed, (channels, *SHAPE[1:]))
    if holds is a_size_works_or_is_refused or not case.is_refused:
        try:
            holds(case)
        except BaseException as problem:  # pytest's failures are no Exceptions
            problem.add_note(f"{holds.__name__}: {case} at {'×'.join(map(str, case.shape))}")
            raise


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, without_cuda])])
@pytest.mark.parametrize("name", BLOCKS)
def test_training_lowers_the_loss_and_repeats_itself(name: str, device: str) -> None:
    """In bfloat16 and channels-last, as a trial does; on the CPU to the bit."""

    def losses() -> list[float]:
        case = Case(name)
        module = case.make().train().to(device, memory_format=torch.channels_last)
        inputs = [x.to(device, memory_format=torch.channels_last) for x in case.inputs(batch=4)]
        end = nn.LazyLinear(2).to(device)
        found: list[float] = []
        optimizer = None
        for _ in range(12):
            with torch.autocast(device, torch.bfloat16):
                output = end(module(*inputs).flatten(1))
            loss = nn.functional.cross_entropy(output.float(), torch.tensor([0, 1, 0, 1], device=device))
            optimizer = optimizer or torch.optim.Adam([*module.parameters(), *end.parameters()], 0.01)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            found.append(loss.item())
        return found

    first, second = losses(), losses()
    assert first[-1] < 0.8 * first[0] or name == "zero"
    assert first == second or device != "cpu"


def test_documented() -> None:
    for name, block in BLOCKS.items():
        lines = (block.module.__doc__ or "").splitlines()
        assert re.search(r"\(B, .*\) -> \(B, .*\)", lines[0]), f"{name}: the docstring opens with the shape line"
        assert 10 < len(block.summary) < 200, name
        assert block.summary.endswith("."), name
        assert block.summary.count("(") == block.summary.count(")"), f"{name}: cut short: {block.summary}"
        assert re.search(r"\d", block.source), f"{name}: a source has a year, a section or an equation"
        module = __import__(block.module.__module__, fromlist=["__doc__"])
        assert len((module.__doc__ or "").splitlines()[0]) > 10, name


def test_refuses_what_is_no_feature_map() -> None:
    for name, block in BLOCKS.items():
        with pytest.raises(ShapeError, match=f"block '{name}' takes feature maps"):
            block.make({}, ((10,),), CLASSES)
        with pytest.raises(ShapeError, match="at least one" if block.takes_many else "takes one input, not 2"):
            block.make({}, () if block.takes_many else (SHAPE, SHAPE), CLASSES)


def test_one_name_means_one_thing() -> None:
    """A space may give one hyperparameter to a choice of blocks: kinds agree, and there is something to choose from."""
    found: dict[str, list[tuple[Scalar, ...]]] = {}
    for block in BLOCKS.values():
        for name, parameter in block.hyperparameters.items():
            found.setdefault(name, []).append((parameter.default, *parameter.allowed.examples))
    for name, lists in found.items():
        kinds = {type(value) for values in lists for value in values}
        assert len(kinds) == 1 or name == "channels", f"{name} is sometimes {kinds}"
        assert len(set.intersection(*map(set, lists))) >= 2, f"the blocks that have {name} share less than two values"
