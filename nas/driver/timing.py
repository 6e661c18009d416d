"""Latency as an objective: every network is timed by the driver, on one device, before it is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from blocks.base import Shape
from nas.architecture import Architecture
from nas.cost import Cost
from nas.errors import SearchError
from nas.latency import find_device, measure
from nas.store import Store, Timed
from nas.train import device_name

SECONDS = 0.5
THREADS = 1
"""Of a CPU: the trials have the other cores."""


@dataclass(frozen=True, slots=True)
class TimedCost(Cost):
    """Cost of one network, and how long it takes."""

    latency: float
    """Milliseconds for one image, median."""


def with_latency(cost: Cost, latency: float) -> TimedCost:
    """`cost` and the latency in milliseconds."""
    return TimedCost(**asdict(cost), latency=latency)


class Clock:
    """Times networks on one device; what the database knows of that device is not measured again."""

    def __init__(self, store: Store, input: Shape, classes: int, device: str | None) -> None:
        """`device`: cpu, cuda, or None for CUDA where there is one."""
        self._store, self._input, self._classes = store, input, classes
        self._device = find_device(device)
        self.name = device_name(self._device)
        self.threads = THREADS if self._device.type == "cpu" else 0

    def __call__(self, architecture: Architecture) -> Timed:
        """The network with one image, in evaluation mode."""
        for timed in self._store.latencies(architecture.hash):
            known = (timed.input, timed.classes, timed.device, timed.threads, timed.batch)
            if known == (self._input, self._classes, self.name, self.threads, 1):
                return timed
        return measure(
            architecture,
            self._input,
            self._classes,
            device=self._device,
            threads=self.threads or None,
            seconds=SECONDS,
        )

    def check_study(self, study: str) -> None:
        """Raises SearchError when earlier trials of the study were timed on another device: their latencies do not compare."""
        for device, threads in self._store.latency_devices(study):
            if (device, threads) != (self.name, self.threads):
                raise SearchError(
                    f"study '{study}': its latencies were measured on {device}, this is {self.name}; continue it there, "
                    "name another --latency-device, or another --study"
                )
