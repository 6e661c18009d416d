"""What shape an operation gives, for the operations that blocks are mostly made of.

PyTorch has these rules too, but in Python that is made for symbolic shapes: a batch norm takes 0.6 ms there, a bilinear
resize 5 ms, and the first of them imports sympy and torch._dynamo, which takes a second. A rule gives new tensors like
those that the operation gives, or None where it does not apply or something is wrong; then PyTorch is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def _same(x: Tensor, *args: Any, **kwargs: Any) -> Tensor | None:
    return x.new_empty(x.shape) if x.is_floating_point() else None


def _broadcast(x: Tensor, y: Any, **kwargs: Any) -> Tensor | None:
    if not x.is_floating_point():
        return None
    if not isinstance(y, Tensor):
        return None if isinstance(y, complex) else x.new_empty(x.shape)
    if x.dtype != y.dtype or x.dim() != y.dim():
        return None
    if x.shape == y.shape:
        return x.new_empty(x.shape)
    if any(n != m and n != 1 and m != 1 for n, m in zip(x.shape, y.shape, strict=True)):
        return None
    return x.new_empty([m if n == 1 else n for n, m in zip(x.shape, y.shape, strict=True)])


def _reduce(x: Tensor, dim: Sequence[int] | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor | None:
    if not dim or dtype is not None or not x.is_floating_point() or max(dim) >= x.dim() or min(dim) < -x.dim():
        return None
    dims = {place % x.dim() for place in dim}
    if keepdim:
        return x.new_empty([1 if place in dims else size for place, size in enumerate(x.shape)])
    return x.new_empty([size for place, size in enumerate(x.shape) if place not in dims])


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    rest = {(tensor.dtype, *tensor.shape[:dim], *tensor.shape[dim + 1 :]) for tensor in tensors}
    if dim < 0 or first.dim() <= dim or len(rest) > 1:
        return None
    return first.new_empty((*first.shape[:dim], sum(tensor.shape[dim] for tensor in tensors), *first.shape[dim + 1 :]))


def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor | None:
    first = tensors[0]
    if len({(tensor.dtype, tensor.shape) for tensor in tensors}) > 1 or not 0 <= dim <= first.dim():
        return None
    return first.new_empty((*first.shape[:dim], len(tensors), *first.shape[dim:]))


def _linspace(start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None, **kwargs: Any) -> Any:
    return torch.empty(steps, dtype=dtype, device=device) if steps >= 0 else None


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor | None:
    if transposed or x.dim() != weight.dim() or x.dtype != weight.dtype:
        return None
    if x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        return None
    sizes = _windows(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return None if sizes is None else x.new_empty((x.shape[0], weight.shape[0], *sizes))


def _max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor] | None:
    sizes = _windows(x.shape[2:], kernel, stride or kernel, padding, dilation, ceil_mode)
    if sizes is None or any(2 * p > k for p, k in zip(_both(padding), _both(kernel), strict=True)):
        return None
    shape = (*x.shape[:2], *sizes)
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


def _avg_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor | None:
    found = None if divisor_override == 0 else _max_pool(x, kernel, stride, padding, (1,), ceil_mode)
    return None if found is None else found[0]


def _windows(
    extents: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> list[int] | None:
    # How many windows fit along each extent; None when none does.
    count = len(extents)
    sizes: list[int] = []
    for n, k, s, p, d in zip(
        extents, *(_both(values, count) for values in (kernel, stride, padding, dilation)), strict=True
    ):
        if min(n, k, s, d) < 1 or p < 0:
            return None
        room = n + 2 * p - d * (k - 1) - 1
        size = (math.ceil(room / s) if ceil_mode else room // s) + 1
        if ceil_mode and (size - 1) * s >= n + p:  # a window must start on the map or its left border
            size -= 1
        if (room < 0 and not ceil_mode) or size < 1:
            return None
        sizes.append(size)
    return sizes


def _both(values: Sequence[int], count: int = 2) -> Sequence[int]:
    return values if len(values) == count else list(values) * count


def _batch_norm(
    x: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if training or mean.shape[0] != x.shape[1]:
        return None
    return x.new_empty(x.shape), x.new_empty(0), x.new_empty(0)


def _group_norm(
    x: Tensor, weight: Any, bias: Any, batch: int, channels: int, positions: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if weight is None or weight.shape[0] != channels or channels % groups:
        return None
    return x.new_empty(x.shape), x.new_empty(batch, groups), x.new_empty(batch, groups)


def _resized(x: Tensor, size: Sequence[int], *args: Any, **kwargs: Any) -> Tensor | None:
    return x.new_empty((*x.shape[:2], *size)) if x.dim() == 4 and min(size) > 0 else None


def _padded(x: Tensor, pad: Sequence[int], *args: Any) -> Tensor | None:
    if len(pad) % 2 or len(pad) > 2 * x.dim():
        return None
    shape = list(x.shape)
    for place, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):  # from the last dimension on
        shape[-1 - place] += before + after
    return x.new_empty(shape) if min(shape) > 0 else None


def _matrix_product(a: Tensor, b: Tensor) -> Tensor | None:
    return a.new_empty(a.shape[0], b.shape[1]) if a.dtype == b.dtype and a.shape[1] == b.shape[0] else None


def _matrix_products(a: Tensor, b: Tensor) -> Tensor | None:
    if a.dtype != b.dtype or a.dim() != 3 or b.dim() != 3 or (a.shape[0], a.shape[2]) != tuple(b.shape[:2]):
        return None
    return a.new_empty(a.shape[0], a.shape[1], b.shape[2])


def _biased_matrix_product(bias: Tensor, a: Tensor, b: Tensor, **kwargs: Any) -> Tensor | None:
    return _matrix_product(a, b) if bias.dtype == a.dtype and bias.shape in (b.shape[1:], (1,)) else None


def _softmax(x: Tensor, dim: int, to_float: bool) -> Tensor | None:
    return x.new_empty(x.shape) if x.is_floating_point() and not to_float and -x.dim() <= dim < x.dim() else None


def _layer_norm(
    x: Tensor, sizes: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if weight is None or list(weight.shape) != list(sizes) or list(x.shape[x.dim() - len(sizes) :]) != list(sizes):
        return None
    outer = [*x.shape[: x.dim() - len(sizes)], *[1] * len(sizes)]
    return x.new_empty(x.shape), x.new_empty(outer), x.new_empty(outer)


def _safe_softmax(x: Tensor, dim: int, dtype: Any = None) -> Tensor | None:
    return _softmax(x, dim, dtype is not None)


def _grid_sample(x: Tensor, grid: Tensor, *args: Any) -> Tensor | None:
    if x.dtype != grid.dtype or x.shape[0] != grid.shape[0] or grid.shape[3] != 2:
        return None
    return x.new_empty((*x.shape[:2], *grid.shape[1:3]))


RULES: dict[Any, Callable[..., Any]] = {
    aten.relu.default: _same,
    aten.hardtanh.default: _same,
    aten.sigmoid.default: _same,
    aten.silu.default: _same,
    aten.gelu.default: _same,
    aten.hardswish.default: _same,
    aten.sqrt.default: _same,
    aten.add.Tensor: _broadcast,
    aten.sub.Tensor: _broadcast,
    aten.mul.Tensor: _broadcast,
    aten.mul.Scalar: _broadcast,
    aten.mean.dim: _reduce,
    aten.amax.default: _reduce,
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.linspace.default: _linspace,
    aten.convolution.default: _convolution,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.avg_pool2d.default: _avg_pool,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_group_norm.default: _group_norm,
    aten.upsample_bilinear2d.default: _resized,
    aten.upsample_nearest2d.default: _resized,
    aten.constant_pad_nd.default: _padded,
    aten._softmax.default: _softmax,
    aten._safe_softmax.default: _safe_softmax,
    aten.native_layer_norm.default: _layer_norm,
    aten.grid_sampler_2d.default: _grid_sample,
    aten.mm.default: _matrix_product,
    aten.bmm.default: _matrix_products,
    aten.addmm.default: _biased_matrix_product,
}
"""Shape rules by operation."""
