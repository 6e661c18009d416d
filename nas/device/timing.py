"""How latency is measured, as a user says it: on a device of this machine, in a runtime, or by a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.device.command import Command
from nas.device.runtimes import RUNTIMES
from nas.errors import NasError
from nas.network.runtime import EAGER

if TYPE_CHECKING:
    from nas.network.probe import Probe
    from nas.network.runtime import Runtime


@dataclass(frozen=True)
class Timing:
    """How latency is measured; checked when it is made, before anything starts."""

    device: str | None = None
    """cpu, cuda, or None for CUDA where there is one and the runtime runs on it."""
    runtime: str | None = None
    """A name of `RUNTIMES`; None is PyTorch as it trains."""
    command: Command | None = None
    """Measures in place of a runtime."""

    def __post_init__(self) -> None:
        """Raises NasError for what cannot be, and for a package that is missing."""
        if self.command is not None and self.runtime is not None:
            raise NasError(
                "latency_runtime and latency_command: one or the other; the command decides what runs networks"
            )
        found = self.found
        if self.device is not None and self.device not in found.devices:
            raise NasError(
                f"latency_runtime {found.name}: runs on {' and '.join(found.devices)} here, not on {self.device}"
            )
        found.check()

    @property
    def found(self) -> Runtime:
        """What runs networks where no command measures."""
        return RUNTIMES.find(self.runtime or EAGER.name)

    @property
    def place(self) -> str | None:
        """The device on which a runtime is timed; None: CUDA where there is one."""
        return self.device or ("cpu" if "cuda" not in self.found.devices else None)

    def remark(self, device: str) -> str:
        """Who measures, and what that means, on a device of this type, in one line."""
        if self.command is not None:
            return f"latency is what '{self.command.shown}' says, which this process runs for one network after another"
        if device == "cpu":
            return (
                f"latency is measured by this process with one thread ({self.found.name}) while trials train on the other cores: "
                "times are longer and scatter more than on an idle machine"
            )
        return f"latency is measured on a GPU on which no trial trains ({self.found.name})"

    def measured_by(self, device: str) -> str:
        """What a time was measured by, on a device of this type, in words."""
        if self.command is not None:
            return f"by '{self.command.shown}'"
        return f"by {self.found.name} on {device} of this machine" + (", with one thread" if device == "cpu" else "")

    def probe(self) -> Probe:
        """What measures."""
        from nas.device.command import CommandLatency
        from nas.network.latency import Latency

        return Latency(self.found) if self.command is None else CommandLatency(self.command)
