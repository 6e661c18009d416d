"""A device after something went wrong, or before it is used: every call here may meet one that answers no more.

After most errors of CUDA every further call of the process raises the same error, also one that only frees memory or asks for
a name. What is said about a training must not get lost in it.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
import torch.nn.functional as F

UNREACHABLE = (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError)
"""What PyTorch raises of a device that cannot be opened, or whose context is lost; AssertionError where it has no CUDA."""


def release_memory() -> None:
    """Gives back what a broken model held, so that the next one starts with the whole device. Never raises."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        with suppress(*UNREACHABLE):  # such a process is replaced: `answers` is asked
            torch.cuda.empty_cache()


def answers(device: torch.device) -> bool:
    """Whether the device still computes for this process."""
    if device.type != "cuda":
        return True
    try:
        return float(torch.zeros(1, device=device).add_(1).item()) == 1.0
    except UNREACHABLE:
        return False


def forget_peak(device: torch.device) -> None:
    """Makes `peak_memory` count from now on. Raises what PyTorch raises of a device that cannot be used."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> int | None:
    """Most bytes of the GPU that PyTorch has held since `forget_peak`; None on a CPU, or where the device does not answer."""
    if device.type != "cuda":
        return None
    with suppress(*UNREACHABLE):
        return int(torch.cuda.max_memory_reserved(device))
    return None


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """cuDNN takes the same algorithms each time, and never times them to choose; afterwards it does as it did before."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def place(device: torch.device) -> str:
    """The place of a device, such as ``GPU 3 of worker7``: by the name that CUDA_VISIBLE_DEVICES has for it, if any."""
    if device.type != "cuda":
        return f"{device.type} of {socket.gethostname()}"
    index = device.index or 0
    shown = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return f"GPU {shown[index] if index < len(shown) else index} of {socket.gethostname()}"


def why_unusable(device: torch.device) -> str | None:
    """Why no network can be trained on the device, in one line such as PyTorch's about a driver; None when one can.

    Trains one convolution: that opens the device, launches kernels of PyTorch and cuDNN, and waits for them.
    """
    try:
        weight = torch.ones(8, 3, 3, 3, device=device, requires_grad=True)
        maps = F.conv2d(torch.ones(2, 3, 16, 16, device=device), weight, padding=1)
        maps.square().mean().backward()  # type: ignore[no-untyped-call]
        if weight.grad is None or not bool(weight.grad.isfinite().all()):
            return "a convolution of ones has no finite gradient"
    except UNREACHABLE as problem:
        return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return None
