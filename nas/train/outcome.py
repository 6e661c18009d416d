"""How a training ends: the named states, and the state that an error stands for."""

from __future__ import annotations

import gc
from enum import StrEnum

import torch


class State(StrEnum):
    """How a trial ended. Every trial ends in one of these."""

    COMPLETE = "complete"
    STOPPED_EARLY = "stopped_early"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Diverged(ArithmeticError):
    """The loss is not a number any more, or has exploded."""


# What PyTorch's CPU allocator, CUDA, cuDNN and cuBLAS say in a RuntimeError when memory runs out.
EXHAUSTED = ("out of memory", "can't allocate memory", "ALLOC_FAILED")


def outcome(problem: BaseException) -> tuple[State, str]:
    """The state and the one-line reason that an error raised by a model stands for."""
    whole = str(problem).strip()
    lines = whole.splitlines()
    reason = f"{type(problem).__name__}: {lines[0][:300]}" if lines else type(problem).__name__
    if isinstance(problem, Diverged):
        return State.DIVERGED, whole
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return State.OUT_OF_MEMORY, reason
    if isinstance(problem, RuntimeError) and any(words in whole for words in EXHAUSTED):
        return State.OUT_OF_MEMORY, reason
    return State.FAILED, reason


def release_memory() -> None:
    """Gives back what a broken model held, so that the next one starts with the whole device."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
