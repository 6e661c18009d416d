"""Points of the product of a block's hyperparameters: one changed, every pair of values, and drawn ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import hypothesis.strategies as st
import torch
from torch import Tensor, nn

import blocks
from blocks import Facts, Hyperparameter, OneOf, Range, ShapeError, measure
from blocks.base import Params, Scalar, Shape, resolve_width

BLOCKS = {name: one for name, one in blocks.BLOCKS.items() if one.module.__module__.startswith("blocks.")}
"""Those of the library: other tests register blocks that hang."""
CLASSES = 10
CHANNELS = 32  # the largest number of groups
SHAPE: Shape = (CHANNELS, 6, 6)


@dataclass(frozen=True)
class Case:
    """A block, what differs from the defaults of its hyperparameters, and the shape of its inputs."""

    block: str
    changed: tuple[tuple[str, Scalar], ...] = ()
    shape: Shape = SHAPE

    def __str__(self) -> str:
        return "-".join([self.block, *(f"{name}={value}" for name, value in self.changed)])

    @property
    def params(self) -> Params:
        """All hyperparameters, widths resolved, as an architecture has them."""
        hyperparameters = blocks.BLOCKS[self.block].hyperparameters
        values = {name: parameter.default for name, parameter in hyperparameters.items()} | dict(self.changed)
        for name, parameter in hyperparameters.items():
            if parameter.is_width:
                values[name] = resolve_width(values[name], self.shape[0])
        return tuple(sorted(values.items()))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs."""
        return (self.shape, self.shape) if blocks.BLOCKS[self.block].takes_many else (self.shape,)

    @property
    def is_refused(self) -> bool:
        """Whether the block says that it cannot take this."""
        try:
            self.measure()
        except ShapeError:
            return True
        return False

    def at(self, *size: int) -> Case:
        """The same for maps of this height and width."""
        return Case(self.block, self.changed, (self.shape[0], *size))

    def make(self, seed: int = 0) -> nn.Module:
        """A new module, the same for the same seed."""
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` writes a traceback for each kind of device
        return blocks.BLOCKS[self.block].make(dict(self.params), self.shapes, CLASSES)

    def measure(self) -> Facts:
        """What the block does to the shapes."""
        return measure(self.block, self.params, self.shapes, CLASSES)

    def inputs(self, batch: int = 2, seed: int = 0) -> list[Tensor]:
        """Random inputs."""
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(batch, *one, generator=generator) for one in self.shapes]


def one_changed(shape: Shape = SHAPE) -> list[Case]:
    """Every block at its defaults, and with each hyperparameter at each other value."""
    cases: list[Case] = []
    for name, block in BLOCKS.items():
        cases.append(Case(name, (), shape))
        for key, parameter in block.hyperparameters.items():
            cases += [Case(name, ((key, value),), shape) for value in _examples(parameter)[1:]]
    return cases


Pair = frozenset[tuple[str, Scalar]]
"""Two hyperparameters with a value each; or one, of a block that has no other."""


@cache
def pairs(name: str) -> tuple[Case, ...]:
    """Few cases in which every two values of two hyperparameters meet, in a case that the block takes where there is one."""
    options = {key: _examples(parameter) for key, parameter in BLOCKS[name].hyperparameters.items()}
    open_pairs = dict.fromkeys(every_pair(name))  # in order, unlike a set
    cases = [_case(name, {})]
    while open_pairs:
        pair = next(iter(open_pairs))
        fill = dict(pair)
        for key in options:
            if key not in fill:
                fill[key] = max(options[key], key=lambda value, key=key: _gain(key, value, fill, open_pairs))  # type: ignore[misc]
        tries = (fill, dict(pair), *_one_more(dict(pair), options))
        accepted = next((case for case in (_case(name, values) for values in tries) if not case.is_refused), None)
        case = accepted or _case(name, dict(pair))
        cases.append(case)
        for met in met_by(case):
            if accepted or met == pair:
                open_pairs.pop(met, None)
    return tuple(cases)


def every_pair(name: str) -> list[Pair]:
    """Every two values of two hyperparameters of the block."""
    options = {key: _examples(parameter) for key, parameter in BLOCKS[name].hyperparameters.items()}
    if len(options) == 1:
        return [frozenset([(key, value)]) for key, values in options.items() for value in values]
    return [
        frozenset([(one, a), (two, b)])
        for one, two in itertools.combinations(options, 2)
        for a in options[one]
        for b in options[two]
    ]


def met_by(case: Case) -> set[Pair]:
    """The pairs of values that a case has."""
    parameters = BLOCKS[case.block].hyperparameters
    values = {name: parameter.default for name, parameter in parameters.items()} | dict(case.changed)
    return {frozenset(items) for items in itertools.combinations(values.items(), min(2, len(values)))}


def product(name: str) -> st.SearchStrategy[Case]:
    """Any values of the hyperparameters, those between the examples too, at any small shape."""
    block = BLOCKS[name]
    values = st.fixed_dictionaries({key: _values(parameter) for key, parameter in block.hyperparameters.items()})
    sizes = st.integers(1, 9)
    shapes = st.tuples(st.sampled_from((CHANNELS, 24, 5, 1)), sizes, sizes)
    return st.builds(lambda values, shape: _case(name, values, shape), values, shapes)


def _values(parameter: Hyperparameter) -> st.SearchStrategy[Scalar]:
    examples = st.sampled_from(_examples(parameter))
    allowed = parameter.allowed
    if isinstance(allowed, OneOf):
        return examples
    if not isinstance(allowed, Range):
        return examples | st.integers(1, 48)  # a width
    if isinstance(allowed.low, int) and isinstance(allowed.high, int):
        return examples | st.integers(allowed.low, allowed.high)
    return examples | st.floats(allowed.low, allowed.high).map(lambda value: round(value, 2))


def _examples(parameter: Hyperparameter) -> tuple[Scalar, ...]:
    """The default, to which a failure is simplified, before the others."""
    return (parameter.default, *(value for value in parameter.allowed.examples if value != parameter.default))


def _case(name: str, values: dict[str, Scalar], shape: Shape = SHAPE) -> Case:
    parameters = BLOCKS[name].hyperparameters
    changed = [(key, values[key]) for key in parameters if key in values and values[key] != parameters[key].default]
    return Case(name, tuple(changed), shape)


def _gain(key: str, value: Scalar, others: dict[str, Scalar], open_pairs: dict[Pair, None]) -> int:
    return sum(frozenset([(key, value), other]) in open_pairs for other in others.items())


def _one_more(pair: dict[str, Scalar], options: dict[str, tuple[Scalar, ...]]) -> Iterator[dict[str, Scalar]]:
    for key, values in options.items():
        if key not in pair:
            yield from ({**pair, key: value} for value in values[1:])
