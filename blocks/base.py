"""What a block is, and what one does to a shape.

A block is an `nn.Module` registered under a name, with typed hyperparameters, their allowed values and a source::

    @block("se", source="Hu et al. 2018, Squeeze-and-Excitation Networks, section 3")
    class SqueezeExcitation(nn.Module):
        def __init__(
            self, in_channels: int, *, reduction: Annotated[int, OneOf(2, 4, 8), "channels are divided by it"] = 8
        ) -> None: ...

The arguments before the star are filled in by the compiler, by their names:

- `in_channels`: channels of the only input; `in_shape`: its (C, H, W); `in_shapes`: the (C, H, W) of every input, for
  a block with any number of inputs (a merge, whose `forward` takes `*inputs`); `classes`: how many the task has.

The arguments after the star are hyperparameters: each is annotated with `OneOf` or `Range` and a line that says what it does,
and has a default. What describes a block of this folder is written out, because it is read without importing PyTorch
(`blocks.declarations`); its class is imported when it is first made or measured.
A constructor refuses a combination that cannot be with `ShapeError`; that makes an architecture infeasible. Of switches
that may not all be off, ``@block(..., some_on=("hierarchy", "relevance"))`` says so: then no random draw has them off.
A hyperparameter that does nothing at some values of another one is said too: ``idle=(("reduction", "gate", ("none", "eca")),)``.
Architectures have its default there, so that two assignments of one network are one network.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from blocks.counting import UncountedError
from blocks.hyperparameter import MOST_CHANNELS, Allowed, Hyperparameter, OneOf, Range, Scalar, Width, resolve_width
from nas.errors import BlockError, nearest
from nas.plugins.registry import Registry

if TYPE_CHECKING:  # who only reads what blocks there are needs no PyTorch, which takes a second
    from torch import nn

__all__ = [
    "BLOCKS",
    "FAMILIES",
    "Allowed",
    "Block",
    "Facts",
    "Hyperparameter",
    "OneOf",
    "Params",
    "Range",
    "Scalar",
    "Shape",
    "ShapeError",
    "Width",
    "block",
    "measure",
    "resolve_width",
]

Shape = tuple[int, ...]
"""(C, H, W) of a feature map, or (classes,) of logits; the batch is never part of it."""
Params = tuple[tuple[str, Scalar], ...]
"""Hyperparameters of one block as sorted pairs: hashable, and the same for the same values."""
M = TypeVar("M", bound="nn.Module")

FAMILIES: Final = (
    "convolution",
    "residual",
    "dense",
    "attention",
    "transformer",
    "embedding",
    "downsampling",
)
"""What a block can be, in one word: `Block.family`. An embedding makes tokens of an image."""
_FILLED_IN = ("in_channels", "in_shape", "in_shapes", "classes")


class ShapeError(ValueError):
    """A block cannot take these input shapes with these hyperparameters."""


@dataclass(frozen=True)
class Block:
    """A registered block: everything about it but its weights."""

    name: str
    home: tuple[str, str]
    """Module and name of its class."""
    documentation: str
    """Docstring of its class, without indentation."""
    hyperparameters: Mapping[str, Hyperparameter]
    filled_in: tuple[str, ...]
    load: Callable[[], Callable[..., nn.Module]] = field(compare=False, repr=False)
    """Gives its class, importing it where that is still to be done."""
    source: str = ""
    link: str = ""
    """Where its paper stands: arXiv or a DOI; empty where neither is known."""
    family: str = ""
    """One of `FAMILIES`, by which networks are summed up; empty for what is none of them."""
    passthrough: bool = False
    """With one input, returns it unchanged: such a node is no node of an architecture."""
    commutative: bool = False
    """The order of its inputs does not matter."""
    zero: bool = False
    """Gives zeros, whatever enters."""
    is_sum: bool = False
    """Adds its inputs up: zeros change nothing, and a sum of sums is one sum."""
    some_on: tuple[str, ...] = ()
    """Hyperparameters of which at least one is true."""
    idle: tuple[tuple[str, str, tuple[Scalar, ...]], ...] = ()
    """A hyperparameter that does nothing, another one, and the values of that at which it is so."""

    @cached_property
    def module(self) -> Callable[..., nn.Module]:
        """Its class."""
        return self.load()

    @property
    def takes_many(self) -> bool:
        """Whether it takes any number of inputs."""
        return "in_shapes" in self.filled_in

    @property
    def summary(self) -> str:
        """First sentence of its documentation after the shape line."""
        paragraphs = self.documentation.split("\n\n")[1:]
        text = " ".join(paragraphs[0].split()) if paragraphs else ""
        sentence, stop, _ = text.partition(". ")
        return sentence + stop.strip()

    def make(self, params: Mapping[str, Scalar], in_shapes: tuple[Shape, ...], classes: int) -> nn.Module:
        """A new module for inputs of `in_shapes`; a hyperparameter that `params` lacks has its default.

        Raises `ShapeError` when the block cannot take these inputs.
        """
        if not in_shapes or (len(in_shapes) > 1 and not self.takes_many):
            number = "at least one input" if self.takes_many else "one input"
            raise ShapeError(f"block '{self.name}' takes {number}, not {len(in_shapes)}")
        if any(len(shape) != 3 for shape in in_shapes):
            raise ShapeError(f"block '{self.name}' takes feature maps (C, H, W), not {_shapes_text(in_shapes)}")
        values = {
            "in_channels": in_shapes[0][0],
            "in_shape": in_shapes[0],
            "in_shapes": in_shapes,
            "classes": classes,
        }
        chosen = dict(params)
        for name in self._widths:
            chosen[name] = resolve_width(chosen.get(name, self.hyperparameters[name].default), in_shapes[0][0])
            if not self.hyperparameters[name].allowed.allows(chosen[name]):  # doubled again and again
                raise ShapeError(f"block '{self.name}': {name} must be {MOST_CHANNELS:,} at most, not {chosen[name]:,}")
        if self.all_off(chosen):
            raise ShapeError(f"block '{self.name}' needs at least one of {', '.join(self.some_on)}")
        return self.module(*[values[name] for name in self.filled_in], **chosen)

    def all_off(self, params: Mapping[str, Scalar]) -> bool:
        """Whether none of `some_on` is true; one that `params` lacks has its default."""
        return bool(self.some_on) and not any(
            params.get(name, self.hyperparameters[name].default) for name in self.some_on
        )

    def without_idle(self, params: Params) -> Params:
        """These hyperparameters, with the default for each that does nothing beside the others."""
        if not self.idle:
            return params
        chosen = dict(params)
        at_rest = {name for name, other, values in self.idle if chosen[other] in values}
        if all(chosen[name] == self.hyperparameters[name].default for name in at_rest):
            return params
        return tuple([(key, self.hyperparameters[key].default if key in at_rest else value) for key, value in params])

    @cached_property
    def _widths(self) -> tuple[str, ...]:
        return tuple([name for name, hyperparameter in self.hyperparameters.items() if hyperparameter.is_width])


BLOCKS: Registry[Block] = Registry("block", "nas.blocks", BlockError)
"""Every registered block by name."""
DECLARED: dict[tuple[str, str], Block] = {}
"""Blocks whose files were read and not run, by their homes."""


class Argument(NamedTuple):
    """An argument of a block's constructor."""

    name: str
    metadata: tuple[Any, ...] = ()
    """Behind its type in the annotation."""
    default: Any = None


