"""Measures the networks that a search proposes, before they are trained: what its probes say of each, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.config.block_files import OwnBlocks
from nas.errors import SearchError, Unmeasured
from nas.network.latency import find_device
from nas.network.probe import Probe, expected, take
from nas.store import Reading, Store
from nas.text.sanitize import one_line
from nas.train import device_name

APART = {"num_cpus": 0, "num_gpus": 1}
"""What Ray gives a process that measures networks on a GPU."""
MOST_FAILED = 3
"""Networks one after another that could not be measured: the device is gone, and a search that leaves out all ends."""


class Bench:
    """Measures networks on one device, in this process or in one that Ray gave a GPU of its own."""

    def __init__(self, probes: Sequence[Probe], device: str, blocks: OwnBlocks | None = None) -> None:
        """`blocks`: those of a user's own, which a process that Ray made lacks."""
        if blocks is not None:
            blocks.load()
        self._probes = {probe.objective.name: probe for probe in probes}
        self._device = torch.device(device)

    def name(self) -> str:
        """The name of the device."""
        return device_name(self._device)

    def take(self, probe: str, architecture: str, input: Shape, classes: int) -> Reading:
        """What this probe says of the network of this JSON."""
        return take(self._probes[probe], Architecture.from_json(architecture), input, classes, self._device)


class Measurer:
    """Measures networks; what the database knows of the same device and settings is not measured again.

    Trials that train on the same GPU would be measured with the network. So Ray keeps one GPU for what hangs on the device.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        store: Store,
        input: Shape,
        classes: int,
        device: str | None,
        blocks: OwnBlocks | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`device`: cpu, cuda, or None for CUDA where there is one; `blocks`: those of a user's own; `note` is told of networks
        that could not be measured.
        """
        self._blocks = blocks
        self._probes, self._store, self._input, self._classes = tuple(probes), store, input, classes
        self._device = find_device(device)
        self._here = Bench(probes, str(self._device))
        self._apart: Any = None
        """The bench in a process of its own, where there is one."""
        self._known: dict[tuple[str, str], Reading] = {}
        self._note, self._failed, self._measured = note, 0, False

    @property
    def on_gpu(self) -> bool:
        """Whether networks are measured on a GPU."""
        return self._device.type == "cuda" and any(probe.on_device for probe in self._probes)

    @cached_property
    def name(self) -> str:
        """The name of the device, known once it is `ready`."""
        return self._here.name() if self._apart is None else str(self._asked(self._apart.name.remote()))

    @contextmanager
    def ready(self, study: str, *, apart: bool) -> Iterator[None]:
        """With Ray, in the block. `apart`: in a process with a GPU for itself. Raises SearchError as `check_study` does."""
        import ray

        if apart:
            probes = [probe for probe in self._probes if probe.on_device]
            self._apart = ray.remote(**APART)(Bench).remote(probes, str(self._device), self._blocks)
        try:
            self.check_study(study)
            yield
        finally:
            if self._apart is not None:
                ray.kill(self._apart)
                self._apart = None

    def __call__(self, architecture: Architecture) -> tuple[Reading, ...]:
        """What every probe says of the network.

        Raises Unmeasured where that of one network fails, which is noted; SearchError where it is the first one, or that of
        several networks one after another failed: then it is not the network.
        """
        try:
            readings = tuple(self._reading(probe, architecture) for probe in self._probes)
        except Unmeasured as problem:
            self._failed += 1
            if not self._measured or self._failed >= MOST_FAILED:
                raise SearchError(f"{problem}; run the same command again to resume") from None
            self._note(f"left out: {problem}")
            raise
        self._failed, self._measured = 0, True
        return readings

    def value(self, name: str, architecture: Architecture) -> float:
        """What the probe of this objective says of the network."""
        probe = next(probe for probe in self._probes if probe.objective.name == name)
        return self._reading(probe, architecture).value

    def _reading(self, probe: Probe, architecture: Architecture) -> Reading:
        key = probe.objective.name, architecture.hash
        if key not in self._known:
            self._known[key] = self._stored(probe, architecture) or self._taken(probe, architecture)
        return self._known[key]

    def _stored(self, probe: Probe, architecture: Architecture) -> Reading | None:
        wanted = self._expected(probe, architecture)
        for reading in self._store.readings(architecture.hash, wanted.name):
            if reading.is_like(wanted):
                return reading
        return None

    def _expected(self, probe: Probe, architecture: Architecture) -> Reading:
        name = self.name if probe.on_device else ""
        return expected(probe, architecture, self._input, self._classes, self._device, name)

    def _taken(self, probe: Probe, architecture: Architecture) -> Reading:
        given = probe.objective.name, architecture.to_json(), self._input, self._classes
        if self._apart is None or not probe.on_device:
            return self._here.take(*given)
        reading = self._asked(self._apart.take.remote(*given))
        assert isinstance(reading, Reading)
        return reading

    def check_study(self, study: str) -> None:
        """Raises SearchError when earlier trials of the study were measured elsewhere or otherwise: that does not compare."""
        for probe in self._probes:
            name, where = probe.objective.name, self.name if probe.on_device else ""
            settings = dict(probe.settings(self._device if probe.on_device else torch.device("cpu")))
            for reading in self._store.readings_of_study(study, name):
                if reading.device and where and reading.device != where:
                    raise SearchError(
                        f"study '{study}': {name} was measured on {reading.device}, this is {where}; continue it "
                        "there, name another --probe-device, or another --study"
                    )
                if (reading.device, dict(reading.settings)) != (where, settings):
                    theirs, ours = (_worded(*way) for way in ((reading.device, reading.settings), (where, settings)))
                    raise SearchError(
                        f"study '{study}': {name} was measured with {theirs}, and now would be with {ours}; "
                        "use the same options to continue it, or name another --study"
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
                f"the process that measures networks on a GPU was lost: {str(problem).splitlines()[0]}; "
                "run the same command again to resume"
            ) from None


def _worded(device: str, settings: Mapping[str, Scalar]) -> str:
    """``cpu: Intel Xeon, batch 1, threads 1``."""
    parts = [f"{name} '{value}'" if isinstance(value, str) else f"{name} {value}" for name, value in settings.items()]
    return one_line(", ".join([*([device] if device else []), *parts]) or "no settings")
