"""What a block is, and what one does to a shape.

A block is an `nn.Module` registered under a name, with typed hyperparameters, their allowed values and a source::

    @block("se", source="Hu et al. 2018, Squeeze-and-Excitation Networks, section 3")
    class SqueezeExcitation(nn.Module):
        def __init__(self, in_channels: int, *, reduction: Annotated[int, OneOf(2, 4, 8, 16)] = 16) -> None: ...

The arguments before the star are filled in by the compiler, by their names:

- `in_channels`: channels of the only input; `in_shape`: its (C, H, W); `in_shapes`: the (C, H, W) of every input, for
  a block with any number of inputs (a merge, whose `forward` takes `*inputs`); `classes`: how many the task has.

The arguments after the star are hyperparameters: each is annotated with `OneOf` or `Range` and has a default.
A constructor refuses a combination that cannot be with `ShapeError`; that makes an architecture infeasible.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Scalar = str | int | float | bool
Shape = tuple[int, ...]
"""(C, H, W) of a feature map, or (classes,) of logits; the batch is never part of it."""
Params = tuple[tuple[str, Scalar], ...]
"""Hyperparameters of one block as sorted pairs: hashable, and the same for the same values."""
M = TypeVar("M", bound=nn.Module)

_FILLED_IN = ("in_channels", "in_shape", "in_shapes", "classes")


class ShapeError(ValueError):
    """A block cannot take these input shapes with these hyperparameters."""


@dataclass(frozen=True)
class OneOf:
    """Allowed values: exactly these."""

    values: tuple[Scalar, ...]

    def __init__(self, *values: Scalar) -> None:
        object.__setattr__(self, "values", values)

    def allows(self, value: object) -> bool:
        """Whether `value` is one of them; True is not 1."""
        return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in self.values)

    @property
    def examples(self) -> tuple[Scalar, ...]:
        """Every allowed value."""
        return self.values

    def __str__(self) -> str:
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """Allowed values: numbers from `low` to `high`, both included; whole numbers when both bounds are whole."""

    low: float
    high: float
    examples: tuple[Scalar, ...]
    """The values a conformance test tries: the bounds and what lies between them."""

    def allows(self, value: object) -> bool:
        """Whether `value` is a number in the range."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        kinds = (int,) if whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True)
class _Width:
    """Allowed values: a number of channels, or `x2`, `x0.5` … relative to the channels of the (first) input."""

    examples: tuple[Scalar, ...] = ("x1", "x2", "x0.5", 24)

    def allows(self, value: object) -> bool:
        if isinstance(value, bool):
            return False
        if isinstance(value, int):
            return 1 <= value <= 65_536
        return isinstance(value, str) and _ratio(value) is not None

    def __str__(self) -> str:
        return "1 to 65536, or x0.5, x1, x2 … relative to the input"


Allowed = OneOf | Range | _Width
Width = Annotated[int, _Width()]
"""Annotation of a number of channels. In a space it may be relative (`x2`); a constructor always gets a whole number."""


def _ratio(text: str) -> float | None:
    if not text.startswith("x"):
        return None
    try:
        ratio = float(text[1:])
    except ValueError:
        return None
    return ratio if 0 < ratio <= 64 else None


def resolve_width(value: Scalar, in_channels: int) -> int:
    """The number of channels that `value` means for an input of `in_channels` channels, rounded, at least 1."""
    ratio = _ratio(value) if isinstance(value, str) else None
    return int(value) if ratio is None else max(1, round(ratio * in_channels))


@dataclass(frozen=True)
class Hyperparameter:
    """One searchable hyperparameter of a block."""

    name: str
    allowed: Allowed
    default: Scalar

    @property
    def is_width(self) -> bool:
        """Whether its value may be relative to the channels of the input."""
        return isinstance(self.allowed, _Width)


@dataclass(frozen=True)
class Block:
    """A registered block: everything about it but its weights."""

    name: str
    module: Callable[..., nn.Module]
    source: str
    hyperparameters: Mapping[str, Hyperparameter]
    filled_in: tuple[str, ...]
    passthrough: bool
    """With one input, returns it unchanged: such a node is no node of an architecture."""
    commutative: bool
    """The order of its inputs does not matter."""

    @property
    def takes_many(self) -> bool:
        """Whether it takes any number of inputs."""
        return "in_shapes" in self.filled_in

    @property
    def summary(self) -> str:
        """First line of its documentation that is not the shape line."""
        lines = [line.strip() for line in (inspect.getdoc(self.module) or "").splitlines() if line.strip()]
        return next((line for line in lines if "->" not in line), "")

    def make(self, params: Mapping[str, Scalar], in_shapes: tuple[Shape, ...], classes: int) -> nn.Module:
        """A new module for inputs of `in_shapes`. Raises `ShapeError` when it cannot take them."""
        if not self.takes_many and len(in_shapes) != 1:
            raise ShapeError(f"block '{self.name}' takes one input, not {len(in_shapes)}")
        if any(len(shape) != 3 for shape in in_shapes):
            raise ShapeError(f"block '{self.name}' takes feature maps (C, H, W), not {_shapes_text(in_shapes)}")
        values = {
            "in_channels": in_shapes[0][0],
            "in_shape": in_shapes[0],
            "in_shapes": in_shapes,
            "classes": classes,
        }
        return self.module(*(values[name] for name in self.filled_in), **params)