def described(
    name: str,
    home: tuple[str, str],
    documentation: str,
    filled_in: Iterable[str],
    chosen: Iterable[Argument],
    load: Callable[[], Callable[..., nn.Module]],
    flags: Mapping[str, Any],
) -> Block:
    """The block whose constructor takes these arguments before and after the star; `flags` are what `block` takes.

    Raises BlockError where they do not follow the rules of this file.
    """
    filled_in = tuple(filled_in)
    for argument in filled_in:
        if argument not in _FILLED_IN:
            raise BlockError(f"block '{name}': '{argument}' is none of {', '.join(_FILLED_IN)}")
    hyperparameters: dict[str, Hyperparameter] = {}
    for argument, metadata, default in chosen:
        allowed = next((item for item in metadata if isinstance(item, Allowed)), None)
        if allowed is None or not allowed.allows(default):
            rule = "needs OneOf, Range or Width, and an allowed default"
            raise BlockError(f"block '{name}': '{argument}' {rule}")
        meaning = next((item for item in reversed(metadata) if isinstance(item, str)), "")
        hyperparameters[argument] = Hyperparameter(argument, allowed, default, meaning)
    made = Block(name, home, documentation, hyperparameters, filled_in, load, **flags)
    if made.family and made.family not in FAMILIES:
        families = f"{', '.join(FAMILIES)}{nearest(made.family, FAMILIES)}"
        raise BlockError(f"block '{name}': family is '{made.family}', not one of {families}")
    if not hyperparameters.keys() >= set(made.some_on):
        raise BlockError(f"block '{name}': some_on names hyperparameters, not {', '.join(made.some_on)}")
    for idle, other, values in made.idle:
        known = hyperparameters.keys() >= {idle, other} and idle != other
        if not known or not all(hyperparameters[other].allowed.allows(value) for value in values):
            raise BlockError(
                f"block '{name}': idle names two hyperparameters and values of the second, not {idle}, {other}"
            )
    return made


