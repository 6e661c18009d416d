"""What runs a network when it is timed: PyTorch itself, or what it is shipped with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nas.plugins.packages import require

if TYPE_CHECKING:
    from torch import Tensor, nn

Run = Callable[[], Any]
"""One forward pass of the batch that a runtime was prepared for."""
Prepare = Callable[["nn.Module", "Tensor", int | None], Run]
"""Takes a model in evaluation mode on its device, a batch (B, C, H, W) there, and the threads of a CPU (None: as many as the
runtime likes)."""


@dataclass(frozen=True)
class Runtime:
    """A way to run networks; `nas.device.runtimes.RUNTIMES` has them by name."""

    name: str
    about: str
    """What it is, in a few words, for the help."""
    prepare: Prepare
    """Raises NasError where a package is missing, or it cannot run this network."""
    version: Callable[[], str]
    """Its name and version, such as ``onnxruntime 1.22.0``."""
    devices: tuple[str, ...] = ("cpu",)
    """The types of the devices that it runs on here."""
    packages: tuple[str, ...] = ()
    """What it needs beside PyTorch …"""
    extra: str = ""
    """… and the extra of nas that has them."""

    def check(self) -> None:
        """Raises NasError that names the remedy where a package is missing."""
        require(f"latency runtime {self.name}", self.packages, self.extra)


def torch_version() -> str:
    """PyTorch's version, as every reading of an earlier version of nas has it."""
    import torch

    return str(torch.__version__)


def _eager(model: nn.Module, x_BCHW: Tensor, threads: int | None) -> Run:
    return lambda: model(x_BCHW)


EAGER: Final = Runtime("pytorch", "PyTorch as it trains", _eager, torch_version, ("cpu", "cuda"))
"""What is timed where nobody says otherwise."""
