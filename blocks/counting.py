"""The counting rules: how many multiply-accumulates an operation takes, from its shapes alone.

PyTorch has such formulas too (`torch.utils.flop_counter`), but which operations have one depends on its version: attention
on a CPU has one in 2.15 and none in 2.14, where it therefore counted nothing. Costs are objectives and constraints, so
they must not depend on that: the formulas are here, and an operation that seems to multiply matrices or to convolve and
has none is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the version of the rules is read with every study, and PyTorch takes a second to import
    from torch import Tensor

COUNTING_RULES = 1
"""The version of the rules. Raised when any change gives any block another cost; studies record it."""


class UncountedError(TypeError):
    """A block calls an operation that multiplies matrices or convolves, and nobody has said what it costs."""


def attention_macs(query: Tensor, key: Tensor, value: Tensor) -> int:
    """MACs of attention, whatever kernel computes it: queries times keys, then weights times values.

    query (…, heads, queries, size), key (…, heads, keys, size), value (…, heads, keys, size of a value). Heads of keys and
    values may be shared by several of queries. What a mask hides is counted: kernels differ in what they leave out.
    """
    return math.prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _attention(result: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> int:
    return attention_macs(query, key, value)


def _product(result: Tensor, a: Tensor, b: Tensor, *args: Any, **kwargs: Any) -> int:
    return result.numel() * a.shape[-1]


def _product_with_bias(result: Tensor, bias: Tensor, a: Tensor, b: Tensor, **kwargs: Any) -> int:
    return result.numel() * a.shape[-1]


def _inner_product(result: Tensor, a: Tensor, b: Tensor) -> int:
    return a.numel()


def _convolution(
    result: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *args: Any,
) -> int:
    # Each position of the output (of the input, when transposed) meets every weight that is its own once.
    positions = x if transposed else result
    return positions.shape[0] * math.prod(positions.shape[2:]) * weight.numel()


FORMULAS: dict[str, Callable[..., int]] = {
    "aten::mm": _product,
    "aten::bmm": _product,
    "aten::mv": _product,
    "aten::addmm": _product_with_bias,
    "aten::baddbmm": _product_with_bias,
    "aten::addmv": _product_with_bias,
    "aten::dot": _inner_product,
    "aten::vdot": _inner_product,
    "aten::_cdist_forward": _product,
    "aten::convolution": _convolution,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_scaled_dot_product_flash_attention": _attention,
    "aten::_scaled_dot_product_efficient_attention": _attention,
    "aten::_scaled_dot_product_cudnn_attention": _attention,
}
"""Formulas by name of the operation: its result and arguments in, multiply-accumulates out."""

# Names of operations, cut at underscores: `addmm`, `conv_depthwise3d`, `mkldnn_linear`, `_trilinear`, `lstm_cell`; but
# neither `upsample_linear1d`, `_convert_indices_from_coo_to_csr` nor `lgamma`.
_MULTIPLIES = re.compile(
    r"\w*mm|(add)?mv|\w*conv(?!ert)\w*|\w*matmul|\w*attention|(bi|tri)?linear|\w*dot|einsum|cdist|rnn|lstm|gru"
)


def multiply_accumulates(operation: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """What `operation` took to make `result`: 0 where it neither multiplies matrices nor convolves.

    Raises UncountedError for one that does, by its name, and has no formula.
    """
    formula = FORMULAS.get(operation._overloadpacket._qualified_op_name)
    if formula is not None:
        return formula(result, *args, **kwargs)
    if _multiplies(operation):
        raise UncountedError(
            f"operation '{operation.name()}' multiplies matrices or convolves and has no formula in blocks/counting.py, so its "
            "cost is not known"
        )
    return 0


_seen: dict[Any, bool] = {}


def _multiplies(operation: Any) -> bool:
    known = _seen.get(operation)
    if known is None:
        name = operation.name().rpartition("::")[2].partition(".")[0]
        known = _seen[operation] = any(_MULTIPLIES.fullmatch(part) for part in name.split("_"))
    return known


_computing: dict[Any, bool] = {}
_IDLE = re.compile(r"(new_)?empty\w*|detach\w*|alias|lift_fresh|_unsafe_view|_reshape_alias|_local_scalar_dense")


def computes(operation: Any) -> bool:
    """Whether `operation` computes or copies something, which a GPU needs a kernel for; not where it makes room or a view alone."""
    known = _computing.get(operation)
    if known is None:
        returned = operation._schema.returns
        view = bool(returned) and all(one.alias_info is not None and not one.alias_info.is_write for one in returned)
        name = operation.name().rpartition("::")[2].partition(".")[0]
        known = _computing[operation] = not view and _IDLE.fullmatch(name) is None
    return known