BLOCKS: dict[str, Block] = {}
"""Every registered block by name."""


def block(
    name: str, *, source: str, passthrough: bool = False, commutative: bool = False
) -> Callable[[type[M]], type[M]]:
    """Registers a module as a block. Raises TypeError when its constructor does not follow the rules of this file."""

    def register(module: type[M]) -> type[M]:
        if name in BLOCKS:
            raise TypeError(f"block '{name}' is registered twice")
        hints = typing.get_type_hints(module.__init__, include_extras=True)
        filled_in: list[str] = []
        hyperparameters: dict[str, Hyperparameter] = {}
        for parameter in list(inspect.signature(module.__init__).parameters.values())[1:]:
            if parameter.kind is not parameter.KEYWORD_ONLY:
                if parameter.name not in _FILLED_IN:
                    raise TypeError(f"block '{name}': '{parameter.name}' is none of {', '.join(_FILLED_IN)}")
                filled_in.append(parameter.name)
                continue
            metadata = getattr(hints[parameter.name], "__metadata__", ())
            allowed = next((item for item in metadata if isinstance(item, Allowed)), None)
            if allowed is None or not allowed.allows(parameter.default):
                raise TypeError(f"block '{name}': '{parameter.name}' needs OneOf, Range or Width, and an allowed default")
            hyperparameters[parameter.name] = Hyperparameter(parameter.name, allowed, parameter.default)
        BLOCKS[name] = Block(
            name, module, source, hyperparameters, tuple(filled_in), passthrough=passthrough, commutative=commutative
        )
        return module

    return register


@dataclass(frozen=True, slots=True)
class Facts:
    """What a block does to a shape, for one image."""

    out_shape: Shape
    parameters: int
    """Weights and biases that are trained; buffers are not counted."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products: half of PyTorch's FlopCounterMode."""
    peak_bytes: int
    """Most bytes of float32 tensors that the block itself holds at once in a forward pass, its inputs not counted."""
    alias_of: int | None
    """Index of the input whose memory the output shares, or None."""


_facts: dict[tuple[str, Params, tuple[Shape, ...], int], Facts | ShapeError] = {}


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


def _measure(block: Block, params: Mapping[str, Any], in_shapes: tuple[Shape, ...], classes: int) -> Facts:
    with torch.device("meta"):
        module = block.make(params, in_shapes, classes).eval()
        inputs = [torch.empty(1, *shape) for shape in in_shapes]
    with torch.no_grad(), _Meter(inputs) as meter:
        try:
            output = module(*inputs)
        except (RuntimeError, ValueError) as problem:  # a kernel larger than the map, sizes that cannot be divided …
            reason = str(problem).strip().splitlines()[0]
            raise ShapeError(f"block '{block.name}' cannot take {_shapes_text(in_shapes)}: {reason}") from None
    if 0 in output.shape:
        raise ShapeError(f"block '{block.name}' leaves nothing of {_shapes_text(in_shapes)}")
    storage = output.untyped_storage()._cdata
    alias = next((i for i, tensor in enumerate(inputs) if tensor.untyped_storage()._cdata == storage), None)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Facts(tuple(output.shape[1:]), parameters, meter.flops // 2, meter.peak_bytes, alias)


class _Meter(TorchDispatchMode):
    """Counts the floating-point operations of what runs inside, and the peak bytes of tensors made there."""

    def __init__(self, inputs: list[torch.Tensor]) -> None:
        super().__init__()
        self.flops = 0
        self.peak_bytes = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in inputs}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        if packet not in flop_registry:
            # As FlopCounterMode does: an operation that is made of others is counted by those.
            decomposed = func.decompose(*args, **kwargs) if func is not torch.ops.prim.device.default else NotImplemented
            if decomposed is not NotImplemented:
                return decomposed
        result = func(*args, **kwargs)
        if packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=result)
        self._watch(result)
        return result

    def _watch(self, result: Any) -> None:
        self._alive = {key: entry for key, entry in self._alive.items() if not entry[0].expired()}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._known and storage._cdata not in self._alive:
                    self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))


def _shapes_text(shapes: tuple[Shape, ...]) -> str:
    return " and ".join("×".join(map(str, shape)) for shape in shapes) or "nothing"
