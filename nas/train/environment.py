"""What a result was measured on: device, versions, platform, commit."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

from nas.config.shipped_files import commit
from nas.errors import NasError
from nas.train.device import UNREACHABLE
from nas.version import __version__


def device_name(device: torch.device) -> str:
    """What a result was measured on, such as ``cuda: NVIDIA H100`` or ``cpu: Intel Xeon``. Never raises."""
    if device.type != "cuda":
        return f"{device.type}: {cpu_name()}"
    try:
        return _gpu_name(device)
    except UNREACHABLE:
        return "cuda: does not answer"


@cache  # it is asked for after an error too, when the device may not answer any more
def _gpu_name(device: torch.device) -> str:
    return f"cuda: {torch.cuda.get_device_name(device)}"


def cpu_name() -> str:
    """The processor by the name that its maker gave it, such as ``AMD EPYC 9R14``."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def use_threads(threads: int | None) -> None:
    """Lets PyTorch use so many on a CPU; None leaves it as it is.

    Raises NasError for more than this machine has cores: they would wait for one another, and what is timed says nothing.
    """
    cores = os.cpu_count()
    if threads is not None and cores is not None and threads > cores:
        raise NasError(f"threads: must be at most {cores}, the cores of this machine, not {threads}")
    if threads is not None:
        torch.set_num_threads(threads)


def environment() -> dict[str, Any]:
    """Versions, platform, threads and commit, for the study database."""
    return {
        "nas": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda if torch.cuda.is_available() else None,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "commit": commit(),
    }
