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
from torch.utils.flop_counter import flop_registry

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


class _FusedAttention(TorchFunctionMode):
    """Attention as the one operation that it is on real devices; on the meta device PyTorch would take it apart.

    Taken apart it holds a matrix of queries by keys, which the fused kernel never does.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and len(args) == 3 and all(tensor.dim() == 4 for tensor in args):
            rest = [value for name, value in kwargs.items() if name != "scale"]
            plain = not any(isinstance(value, Tensor) or value for value in rest)  # no mask, no dropout
            if plain and args[0].shape[3] == args[2].shape[3]:  # else PyTorch has no fused kernel on the CPU
                return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*args)[0]
        return func(*args, **kwargs)


def _flops(count: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    # PyTorch's formulas take shapes; its wrapper that turns any tree of tensors into shapes takes 40 µs a convolution.
    formula = getattr(count, "__wrapped__", None)
    if formula is None or kwargs or not isinstance(result, Tensor):
        return int(count(*args, **kwargs, out_val=result))
    shapes = [arg.shape if isinstance(arg, Tensor) else arg for arg in args]
    return int(formula(*shapes, out_shape=result.shape))


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the floating-point operations of what runs inside, and the peak bytes of tensors made there.

    Tensors in `given` (inputs, weights) and views of them are not counted. Operations are those that PyTorch dispatches
    with gradients off, so what is made of others (`linear`, `max_pool2d`) has come apart before it gets here.
    """

    def __init__(self, given: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.peak_bytes = 0
        self._fused_attention = _FusedAttention()
        self._given = {tensor.untyped_storage()._cdata for tensor in given}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __enter__(self) -> Self:
        self._fused_attention.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *problem: Any) -> None:
        super().__exit__(*problem)  # type: ignore[no-untyped-call]
        self._fused_attention.__exit__(*problem)  # type: ignore[no-untyped-call]

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
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += _flops(count, args, kwargs, result)
        self._watch(result)
        return result

    def _watch(self, result: Any) -> None:
        # A tensor dies when its last reference does, so between two operations exactly the living ones hold memory.
        dead = [key for key, (storage, _) in self._alive.items() if storage.expired()]  # type: ignore[no-untyped-call]
        for key in dead:
            del self._alive[key]
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self._given and key not in self._alive:
                    reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
                    self._alive[key] = (reference, storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._alive.values()))
