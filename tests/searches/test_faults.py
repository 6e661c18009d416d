"""A worker whose GPU fails: the report says what happened, and the process trains nothing more. There is no GPU here."""

from __future__ import annotations

import json
import socket
import time
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import nas.searches.trial_worker as trainable
from nas.execution.protocol import REPORT, Retire
from nas.searches.trial_worker import TrialWorker

GIB = 1 << 30
DEAD = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …")
CONFIG = {"timeout": None, "memory": None, "gpus": 1.0, "measured": None}


class Gpu:
    """What a worker asks of CUDA. `broken` names calls that raise, as all do when the context is lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
        self.broken: set[str] = set()
        self.calls: list[str] = []
        self.reserved = GIB
        properties = SimpleNamespace(total_memory=80 * GIB)
        for name, value in {
            "init": None,
            "reset_peak_memory_stats": None,
            "set_per_process_memory_fraction": None,
            "empty_cache": None,
            "memory_allocated": 0,
            "get_device_name": "NVIDIA H100",
            "get_device_properties": properties,
        }.items():
            monkeypatch.setattr(torch.cuda, name, self._call(name, value))
        monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: self._call("peak", self.reserved)())
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(trainable, "answers", lambda device: "answers" not in self.broken)
        module = import_module("nas.train.environment")  # the package has a function of that name
        monkeypatch.setattr(module, "_gpu_name", lambda device: f"cuda: {torch.cuda.get_device_name()}")

    def _call(self, name: str, value: Any) -> Any:
        def called(*_: Any, **__: Any) -> Any:
            self.calls.append(name)
            if name in self.broken:
                raise DEAD
            return value

        return called


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    return Gpu(monkeypatch)


class Worker(TrialWorker):
    """One whose model raises `problem` when it is trained."""

    problem: BaseException

    def _epoch(self) -> dict[str, Any]:
        raise self.problem


def worker(problem: BaseException, monkeypatch: pytest.MonkeyPatch, **config: Any) -> Worker:
    """On a GPU, with a model that is never really built."""
    monkeypatch.setattr(trainable, "Architecture", SimpleNamespace(from_json=lambda text: None))
    monkeypatch.setattr(trainable, "compile_model", lambda *given: None)
    monkeypatch.setattr(trainable, "Trainer", lambda *given, **more: None)
    made = Worker.__new__(Worker)
    made.problem = problem
    recipe = trainable.Recipe().to_dict()
    given = {**CONFIG, "recipe": recipe, "architecture": "{}", **config}
    made.setup(given, SimpleNamespace(input=(1, 8, 8), classes=10, task=SimpleNamespace(folds=1)), 1, "cuda")  # type: ignore[arg-type]
    return made


def said(made: Worker) -> tuple[dict[str, Any], bool]:
    """What a worker reports, and whether it retires."""
    try:
        return json.loads(made.step()[REPORT]), False
    except Retire as last:
        return json.loads(last.report), True


@pytest.mark.parametrize(
    "broken",
    ["empty_cache", "get_device_name", "get_device_properties", "peak", "memory_allocated", "answers"],
)
def test_the_report_of_a_lost_device_is_not_lost_itself(gpu: Gpu, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Whichever call raises again after the first error."""
    made = worker(DEAD, monkeypatch)
    gpu.broken = {broken, "empty_cache"}
    report, retired = said(made)
    assert (report["state"], report["retry"]) == ("failed", "elsewhere")
    where = f"GPU 3 of {socket.gethostname()}"
    assert report["reason"] == f"AcceleratorError: CUDA error: an illegal memory access was encountered, on {where}"
    assert report["device"] == "cuda: NVIDIA H100"
    assert retired


@pytest.mark.parametrize("broken", ["init", "set_per_process_memory_fraction", "get_device_properties"])
def test_a_device_that_cannot_be_opened_is_a_report_and_no_dead_process(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    gpu.broken = {broken}
    report, retired = said(worker(RuntimeError("not reached"), monkeypatch))
    assert "illegal memory access" in report["reason"]
    assert retired


def test_an_error_of_the_network_keeps_the_process_while_the_device_answers(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    report, retired = said(worker(problem, monkeypatch))
    assert (report["state"], report["retry"], retired) == ("failed", "never", False)
    gpu.broken = {"answers"}
    report, retired = said(worker(problem, monkeypatch))
    assert (report["state"], report["retry"], retired) == ("failed", "never", True)


def test_a_device_that_never_answers_retires_the_process(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainable, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(trainable, "answers", lambda device: time.sleep(30))
    begun = time.monotonic()
    _, retired = said(worker(RuntimeError("odd"), monkeypatch))
    assert retired
    assert time.monotonic() - begun < 10


ENGINE = RuntimeError("GET was unable to find an engine to execute this computation")


@pytest.mark.parametrize(
    ("config", "reserved", "state"),
    [
        ({"gpus": 0.25, "memory": 10 * GIB}, 9 * GIB, "out_of_memory"),
        ({"gpus": 0.25}, GIB, "out_of_memory"),  # a neighbour may have it
        ({}, 70 * GIB, "out_of_memory"),
        ({}, GIB, "failed"),  # 79 GiB were free: no engine of cuDNN can do this
    ],
)
def test_cudnn_without_memory_says_that_it_has_no_engine(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], reserved: int, state: str
) -> None:
    gpu.reserved = reserved
    report, retired = said(worker(ENGINE, monkeypatch, **config))
    assert (report["state"], report["retry"], retired) == (state, "alone", True)


def test_the_peak_of_the_network_before_is_forgotten_before_this_one_is_built(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = worker(RuntimeError("odd"), monkeypatch)
    monkeypatch.setattr(trainable, "compile_model", lambda *given: gpu.calls.append("compile"))
    gpu.calls.clear()
    made.reset_config({**CONFIG, "recipe": trainable.Recipe().to_dict(), "architecture": "{}"})
    assert gpu.calls.index("reset_peak_memory_stats") < gpu.calls.index("compile")
