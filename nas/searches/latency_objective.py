"""Latency as an objective: every network is timed on one device, before it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import torch

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost
from nas.config.block_files import OwnBlocks
from nas.errors import SearchError
from nas.network.latency import find_device, measure
from nas.store import Store, Timed
from nas.train import device_name

SECONDS = 0.5
THREADS = 1
"""Threads of a CPU that time networks: the trials have the other cores."""

APART = {"num_cpus": 0, "num_gpus": 1}
"""What Ray gives a process that times networks on a GPU."""


@dataclass(frozen=True, slots=True)
class TimedCost(Cost):
    """Cost of one network, and how long it takes."""

    latency: float
    """Milliseconds for one image, median."""


def with_latency(cost: Cost, latency: float) -> TimedCost:
    """`cost` and the latency in milliseconds."""
    return TimedCost(**asdict(cost), latency=latency)


class Stopwatch:
    """Times networks on one device, in this process or in one that Ray gave a GPU of its own."""

    def __init__(self, device: str, blocks: OwnBlocks | None = None) -> None:
        """`blocks`: what a process of its own lacks."""
        if blocks is not None:
            blocks.load()
        self._device = torch.device(device)
        self._threads = THREADS if self._device.type == "cpu" else None

    def name(self) -> str:
        """Name of the device."""
        return device_name(self._device)

    def time(self, architecture: str, input: Shape, classes: int) -> Timed:
        """The network of this JSON with one image, in evaluation mode."""
        network = Architecture.from_json(architecture)
        return measure(network, input, classes, device=self._device, threads=self._threads, seconds=SECONDS)


class Clock:
    """Times networks on one device; what the database knows of that device is not measured again.

    Trials that train on the same GPU would be timed with the network. So Ray keeps one GPU for the clock alone.
    """

    def __init__(
        self, store: Store, input: Shape, classes: int, device: str | None, blocks: OwnBlocks | None = None
    ) -> None:
        """`device`: cpu, cuda, or None for CUDA where there is one; `blocks`: those of a user's own."""
        self._blocks = blocks
        self._store, self._input, self._classes = store, input, classes
        self._device = find_device(device)
        self.threads = THREADS if self._device.type == "cpu" else 0
        self._stopwatch = Stopwatch(str(self._device))
        self._apart: Any = None
        """The stopwatch in a process of its own, where there is one."""

    @property
    def on_gpu(self) -> bool:
        """Whether networks are timed on a GPU."""
        return self._device.type == "cuda"

    @cached_property
    def name(self) -> str:
        """Name of the device, known once it is `ready`."""
        return self._stopwatch.name() if self._apart is None else str(self._asked(self._apart.name.remote()))

    @contextmanager
    def ready(self, study: str, *, apart: bool) -> Iterator[None]:
        """Lets it time networks in the block; `apart`: in a process with a GPU for itself. Raises as `check_study` does."""
        import ray

        if apart:
            self._apart = ray.remote(**APART)(Stopwatch).remote(str(self._device), self._blocks)
        try:
            self.check_study(study)
            yield
        finally:
            if self._apart is not None:
                ray.kill(self._apart)
                self._apart = None

    def __call__(self, architecture: Architecture) -> Timed:
        """The network with one image, in evaluation mode."""
        for timed in self._store.latencies(architecture.hash):
            known = (timed.input, timed.classes, timed.device, timed.threads, timed.batch)
            if known == (self._input, self._classes, self.name, self.threads, 1):
                return timed
        given = architecture.to_json(), self._input, self._classes
        if self._apart is None:
            return self._stopwatch.time(*given)
        timed = self._asked(self._apart.time.remote(*given))
        assert isinstance(timed, Timed)
        return timed

    def check_study(self, study: str) -> None:
        """Raises SearchError when earlier trials of the study were timed on another device: their latencies do not compare."""
        for device, threads in self._store.latency_devices(study):
            if (device, threads) != (self.name, self.threads):
                raise SearchError(
                    f"study '{study}': its latencies were measured on {device}, this is {self.name}; continue it there, "
                    "name another --latency-device, or another --study"
                )

    def _asked(self, answer: Any) -> Any:
        """What the process apart answers. Raises what it raises; SearchError when it is lost."""
        import ray

        try:
            return ray.get(answer)
        except ray.exceptions.RayTaskError as problem:
            raise problem.cause from None
        except ray.exceptions.RayError as problem:
            raise SearchError(
                f"the process that times networks on a GPU was lost: {str(problem).splitlines()[0]}; "
                "run the same command again to resume"
            ) from None
