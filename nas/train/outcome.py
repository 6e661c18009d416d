"""How a training ends: what an error stands for.

`FAULTS` is the one place that knows what PyTorch, CUDA, cuDNN and cuBLAS say in an error, and what follows from it: the state
that is recorded, whether the process may train another network, and whether this one is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch

from nas.errors import NasError
from nas.states import State
from nas.train.device import UNREACHABLE


class Retry(StrEnum):
    """Whether a network whose training ended so is trained once more."""

    NEVER = "never"
    ALONE = "alone"
    """Again with a device for itself, where it has shared one."""
    ELSEWHERE = "elsewhere"
    """Again in another process, on whichever device is free: what happened may say nothing about the network."""


class Diverged(ArithmeticError):
    """The loss is not a number any more, or has exploded."""


@dataclass(frozen=True)
class Fault:
    """What follows from an error whose text contains `words`."""

    words: str
    state: State
    """When it is not tried again, or ends so again."""
    retire: bool
    """Whether the process must not train another network."""
    retry: Retry
    doubtful: bool = False
    """Whether the state is right only where memory was short."""


def _exhausted(words: str, *, doubtful: bool = False) -> Fault:
    """Memory ran out. What the model held may still be referred to, so that its process ends."""
    return Fault(words, State.OUT_OF_MEMORY, True, Retry.ALONE, doubtful)


def _own(words: str, *, retire: bool) -> Fault:
    """The network does it, wherever it is trained."""
    return Fault(words, State.FAILED, retire, Retry.NEVER)


def _machine(words: str) -> Fault:
    """The device or its driver, whatever the network is: nothing is ever recorded as the network's failure."""
    return Fault(words, State.INTERRUPTED, True, Retry.ELSEWHERE)


def _either(words: str) -> Fault:
    """A kernel of the network, or a neighbour or the device. The second time it is the network's."""
    return Fault(words, State.FAILED, True, Retry.ELSEWHERE)


FAULTS = (
    _exhausted("out of memory"),  # PyTorch's allocators, and CUDA itself
    _exhausted("can't allocate memory"),  # PyTorch's allocator of a CPU
    _exhausted("ALLOC_FAILED"),  # cuDNN and cuBLAS
    # What PyTorch's allocator says instead of "out of memory" where the driver tells nothing of other processes, as in a part of
    # a GPU that MIG has made: it asks only to report that memory ran out (pytorch issue 112377).
    _exhausted("NVML_SUCCESS"),
    # PyTorch tries one engine of cuDNN after the other and keeps to itself that each ran out of memory for its workspace.
    _exhausted("unable to find an engine to execute this computation", doubtful=True),
    _exhausted("Unable to find a valid cuDNN algorithm", doubtful=True),
    _own("device-side assert triggered", retire=True),  # an index out of its range; the context is gone
    _own("invalid configuration argument", retire=False),  # a grid that no GPU has
    _own("CUDNN_STATUS_BAD_PARAM", retire=False),
    _own("CUDNN_STATUS_NOT_SUPPORTED", retire=False),
    _own("CUBLAS_STATUS_INVALID_VALUE", retire=False),
    _own("CUBLAS_STATUS_NOT_SUPPORTED", retire=False),
    _machine("ECC error"),
    _machine("NVLink error"),
    _machine("hardware error"),
    _machine("hardware stack error"),
    _machine("busy or unavailable"),  # another process has the GPU for itself
    _machine("MPS client"),  # a process that shares the GPU, whose server or neighbour has failed
    _machine("MPS server"),
    _machine("no kernel image is available"),  # a chip that this build of PyTorch is not made for
    _machine("unsupported toolchain"),
    _machine("NVIDIA driver"),  # "Found no …", "The … on your system is too old"
    _machine("driver version is insufficient"),
    _machine("cuda driver combination"),
    _machine("on non supported HW"),
    _machine("No CUDA GPUs are available"),
    _machine("no CUDA-capable device is detected"),
    _machine("not compiled with CUDA"),
    _machine("CUDA error: initialization error"),
    _machine("CUDA unknown error"),
    _machine("CUDA error: system not yet initialized"),
    _either("CUDA error"),  # illegal address, launch failure, …
    _either("CUDNN_STATUS_"),  # EXECUTION_FAILED, INTERNAL_ERROR, …
    _either("CUBLAS_STATUS_"),
    _either("CUFFT_"),
    _either("CUDA driver error"),
)
"""The first whose words are in the text of an error of PyTorch holds."""

WRONG = Fault("", State.FAILED, False, Retry.NEVER)
"""Whatever else a model does."""


@dataclass(frozen=True)
class Verdict:
    """How a training ended, why in one line, and what follows from it."""

    state: State
    reason: str = ""
    retire: bool = False
    retry: Retry = Retry.NEVER
    doubtful: bool = False
    mend: bool = False
    """Whether it is not the network: the reason says what a user has to mend before it can be trained."""


def judge(problem: BaseException) -> Verdict:
    """What an error raised by a model stands for."""
    whole = str(problem).strip()
    lines = whole.splitlines()
    reason = f"{type(problem).__name__}: {lines[0][:300]}" if lines else type(problem).__name__
    if isinstance(problem, Diverged):
        return Verdict(State.DIVERGED, whole)
    if isinstance(problem, NasError):
        return Verdict(State.FAILED, whole, mend=True)
    fault = _fault(problem, whole)
    return Verdict(fault.state, reason, fault.retire, fault.retry, fault.doubtful)


def _fault(problem: BaseException, text: str) -> Fault:
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return FAULTS[0]
    if isinstance(problem, UNREACHABLE):
        return next((fault for fault in FAULTS if fault.words in text), WRONG)
    return WRONG
