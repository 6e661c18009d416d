"""What PyTorch, CUDA, cuDNN and cuBLAS say when something goes wrong, and what follows from it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nas.config.recipe import Recipe
from nas.data.task_type import CLASSIFICATION
from nas.train import Diverged, answers, device_name, judge, peak_memory, release_memory, why_unusable
from nas.train.device import forget_peak
from nas.train.precision import amp_dtype
from nas.train.trainer import Trainer

HINT = "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect."
CUDA = torch.device("cuda")
MEMORY = ("out_of_memory", True, "alone")
OWN_SPENT = ("failed", True, "never")
OWN = ("failed", False, "never")
MACHINE = ("interrupted", True, "elsewhere")
EITHER = ("failed", True, "elsewhere")

ERRORS: list[tuple[Exception, tuple[str, bool, str]]] = [
    (MemoryError(), MEMORY),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10"), MEMORY),
    (RuntimeError("CUDA error: out of memory" + HINT), MEMORY),
    (RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried …"), MEMORY),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), MEMORY),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), MEMORY),
    (RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "/pytorch/c10/cuda/CUDACachingAllocator.cpp":1154, …'), MEMORY),
    (RuntimeError("GET was unable to find an engine to execute this computation"), MEMORY),
    (RuntimeError("FIND was unable to find an engine to execute this computation after trying 6 plans."), MEMORY),
    (RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"), MEMORY),
    (torch.AcceleratorError("CUDA error: device-side assert triggered" + HINT), OWN_SPENT),
    (torch.AcceleratorError("CUDA error: invalid configuration argument" + HINT), OWN),
    (RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"), OWN),
    (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous …"), OWN),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), OWN),
    (ValueError("a block that talks of a CUDA error"), OWN),
    (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered" + HINT), MACHINE),
    (torch.AcceleratorError("CUDA error: uncorrectable NVLink error detected during the execution" + HINT), MACHINE),
    (torch.AcceleratorError("CUDA error: CUDA-capable device(s) is/are busy or unavailable" + HINT), MACHINE),
    (torch.AcceleratorError("CUDA error: the MPS client has been terminated by the server" + HINT), MACHINE),
    (torch.AcceleratorError("CUDA error: MPS client failed to connect to the MPS control daemon or the MPS server"), MACHINE),
    (torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device" + HINT), MACHINE),
    (RuntimeError("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"), MACHINE),
    (RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"), MACHINE),
    (RuntimeError("CUDA driver version is insufficient for CUDA runtime version"), MACHINE),
    (RuntimeError("No CUDA GPUs are available"), MACHINE),
    (AssertionError("Torch not compiled with CUDA enabled"), MACHINE),
    (torch.cuda.DeferredCudaCallError("CUDA call failed lazily: CUDA error: no CUDA-capable device is detected"), MACHINE),
    (RuntimeError("CUDA unknown error - this may be due to an incorrectly set up environment"), MACHINE),
    (torch.AcceleratorError("CUDA error: an illegal memory access was encountered" + HINT), EITHER),
    (torch.AcceleratorError("CUDA error: unspecified launch failure" + HINT), EITHER),
    (torch.AcceleratorError("CUDA error: misaligned address" + HINT), EITHER),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), EITHER),
    (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), EITHER),
    (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k)`"), EITHER),
    (RuntimeError("cuFFT error: CUFFT_EXEC_FAILED"), EITHER),
    (Diverged("training loss is nan at iteration 1 of epoch 1"), ("diverged", False, "never")),
]  # fmt: skip


@pytest.mark.parametrize(("problem", "follows"), ERRORS, ids=lambda value: str(value)[:60])
def test_what_follows_from_an_error(problem: Exception, follows: tuple[str, bool, str]) -> None:
    verdict = judge(problem)
    assert (verdict.state, verdict.retire, verdict.retry) == follows
    assert "\n" not in verdict.reason
    assert str(problem).split("\n")[0][:40] in verdict.reason


def test_the_documented_table_is_what_follows(repository: Path) -> None:
    section = (repository / "docs" / "cluster.md").read_text().partition("### What follows from a failure\n")[2]
    rows = [line for line in section.partition("\n#")[0].splitlines() if line.startswith("| `")]
    assert len(rows) == 5
    for row in rows:
        errors, state, process, again = row.strip("| ").split(" | ")
        for words in re.findall("`(.+?)`", errors):
            verdict = judge(RuntimeError(f"{words} and more"))
            assert verdict.state == state.split()[0], words
            assert verdict.retire == (process == "ends"), words
            assert verdict.retry == ("never" if again == "no" else again.split()[0]), words


def _dead(*_: Any, **__: Any) -> Any:
    raise torch.AcceleratorError("CUDA error: unspecified launch failure" + HINT)


def test_a_device_whose_context_is_lost_is_told_and_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call raises the same error again, also one that frees memory or asks for a name."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for name in ("empty_cache", "max_memory_reserved", "get_device_name"):
        monkeypatch.setattr(torch.cuda, name, _dead)
    monkeypatch.setattr(torch, "zeros", _dead)
    monkeypatch.setattr(torch, "ones", _dead)
    release_memory()
    assert peak_memory(CUDA) is None
    assert device_name(torch.device("cuda", 7)) == "cuda: does not answer"
    assert not answers(CUDA)
    assert why_unusable(CUDA) == "CUDA error: unspecified launch failure"


def test_a_cpu_always_answers() -> None:
    assert answers(torch.device("cpu"))
    assert why_unusable(torch.device("cpu")) is None
    assert peak_memory(torch.device("cpu")) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_told_in_the_words_of_pytorch() -> None:
    problem = why_unusable(CUDA)
    assert problem is not None
    assert any(words in problem for words in ("NVIDIA driver", "not compiled with CUDA", "CUDA"))
    assert "\n" not in problem


@pytest.mark.parametrize(("bf16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_without_bfloat16_trains_in_float16(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, expected: torch.dtype
) -> None:
    """With the scaler, which `Trainer` uses for float16."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert amp_dtype(Recipe(), CUDA, torch.nn.Identity(), (3, 8, 8)) == expected
    assert amp_dtype(Recipe(precision="fp32"), CUDA, torch.nn.Identity(), (3, 8, 8)) is None


def test_a_training_forgets_the_peak_of_another_before_its_model_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Model(torch.nn.Module):
        def to(self, *_: Any, **__: Any) -> Any:
            order.append("model")
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "init", lambda: order.append("opened"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: order.append("forgotten"))
    dataset: Any = SimpleNamespace(input=(3, 8, 8), train=range(100), type=CLASSIFICATION)
    with pytest.raises(torch.OutOfMemoryError):
        Trainer(Model(), dataset, Recipe(precision="fp32"), "cuda")
    assert order == ["opened", "forgotten", "model"]
    forget_peak(torch.device("cpu"))
    assert len(order) == 3