def declare(read: Block) -> None:
    """Registers a block whose file was read and not run. Raises BlockError when the name is taken."""
    BLOCKS.add(read.name, read)
    DECLARED[read.home] = read


def block(
    name: str,
    *,
    source: str = "",
    link: str = "",
    family: str = "",
    passthrough: bool = False,
    commutative: bool = False,
    zero: bool = False,
    is_sum: bool = False,
    some_on: tuple[str, ...] = (),
    idle: tuple[tuple[str, str, tuple[Scalar, ...]], ...] = (),
) -> Callable[[type[M]], type[M]]:
    """Registers a class of `nn.Module` as a block; docs/extending.md tells how to write one.

    `source` says where it comes from, `link` where that is to be read, `family` what it is in one word, by which the pages of
    Optuna Dashboard count: convolution, residual, dense, attention, transformer, embedding (tokens of an image) or
    downsampling. A class that is defined again, as in a cell of a notebook that is run twice, replaces the one before. Raises
    BlockError when the name is taken, or the constructor does not follow the rules there.
    """
    flags: dict[str, Any] = {
        "source": source,
        "link": link,
        "family": family,
        "passthrough": passthrough,
        "commutative": commutative,
        "zero": zero,
        "is_sum": is_sum,
        "some_on": some_on,
        "idle": idle,
    }

    def register(module: type[M]) -> type[M]:
        made = _inspected(name, module, flags)
        read = DECLARED.get(made.home)
        if read is None:
            BLOCKS.add(name, made, module)
            forget(name)
        elif read != made:
            raise BlockError(f"block '{name}': its file does not say what it is when it is run; write it out")
        return module

    return register


