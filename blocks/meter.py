"""Running a module without computing anything, to see what it would do.

On PyTorch's meta device tensors have shapes and no data. Two things make it slow there, and both are avoided: weights
are not initialized, and the commonest operations have their shape rules in `blocks.rules`. On one core a convolution
with batch norm and ReLU is measured in 0.5 ms (`FlopCounterMode` on the meta device: 1.8 ms), cross attention in 2.1 ms
(8.4 ms).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from blocks.counting import attention_macs, computes, multiply_accumulates
from blocks.rules import RULES

_INITIALIZERS = {
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.constant_,
    nn.init.kaiming_uniform_,
    torch.Tensor.uniform_,
    torch.Tensor.normal_,
    torch.Tensor.fill_,
    torch.Tensor.zero_,
}

_PRODUCTS = {torch.ops.aten.mul.Tensor, torch.ops.aten.mul_.Tensor}


@contextmanager
def without_weights() -> Iterator[None]:
    """Modules made inside have parameters and buffers on the meta device, and nothing fills them."""
    with torch.device("meta"), _WithoutInitialization():
        yield


class _WithoutInitialization(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _INITIALIZERS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


class _Attention(TorchFunctionMode):
    """Attention as one operation: its multiply-accumulates from its shapes, whatever kernel runs.

    On the meta device PyTorch would take it apart, and hold a matrix of queries by keys, which the fused kernels of real
    devices never do.
    """

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.meter = meter

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return self._attend(*args, **(kwargs or {}))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        meter = self.meter
        macs, operations, made_bytes = meter.macs, meter.operations, meter.made_bytes
        result = _fused(query, key, value) if _is_fused(query, key, value, *args, **kwargs) else None
        if result is None:
            result = F.scaled_dot_product_attention(query, key, value, *args, **kwargs)
        meter.macs = macs + attention_macs(query, key, value)
        meter.operations, meter.made_bytes = operations + 1, made_bytes + result.nbytes
        return result


def _is_fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> bool:
    # Where a CPU has a fused kernel, of the attention that needs nothing but its three tensors.
    plain = attn_mask is None and not dropout_p and not is_causal and not enable_gqa
    return plain and query.is_meta and query.dim() == 4 and query.shape[3] == value.shape[3]


def _fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor | None:
    batch, heads, queries, size = query.shape
    rest = (batch, heads, key.shape[-2], size)
    if tuple(key.shape) != rest or tuple(value.shape) != rest or len({query.dtype, key.dtype, value.dtype}) > 1:
        return None  # PyTorch says what is wrong
    # The kernel also holds the logarithm of each query's sum.
    result, _sums = query.new_empty(query.shape), query.new_empty((batch, heads, queries), dtype=torch.float32)
    return result


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiply-accumulates and operations of what runs inside, bytes of the tensors made there (all, and at the peak), and
    layers on the way to each.

    Tensors in `given` (inputs, weights) and views of them are not counted as made. A layer is a convolution or a matrix
    product that reads one of `weights`. In a product of two tensors that come from `inputs`, the smaller one, or the one with more
    layers, is a gate that weighs the other; its layers are not on the way. Operations are those that PyTorch dispatches
    with gradients off, so what is made of others (`linear`, `max_pool2d`) has come apart before it gets here.
    """

    def __init__(self, given: Iterable[Tensor], inputs: Iterable[Tensor] = (), weights: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = self.operations = self.made_bytes = 0
        self.peak_bytes = 0
        self._attention = _Attention(self)
        self._given = {tensor.untyped_storage()._cdata for tensor in given}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self._weights = {tensor.untyped_storage()._cdata for tensor in weights}
        self._layers = {tensor.untyped_storage()._cdata: 0 for tensor in inputs}

    def layers(self, tensor: Tensor) -> int:
        """How many layers there are on the longest way to a tensor, which must be alive."""
        return self._layers.get(tensor.untyped_storage()._cdata, 0)

    def __enter__(self) -> Self:
        self._attention.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)  # type: ignore[no-untyped-call]
        self._attention.__exit__(*problem)  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nobody compiles this; PyTorch's wrapper against that would import torch._dynamo first, which takes 0.9 s.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        rule = RULES.get(func)
        result = None if rule is None else rule(*args, **kwargs)
        if result is None:
            result = func(*args, **kwargs)
        macs = multiply_accumulates(func, result, args, kwargs)
        self.macs += macs
        tensors = [
            one for one in (result if isinstance(result, tuple | list) else (result,)) if isinstance(one, Tensor)
        ]
        if computes(func):
            self.operations += 1
            self.made_bytes += sum([tensor.nbytes for tensor in tensors])
        self._deepen(func, tensors, args, bool(macs))
        self._watch(tensors)
        return result

    def _deepen(self, func: Any, results: list[Tensor], args: tuple[Any, ...], multiplies: bool) -> None:
        # By storages: views and operations in place are where their tensor is. One of a dead tensor may come again, and then
        # the operation that made it says anew how deep it is. What comes of weights alone is on no way.
        given = [(tensor.untyped_storage()._cdata, tensor.numel()) for tensor in _tensors(args)]
        read = {storage for storage, _ in given}
        known = [(self._layers[storage], size) for storage, size in given if storage in self._layers]
        made = [tensor.untyped_storage()._cdata for tensor in results]
        if not known:
            for storage in made:
                self._layers.pop(storage, None)
            return
        if func in _PRODUCTS:
            largest = max(size for _, size in known)
            depth = min(layers for layers, size in known if size == largest)
        else:
            depth = max(layers for layers, _ in known)
        if multiplies and not self._weights.isdisjoint(read):
            depth += 1
        self._layers |= dict.fromkeys(made, depth)

    def _watch(self, tensors: list[Tensor]) -> None:
        # A tensor dies when its last reference does, so between two operations exactly the living ones hold memory.
        dead = [key for key, (storage, _) in self._alive.items() if storage.expired()]  # type: ignore[no-untyped-call]
        for key in dead:
            del self._alive[key]
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._given and key not in self._alive:
                reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                self._alive[key] = (reference, storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)
