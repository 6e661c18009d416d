"""The GPUs of a Ray: waited for while their machine starts, and tried before the first trial.

Ray counts the GPUs that a driver shows. Whether PyTorch can use them is another question: its build may need a newer driver, or
may not be made for so old a chip. Then every trial would fail, one after the other, and none of them for its network.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nas.errors import SearchError
from nas.execution.gpu_sharing import Gpu

LOOK_SECONDS = 120.0  # for a process that imports PyTorch on every machine with a GPU
WAIT_SECONDS = 900.0  # for a machine that is started and fetches its image
TELL_SECONDS = 30.0
POLL_SECONDS = 1.0

Note = Callable[[str], None]


def wait_for_machines(cpus: float, gpus: float, note: Note) -> dict[str, float]:
    """What a cluster has, once it has any CPU and so many GPUs: its machines may still be starting.

    `cpus` and `gpus` are what one trial wants. Raises SearchError when no GPU comes within `WAIT_SECONDS`.
    """
    import ray

    begun, told = time.monotonic(), 0.0
    while True:
        available: dict[str, float] = ray.cluster_resources()
        missing = _missing(available, cpus, gpus)
        waited = time.monotonic() - begun
        if missing == "GPU" and waited > WAIT_SECONDS:
            raise SearchError(
                f"no GPU has joined Ray within {WAIT_SECONDS:.0f} s; to train on CPUs use --gpus-per-trial 0"
            )
        if missing is None or waited > WAIT_SECONDS:
            return available
        if told == 0.0 or waited - told >= TELL_SECONDS:
            told = max(waited, 1e-9)
            note(f"waiting for a machine with a {missing} to join Ray ({waited:.0f} of at most {WAIT_SECONDS:.0f} s)")
        time.sleep(POLL_SECONDS)


def _missing(available: dict[str, float], cpus: float, gpus: float) -> str | None:
    """What a starting machine would bring. Too few CPUs where there are some are a mistake, and nothing to wait for."""
    if available.get("GPU", 0.0) < gpus:
        return "GPU"
    return "CPU" if available.get("CPU", 0.0) < min(cpus, 1.0) else None


def find_gpu(note: Note = lambda text: None) -> Gpu:
    """What is known of the GPU with the least free memory, of one of each machine that has any.

    Each has trained a convolution. Raises SearchError with the words of PyTorch where one cannot.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU")]
    asked = {
        # A hair of a GPU: Ray shows the process one device, however busy that is.
        ray.remote(num_cpus=0, num_gpus=0.001, max_calls=1)(look_at_gpu)
        .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
        .remote(): str(node.get("NodeManagerHostname") or node.get("NodeManagerAddress"))
        for node in nodes
    }
    answered = _answered(list(asked), note)
    for one in asked.keys() - answered:
        ray.cancel(one)
    found = [_found(one, asked[one]) for one in answered]
    if not found:
        raise SearchError(
            f"GPU of {', '.join(asked.values()) or 'Ray'}: no process could be started on it within {LOOK_SECONDS:.0f} s, so "
            "another one has it; wait for that one, or train on CPUs with --gpus-per-trial 0"
        )
    return Gpu(min(gpu.free_bytes for gpu in found))


def _answered(asked: list[Any], note: Note) -> list[Any]:
    """Those that answer in time. A machine whose GPUs are all taken by others is asked for nothing more."""
    import ray

    begun = time.monotonic()
    answered: list[Any] = []
    while asked:
        left = begun + LOOK_SECONDS - time.monotonic()
        if left <= 0:
            break
        more, asked = ray.wait(asked, num_returns=len(asked), timeout=min(left, TELL_SECONDS))
        answered += more
        if asked:
            note(
                f"waiting for an answer of {len(asked)} GPUs ({time.monotonic() - begun:.0f} s of at most {LOOK_SECONDS:.0f})"
            )
    return answered


def _found(answer: Any, host: str) -> Gpu:
    import ray

    try:
        found: Gpu | str = ray.get(answer)
    except ray.exceptions.RayError as problem:
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        found = f"the process that tried it was lost: {lines[-1].strip()}"
    if isinstance(found, Gpu):
        return found
    raise SearchError(f"GPU of {host}: {found}; mend that, or train on CPUs with --gpus-per-trial 0")


def look_at_gpu() -> Gpu | str:
    """The GPU that this process sees, or why nothing can be trained on it."""
    import torch

    from nas.train import why_unusable

    problem = why_unusable(torch.device("cuda"))
    if problem is not None:
        return f"PyTorch {torch.__version__} cannot use it: {problem}"
    free, _ = torch.cuda.mem_get_info()
    return Gpu(free)
