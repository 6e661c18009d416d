"""CUDA graphs as the recorder of `nas.train.captured`, and when a training has one.

NOTE What is here has not run on a GPU yet: its tests are marked `gpu`, and `benchmarks/first_gpu.py` runs and times them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakSet

import torch

from nas.config.cuda_graph_switch import SWITCH, cuda_graph_switch
from nas.train.captured import Captured, Recorder
from nas.train.device import UNREACHABLE
from nas.train.launches import Speed, Work
from nas.train.step import Step

T = TypeVar("T")

SYNCHRONIZES = "called a synchronizing CUDA operation"
"""What PyTorch warns with of a step that makes the CPU wait: it cannot be recorded."""
PROTOTYPE = "Synchronization debug mode is a prototype feature"
"""What it says before."""


def captured(step: Step, batch_size: int, images: int) -> Captured:
    """How the steps of a training on so many images are taken. Raises NasError where the environment variable is wrong."""
    switch = cuda_graph_switch()
    if step.device.type != "cuda":
        return Captured(step, batch_size, None, "steps are recorded on CUDA alone")
    reason = _impossible(step, batch_size, images)
    if reason is None and switch == "0":
        reason = f"{SWITCH} is 0"
    if reason is None and switch == "auto":
        reason = _without_gain(step, batch_size)
    if reason is not None:
        return Captured(step, batch_size, None, reason)
    return Captured(step, batch_size, CudaRecorder(step.device))


def _impossible(step: Step, batch_size: int, images: int) -> str | None:
    """Why no step of this training can be recorded."""
    if step.scaler.is_enabled():
        return "float16 scales the loss from step to step"
    if images < batch_size:
        return "no batch is full"
    if not all(group.get("fused") or group.get("capturable") for group in step.optimizer.param_groups):
        return "the optimizer takes no learning rate from the GPU: make it with fused=True or capturable=True"
    return None


def _without_gain(step: Step, batch_size: int) -> str | None:
    """Why there would be nothing in it."""
    work = Work.of_model(step.model)
    if work is None:
        return "what the network computes is not known"
    half = step.amp_dtype is not None
    if work.is_bound_by_launching(batch_size, Speed.of(step.device), half=half):
        return None
    return "its kernels take longer to run than to launch"


@dataclass
class _Shared:
    """What all graphs of a process on one device have together."""

    stream: torch.cuda.Stream
    """cuBLAS keeps a workspace for each stream that it has worked on."""
    pool: Any = None
    graphs: WeakSet[torch.cuda.CUDAGraph] = field(default_factory=WeakSet)
    """That are alive: with the last one the memory of the pool is given back, and the next one has a new pool."""


_shared: dict[torch.device, _Shared] = {}


class CudaRecorder(Recorder):
    """Records a CUDA graph.

    Those of a process share one pool of memory, because none is replayed while another one is, and nothing that lasts lies there.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device if device.index is not None else torch.device("cuda", torch.cuda.current_device())
        self._graph: torch.cuda.CUDAGraph | None = None

    def rehearse(self, action: Callable[[], T]) -> tuple[T, str | None]:
        """On the stream of the recording; PyTorch says where the CPU waits."""
        stream, current = self._ours().stream, torch.cuda.current_stream(self.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream), _waits() as seen:
            result = action()
        current.wait_stream(stream)
        return result, "the step makes the CPU wait for the GPU" if seen else None

    def record(self, action: Callable[[], object]) -> Callable[[], object]:
        """Also where another thread uses the GPU meanwhile, as one does that sends images."""
        self.close()
        ours, graph = self._ours(), torch.cuda.CUDAGraph()
        if not ours.graphs:
            ours.pool = torch.cuda.graph_pool_handle()
        generator = torch.cuda.default_generators[self.device.index]
        undisturbed, current = generator.clone_state(), torch.cuda.current_stream(self.device)
        cause: BaseException | None = None
        try:
            with torch.cuda.graph(graph, pool=ours.pool, stream=ours.stream, capture_error_mode="thread_local"):
                try:
                    action()
                except BaseException as problem:
                    cause = problem  # the end of the capture fails then too, with words that say nothing of it
                    raise
        except BaseException as problem:
            torch.cuda.set_stream(current)  # PyTorch stays on the other one where the end of a capture fails
            with suppress(*UNREACHABLE):
                graph.reset()
            if not ours.graphs:  # graphs that live draw from the one that may believe for ever that it is recorded
                generator.graphsafe_set_state(undisturbed)
            _shared.pop(self.device, None)
            if cause is not None and isinstance(problem, Exception):
                raise cause from None
            raise
        self._graph = graph
        ours.graphs.add(graph)
        return graph.replay

    def close(self) -> None:
        """The last one gives the memory back."""
        if self._graph is None:
            return
        with suppress(*UNREACHABLE):
            self._graph.reset()
        ours = self._ours()
        ours.graphs.discard(self._graph)
        self._graph = None
        if not ours.graphs:
            with suppress(*UNREACHABLE):
                torch.cuda.empty_cache()

    def _ours(self) -> _Shared:
        if self.device not in _shared:
            _shared[self.device] = _Shared(torch.cuda.Stream(self.device))  # type: ignore[no-untyped-call]
        return _shared[self.device]


@contextmanager
def _waits() -> Iterator[list[str]]:
    """The texts of PyTorch's warnings that the CPU waits for a GPU; all other warnings are given as always."""
    found: list[str] = []
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode(before)
    for warning in caught:
        text = str(warning.message)
        if SYNCHRONIZES in text:
            found.append(text)
        elif PROTOTYPE not in text:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
