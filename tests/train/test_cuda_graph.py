"""What the recorder of CUDA graphs asks of PyTorch, in what order; the device is invented."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.execution.time_limit import TimedOut
from nas.train import cuda_graph
from nas.train.cuda_graph import CudaRecorder

CUDA = torch.device("cuda", 0)


class Graph:
    """A graph that says what is done to it."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def replay(self) -> None:
        self.said.append("replay")

    def reset(self) -> None:
        self.said.append("reset")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of a device; captures name their pool and the way in which errors are looked for."""
    said: list[str] = []
    pools = iter("ABC")
    state = ["undisturbed"]

    @contextmanager
    def graph(recorded: Graph, *, pool: str, stream: object, capture_error_mode: str) -> Iterator[None]:
        said.append(f"capture in {pool}, {capture_error_mode}")
        state[0] = "recorded"
        try:
            yield
        except BaseException:
            raise RuntimeError("operation failed due to a previous error during capture") from None
        state[0] = "undisturbed"

    def restored(value: str) -> None:
        state[0] = value
        said.append(f"generator {value}")

    @contextmanager
    def stream(of: object) -> Iterator[None]:
        yield

    waiting = SimpleNamespace(wait_stream=lambda other: said.append("wait"))
    generator = SimpleNamespace(clone_state=lambda: state[0], graphsafe_set_state=restored)
    invented: dict[str, Any] = {
        "Stream": lambda device: waiting,
        "current_stream": lambda device: waiting,
        "set_stream": lambda one: said.append("back to the stream"),
        "stream": stream,
        "CUDAGraph": lambda: Graph(said),
        "graph": graph,
        "graph_pool_handle": lambda: next(pools),
        "default_generators": [generator],
        "get_sync_debug_mode": lambda: 0,
        "set_sync_debug_mode": lambda mode: warnings.warn(
            "Synchronization debug mode is a prototype feature", stacklevel=1
        ),
        "empty_cache": lambda: said.append("empty cache"),
    }
    for name, value in invented.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(cuda_graph, "_shared", {})
    return said


def test_graphs_that_live_together_share_a_pool_that_goes_with_the_last_one(said: list[str]) -> None:
    first, second = CudaRecorder(CUDA), CudaRecorder(CUDA)
    replay = first.record(lambda: said.append("action"))
    replay()
    second.record(lambda: None)
    first.close()
    second.close()
    second.close()
    first.record(lambda: None)
    assert said == [
        "capture in A, thread_local",
        "action",
        "replay",
        "capture in A, thread_local",
        "reset",
        "reset",
        "empty cache",
        "capture in B, thread_local",
    ]


def test_a_graph_that_nobody_closed_keeps_no_pool(said: list[str]) -> None:
    CudaRecorder(CUDA).record(lambda: None)
    CudaRecorder(CUDA).record(lambda: None)
    assert said == ["capture in A, thread_local", "capture in B, thread_local"]


@pytest.mark.parametrize("problem", [RuntimeError("CUDA error: operation not permitted"), TimedOut("not permitted")])
def test_what_cannot_be_recorded_leaves_stream_and_generator_as_they_were(
    said: list[str], problem: BaseException
) -> None:
    def fails() -> None:
        raise problem

    recorder = CudaRecorder(CUDA)
    with pytest.raises(type(problem), match="not permitted"):
        recorder.record(fails)
    recorder.close()
    assert said == ["capture in A, thread_local", "back to the stream", "reset", "generator undisturbed"]


@pytest.mark.parametrize("waits", [True, False])
def test_a_rehearsal_says_whether_the_cpu_waits_and_passes_other_warnings_on(said: list[str], waits: bool) -> None:
    def action() -> int:
        warnings.warn("of a block", stacklevel=1)
        if waits:
            warnings.warn("called a synchronizing CUDA operation (Triggered internally at …)", stacklevel=1)
        return 3

    with pytest.warns(UserWarning, match="of a block") as caught:
        found = CudaRecorder(CUDA).rehearse(action)
    assert found == (3, "the step makes the CPU wait for the GPU" if waits else None)
    assert [str(warning.message) for warning in caught] == ["of a block"]
    assert said == ["wait", "wait"]
