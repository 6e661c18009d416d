"""A stand-in for CUDA graphs on a CPU: it records what PyTorch dispatches and does it again on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from nas.train.captured import Recorder, T

WAITS = {"aten::_local_scalar_dense", "aten::nonzero"}
"""What makes a CPU wait for a GPU: reading a number, and a size that depends on values."""


class _Tape(TorchDispatchMode):
    """Notes operations with the tensors that they got and gave, and what those held that were there before.

    Batch norm writes to its averages and does not say so, so that all of them are kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made: set[int] = set()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]] = []
        self.before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func._overloadpacket._qualified_op_name in WAITS:
            raise RuntimeError("operation not permitted when stream is capturing")
        for tensor in tree_iter((args, kwargs)):
            if isinstance(tensor, Tensor):
                memory = tensor.untyped_storage()
                if memory._cdata not in self.made and memory._cdata not in self.before:
                    self.before[memory._cdata] = (memory, memory.clone())
        result = func(*args, **kwargs)
        new = [
            tensor
            for tensor, returned in zip(_list(result), _aliases(func, result), strict=True)
            if isinstance(tensor, Tensor) and returned is None
        ]
        self.calls.append((func, args, kwargs, new))
        self.made |= {tensor.untyped_storage()._cdata for tensor in new}
        return result


def _list(result: Any) -> list[Any]:
    return list(tree_iter(result)) if isinstance(result, tuple | list) else [result]


def _aliases(func: Any, result: Any) -> list[Any]:
    """For each tensor of a result what it shares with an argument, if anything."""
    returned = [one.alias_info for one in func._schema.returns]
    values = result if len(returned) > 1 else (result,)
    return [alias for value, alias in zip(values, returned, strict=True) for _ in _list(value)] if returned else [None]


class TapeRecorder(Recorder):
    """Records on a tape. As on a GPU nothing is computed when that happens, and what Python did is not done again."""

    def __init__(self) -> None:
        self.recorded = self.replayed = self.closed = 0

    def rehearse(self, action: Callable[[], T]) -> tuple[T, str | None]:
        return action(), None

    def record(self, action: Callable[[], object]) -> Callable[[], object]:
        random, tape = torch.get_rng_state(), _Tape()
        try:
            with tape:
                action()
        finally:
            for memory, before in tape.before.values():
                memory.copy_(before)
            torch.set_rng_state(random)
        self.recorded += 1

        @torch.no_grad()
        def replay() -> None:
            self.replayed += 1
            for func, args, kwargs, new in tape.calls:
                again = func(*args, **kwargs)
                if new:
                    fresh = [
                        tensor
                        for tensor, alias in zip(_list(again), _aliases(func, again), strict=True)
                        if isinstance(tensor, Tensor) and alias is None
                    ]
                    for old, value in zip(new, fresh, strict=True):
                        old.copy_(value)

        return replay

    def close(self) -> None:
        self.closed += 1