def _inspected(name: str, module: type[nn.Module], flags: Mapping[str, Any]) -> Block:
    from torch import nn

    if not (isinstance(module, type) and issubclass(module, nn.Module)):
        raise BlockError(f"block '{name}': must be a class of torch.nn.Module")
    hints = typing.get_type_hints(module.__init__, include_extras=True)
    own = module.__init__ is not nn.Module.__init__
    arguments = [*inspect.signature(module.__init__).parameters.values()][1:] if own else []
    return described(
        name,
        (module.__module__, module.__qualname__),
        inspect.cleandoc(module.__doc__ or ""),
        [argument.name for argument in arguments if argument.kind is not argument.KEYWORD_ONLY],
        [
            Argument(argument.name, getattr(hints.get(argument.name), "__metadata__", ()), argument.default)
            for argument in arguments
            if argument.kind is argument.KEYWORD_ONLY
        ],
        lambda: module,
        flags,
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What a block does to a shape, for one image."""

    out_shape: Shape
    parameters: int
    """Weights and biases that are trained; buffers are not counted."""
    macs: int
    """Multiply-accumulates of convolutions, matrix products and attention, by the rules of `blocks.counting`."""
    peak_bytes: int
    """Most bytes of tensors that the block makes and holds at once in a float32 forward pass without gradients.

    Its output is counted; its inputs and its weights are not.
    """
    alias_of: int | None
    """Index of the input whose memory the output shares, or None."""
    operations: int
    """Operations of PyTorch in that pass that compute or copy something; to look at memory in another way is none."""
    made_bytes: int
    """Bytes of all tensors that those make, however long they live."""
    layers: int
    """Convolutions and products with trained weights on the longest way through it, without those of gates: 2 of a basic
    residual block."""


_facts: dict[tuple[str, Params, tuple[Shape, ...], int], Facts | ShapeError] = {}


def forget(name: str) -> None:
    """Forgets what was measured of a block, because another one has its name now."""
    for key in [key for key in _facts if key[0] == name]:
        del _facts[key]


def measure(name: str, params: Params, in_shapes: tuple[Shape, ...], classes: int) -> Facts:
    """What block `name` does to inputs of `in_shapes`: measured once on PyTorch's meta device, then remembered.

    Nothing is allocated and nothing is computed. Raises `ShapeError` when the block cannot take these inputs.
    """
    key = (name, params, in_shapes, classes)
    known = _facts.get(key)
    if known is None:
        try:
            known = _measure(BLOCKS[name], dict(params), in_shapes, classes)
        except ShapeError as problem:
            known = problem.with_traceback(None)
        _facts[key] = known
    if isinstance(known, ShapeError):
        raise ShapeError(*known.args)
    return known


def _measure(block: Block, params: Mapping[str, Scalar], in_shapes: tuple[Shape, ...], classes: int) -> Facts:
    import torch

    from blocks.meter import Meter, without_weights

    with without_weights():
        try:
            module = block.make(params, in_shapes, classes).eval()
            inputs = [torch.empty(1, *shape) for shape in in_shapes]
        except RuntimeError as problem:
            if "overflow" not in str(problem):  # of more bytes than PyTorch can count; all else is a fault of the block
                raise
            raise ShapeError(f"block '{block.name}' cannot take {_shapes_text(in_shapes)}: {problem}") from None
    parameters = list(module.parameters())
    with torch.no_grad(), Meter([*inputs, *parameters, *module.buffers()], inputs, parameters) as meter:
        try:
            output = module(*inputs)
        except UncountedError as problem:
            raise UncountedError(f"block '{block.name}': {problem}") from None
        except (RuntimeError, ValueError) as problem:  # a kernel larger than the map, sizes that cannot be divided …
            reason = str(problem).strip().splitlines()[0]
            raise ShapeError(f"block '{block.name}' cannot take {_shapes_text(in_shapes)}: {reason}") from None
    if 0 in output.shape:
        raise ShapeError(f"block '{block.name}' leaves nothing of {_shapes_text(in_shapes)}")
    storage = output.untyped_storage()._cdata
    alias = next((i for i, tensor in enumerate(inputs) if tensor.untyped_storage()._cdata == storage), None)
    count = sum([parameter.numel() for parameter in parameters])
    return Facts(
        tuple(output.shape[1:]),
        count,
        meter.macs,
        meter.peak_bytes,
        alias,
        meter.operations,
        meter.made_bytes,
        meter.layers(output),
    )


def _shapes_text(shapes: tuple[Shape, ...]) -> str:
    return " and ".join("×".join(map(str, shape)) for shape in shapes) or "nothing"
