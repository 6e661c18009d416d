"""How long a network takes: the median of many forward passes after a warm-up, with quartiles. The first probe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.architecture.cost import FLOAT_BYTES, cost
from nas.errors import NasError
from nas.network.probe import Probe, Spread
from nas.network.runtime import EAGER, Run, Runtime
from nas.objectives import LATENCY
from nas.states import State
from nas.store import Reading
from nas.system.memory import check_memory
from nas.train import device_name, judge
from nas.train.device import UNREACHABLE
from nas.train.environment import use_threads

WARM_UP_SECONDS = 0.25
WARM_UP_RUNS = 5
LEAST_RUNS = 10
MOST_RUNS = 1_000
SPACE_TO_WORK = 1.5
"""Convolutions of a CPU reorder their input and unfold it."""
PROBE_SECONDS = 0.5
PROBE_THREADS = 1
"""Threads of a CPU that time networks: the trials of a search have the other cores."""


class Timed(Reading):
    """One network, timed on one device with batches of one size."""

    @property
    def batch(self) -> int:
        """Images in a batch."""
        return int(self.settings["batch"])

    @property
    def threads(self) -> int:
        """Threads on a CPU; 0 on other devices, and of a command."""
        return int(self.settings.get("threads", 0))

    @property
    def runtime(self) -> str:
        """Name of what ran it."""
        return str(self.settings.get("runtime", EAGER.name))

    @property
    def command(self) -> str | None:
        """The command that measured it; None where it was timed on this machine."""
        return str(self.settings["command"]) if "command" in self.settings else None

    @property
    def milliseconds(self) -> float:
        """The median of one forward pass of the batch."""
        return self.value

    @property
    def images_per_second(self) -> float:
        """Throughput at the median."""
        return self.batch * 1000 / self.milliseconds


class Latency(Probe):
    """Milliseconds for one image."""

    objective = LATENCY
    on_device = True

    def __init__(self, runtime: Runtime = EAGER) -> None:
        self.runtime = runtime

    def settings(self, device: torch.device) -> Mapping[str, Scalar]:
        """One image a batch; on a CPU one thread."""
        return timing_settings(self.runtime, 1, PROBE_THREADS if device.type == "cpu" else 0)

    def measure(self, architecture: Architecture, input: Shape, classes: int, device: torch.device) -> Spread:
        """The median of about half a second of forward passes."""
        threads = PROBE_THREADS if device.type == "cpu" else None
        timed = measure(
            architecture,
            input,
            classes,
            device=device,
            threads=threads,
            seconds=PROBE_SECONDS,
            runtime=self.runtime,
        )
        return Spread(timed.value, timed.low or timed.value, timed.high or timed.value, timed.runs, timed.version)


def timing_settings(runtime: Runtime, batch: int, threads: int) -> dict[str, Scalar]:
    """What a time hangs on beside the device."""
    # PyTorch as it trains is not named: times of earlier versions are of it, and compare.
    ran: dict[str, Scalar] = {} if runtime is EAGER else {"runtime": runtime.name}
    return {"batch": batch, "threads": threads, **ran}


def find_device(name: str | None) -> torch.device:
    """The device of that name; of None, CUDA where there is one. Raises NasError when this machine has none."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise NasError("device cuda: no CUDA device is available here")
    return torch.device(name)


def measure(
    architecture: Architecture,
    input: Shape,
    classes: int,
    *,
    batch: int = 1,
    device: torch.device | None = None,
    threads: int | None = None,
    seconds: float = 1.0,
    runtime: Runtime = EAGER,
) -> Timed:
    """Times forward passes of a batch for about `seconds`, in evaluation mode, with random weights.

    `threads` are those of a CPU, by default as many as PyTorch has now. Other work on the machine shows in the spread.
    Raises Infeasible when the shapes do not fit, NasError when the device runs out of memory or cannot be used, or has
    fewer cores than threads, or the runtime cannot run it.
    """
    device = device or torch.device("cpu")
    check_batch(architecture, input, classes, batch, device)
    before = torch.get_num_threads()
    use_threads(threads)
    try:
        with torch.random.fork_rng():
            model = compile_model(architecture, input, classes).eval().to(device)
            x_BCHW = torch.randn(batch, *input, device=device)
        used = torch.get_num_threads() if device.type == "cpu" else 0
        run = runtime.prepare(model, x_BCHW, used or None)
        with torch.inference_mode():
            times = _times(run, device.type, seconds)
    except torch.OutOfMemoryError:
        raise NasError(f"{device.type}: out of memory with batches of {batch}; name a smaller --batch") from None
    except UNREACHABLE as problem:
        verdict = judge(problem)
        if verdict.state != State.INTERRUPTED:
            raise
        raise NasError(f"device {device.type}: PyTorch {torch.__version__} cannot use it: {verdict.reason}") from None
    finally:
        torch.set_num_threads(before)
    low, median, high = (float(value) for value in np.percentile(times, (25, 50, 75)))
    settings = timing_settings(runtime, batch, used)
    return Timed(
        LATENCY.name,
        architecture.hash,
        tuple(input),
        classes,
        device_name(device),
        settings,
        median,
        low,
        high,
        len(times),
        runtime.version(),
    )


def check_batch(architecture: Architecture, input: Shape, classes: int, batch: int, device: torch.device) -> None:
    """Raises NasError when a batch of this size needs more memory than a CPU has free; a GPU says so itself.

    On a CPU nobody does: the machine grows slow, and then some other program is killed.
    """
    if device.type != "cpu":
        return
    price = cost(architecture, input, classes)
    image = price.activation_bytes + FLOAT_BYTES * math.prod(input)
    needed = round(SPACE_TO_WORK * batch * image) + FLOAT_BYTES * price.parameters
    check_memory(needed, f"batches of {batch:,} images of {'×'.join(map(str, input))}", "name a smaller --batch")


def _times(run: Run, device: str, seconds: float) -> list[float]:
    """Milliseconds of each run on a device of this type."""
    timed = _timed_on_cuda if device == "cuda" else _timed_on_cpu
    # First runs choose algorithms and allocate memory; a CPU takes a moment to reach its speed.
    _repeat(lambda: timed(run), WARM_UP_SECONDS, WARM_UP_RUNS)
    return _repeat(lambda: timed(run), seconds, LEAST_RUNS)


def _repeat(run: Callable[[], float], seconds: float, least: int) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or (time.perf_counter() < end and len(times) < MOST_RUNS):
        times.append(run())
    return times


def _timed_on_cpu(run: Run) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1000


def _timed_on_cuda(run: Run) -> float:
    # Each run alone, as one request that is waited for: the time to launch its kernels is part of it.
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))
