"""What a process makes of what a network does wrong. Of GPUs that fail there is none here: the first part invents one."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.config.recipe import Augment, Recipe
from nas.data import Dataset, Task, load
from nas.errors import NasError
from nas.execution import runner as running
from nas.execution.gpu_sharing import Slot
from nas.execution.job import Job, JobSource, Outcome
from nas.execution.report import Begun, Report
from nas.execution.runner import Runner, run_here
from nas.states import State
from nas.train import Epoch, Trainer, Verdict, seed_everything

GIB = 1 << 30
DEAD = torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …")
WHOLE = Slot(1.0)
CUDA = torch.device("cuda")
CPU = torch.device("cpu")


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
        monkeypatch.setattr(running, "answers", lambda device: "answers" not in self.broken)
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


class Raises:
    """A training whose model raises `problem` when it is trained."""

    finished = False
    checkpoint = None
    circumstances: dict[str, str] = {}

    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def begin(self) -> Begun:
        return Begun()

    def step(self) -> Epoch:
        raise self.problem

    def finish(self) -> tuple[Verdict, None]:
        raise AssertionError("it has not ended")

    def close(self) -> None:
        pass


def raising(problem: BaseException, slot: Slot = WHOLE) -> Runner:
    """On a GPU."""
    runner = Runner(CUDA)
    runner.assign(Raises(problem), slot)
    return runner


def ended(runner: Runner) -> tuple[Verdict, Report]:
    """How a training ends with its first step."""
    report = Report.from_json(runner.step().to_json())  # as the driver gets it
    assert report.verdict is not None
    return report.verdict, report


@pytest.mark.parametrize(
    "broken",
    ["empty_cache", "get_device_name", "get_device_properties", "peak", "memory_allocated", "answers"],
)
def test_the_report_of_a_lost_device_is_not_lost_itself(gpu: Gpu, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """Whichever call raises again after the first error."""
    runner = raising(DEAD)
    monkeypatch.setattr(runner, "_build", lambda training: training.begin())  # before the device was lost
    gpu.broken = {broken, "empty_cache"}
    verdict, report = ended(runner)
    assert (verdict.state, verdict.retry) == ("failed", "elsewhere")
    where = f"GPU 3 of {socket.gethostname()}"
    assert verdict.reason == f"AcceleratorError: CUDA error: an illegal memory access was encountered, on {where}"
    assert report.device == "cuda: NVIDIA H100"
    assert runner.spent


@pytest.mark.parametrize("broken", ["init", "set_per_process_memory_fraction", "get_device_properties"])
def test_a_device_that_cannot_be_opened_is_a_report_and_no_dead_process(gpu: Gpu, broken: str) -> None:
    gpu.broken = {broken}
    runner = raising(RuntimeError("not reached"))
    assert "illegal memory access" in ended(runner)[0].reason
    assert runner.spent


def test_an_error_of_the_network_keeps_the_process_while_the_device_answers(gpu: Gpu) -> None:
    problem = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    for broken in (set[str](), {"answers"}):
        gpu.broken = broken
        runner = raising(problem)
        verdict, _ = ended(runner)
        assert (verdict.state, verdict.retry, runner.spent) == ("failed", "never", bool(broken))


def test_a_device_that_never_answers_retires_the_process(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(running, "answers", lambda device: time.sleep(900))
    begun = time.monotonic()
    runner = raising(RuntimeError("odd"))
    ended(runner)
    assert runner.spent
    assert time.monotonic() - begun < 600


ENGINE = RuntimeError("GET was unable to find an engine to execute this computation")


@pytest.mark.parametrize(
    ("slot", "reserved", "state"),
    [
        (Slot(0.25, 10 * GIB), 9 * GIB, "out_of_memory"),
        (Slot(0.25), GIB, "out_of_memory"),  # a neighbour may have it
        (WHOLE, 70 * GIB, "out_of_memory"),
        (WHOLE, GIB, "failed"),  # 79 GiB were free: no engine of cuDNN can do this
    ],
)
def test_cudnn_without_memory_says_that_it_has_no_engine(gpu: Gpu, slot: Slot, reserved: int, state: str) -> None:
    gpu.reserved = reserved
    runner = raising(ENGINE, slot)
    verdict, _ = ended(runner)
    assert (verdict.state, verdict.retry, runner.spent) == (state, "alone", True)


def test_the_peak_of_the_network_before_is_forgotten_before_this_one_is_built(
    gpu: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = raising(RuntimeError("odd"))
    ended(runner)
    following = Raises(RuntimeError("odd"))
    monkeypatch.setattr(following, "begin", lambda: gpu.calls.append("built"))
    gpu.calls.clear()
    runner.assign(following, WHOLE)
    runner.step()
    assert gpu.calls.index("reset_peak_memory_stats") < gpu.calls.index("built")


RECIPE = Recipe(epochs=2, batch_size=64, lr=0.05, precision="fp32", augment=Augment(crop_padding=1, flip=False))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(Task("digits"))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )


class Breaks(nn.Module):
    def __init__(self, action: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = network()
        self.action = action

    def forward(self, x: Tensor) -> Tensor:
        return self.action(self.inner(x))


def raises(problem: Exception) -> Callable[[Tensor], Tensor]:
    def action(_: Tensor) -> Tensor:
        raise problem

    return action


class Trains:
    """A real training of the model that `make` gives."""

    trainer: Trainer | None = None
    checkpoint = None
    circumstances = {"cuda_graph": "used"}

    def __init__(self, make: Callable[[], nn.Module], dataset: Dataset, device: torch.device = CPU) -> None:
        self.make, self.dataset, self.device = make, dataset, device

    def begin(self) -> Begun:
        seed_everything(0)
        self.trainer = Trainer(self.make(), self.dataset, RECIPE, self.device)
        return Begun()

    def step(self) -> Epoch:
        assert self.trainer is not None
        return self.trainer.step()

    @property
    def finished(self) -> bool:
        assert self.trainer is not None
        return self.trainer.finished

    def finish(self) -> tuple[Verdict, None]:
        assert self.trainer is not None
        return self.trainer.verdict(), None

    def close(self) -> None:
        self.trainer = None


def reports(training: Trains, device: torch.device = CPU, timeout: float | None = None) -> list[Report]:
    """All that is said of a training."""
    runner = Runner(device, timeout)
    runner.assign(training, Slot(float(device.type == "cuda")))
    said = [runner.step()]
    while said[-1].verdict is None:
        said.append(runner.step())
    assert training.trainer is None
    return [Report.from_json(report.to_json()) for report in said]


def verdict_of(action: Callable[[Tensor], Tensor], dataset: Dataset, **more: Any) -> Verdict:
    verdict = reports(Trains(lambda: Breaks(action), dataset), **more)[-1].verdict
    assert verdict is not None
    return verdict


def test_a_training_that_goes_well_reports_each_epoch_and_its_end(digits: Dataset) -> None:
    first, last = reports(Trains(network, digits))
    assert (first.begun, last.begun) == (Begun(), None)
    assert (first.verdict, last.verdict) == (None, Verdict(State.COMPLETE))
    assert first.epoch is not None
    assert last.epoch is not None
    assert [first.epoch.epoch, last.epoch.epoch] == [1, 2]
    assert last.epoch.accuracy > 0.8
    assert 0 < last.epoch.train_accuracy <= 1
    assert 0 < first.seconds < last.seconds
    assert last.device.startswith("cpu")
    assert last.environment["torch"] == torch.__version__
    assert last.environment["cuda_graph"] == "used"


@pytest.mark.parametrize(
    ("action", "state", "reason"),
    [
        (lambda y: y * float("nan"), State.DIVERGED, "training loss is nan at iteration 1 of epoch 1"),
        (lambda y: y * 1e9, State.DIVERGED, "training loss is"),
        (raises(ValueError("wrong shape\nmore")), State.FAILED, "ValueError: wrong shape"),
        (raises(RuntimeError()), State.FAILED, "RuntimeError"),
        (raises(MemoryError()), State.OUT_OF_MEMORY, "MemoryError"),
        (raises(torch.OutOfMemoryError("CUDA out of memory. Tried …")), State.OUT_OF_MEMORY, "CUDA out of memory"),
        (raises(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")), State.OUT_OF_MEMORY, "ALLOC_FAILED"),
        (lambda y: y + torch.empty(1 << 50).sum(), State.OUT_OF_MEMORY, "can't allocate memory"),
        (raises(RuntimeError("DefaultCPUAllocator: can't allocate memory")), State.OUT_OF_MEMORY, "can't allocate"),
    ],
)
def test_what_a_model_does_wrong_is_a_state_with_a_reason(
    action: Callable[[Tensor], Tensor], state: State, reason: str, digits: Dataset
) -> None:
    verdict = verdict_of(action, digits)
    assert verdict.state is state
    assert reason in verdict.reason
    assert "\n" not in verdict.reason


def test_a_model_that_cannot_be_built_is_a_failed_training(digits: Dataset) -> None:
    def broken() -> nn.Module:
        raise ValueError("no such layer")

    (report,) = reports(Trains(broken, digits))
    assert report.verdict == Verdict(State.FAILED, "ValueError: no such layer")
    assert (report.begun, report.epoch) == (None, None)


def test_a_model_that_takes_too_long_is_stopped_in_its_time(digits: Dataset) -> None:
    def hangs(y: Tensor) -> Tensor:
        time.sleep(900)
        return y

    begun = time.monotonic()
    assert verdict_of(hangs, digits, timeout=0.5) == Verdict(State.TIMED_OUT, "took longer than 0.5 s")
    assert time.monotonic() - begun < 600


class Jobs(JobSource[Job]):
    """Jobs whose specs are the actions of models."""

    def __init__(self, actions: list[Callable[[Tensor], Tensor]]) -> None:
        self.waiting = [Job(action, Slot(0.0)) for action in actions]
        self.outcomes: list[Outcome] = []
        self.heards: list[Report] = []

    def next(self, running: int) -> Job | None:
        return self.waiting.pop(0) if self.waiting else None

    def heard(self, job: Job, report: Report, *, last: bool) -> None:
        self.heards.append(report)

    def again(self, job: Job, verdict: Verdict) -> None:
        raise AssertionError("there is no other process")

    def ended(self, job: Job, outcome: Outcome, running: int) -> None:
        self.outcomes.append(outcome)


def here(source: Jobs, dataset: Dataset) -> None:
    run_here(source, lambda action, device: Trains(lambda: Breaks(action), dataset, device), CPU)


def test_without_ray_a_model_that_goes_wrong_costs_one_job_and_is_tried_once(digits: Dataset) -> None:
    memory = torch.OutOfMemoryError("CUDA out of memory")
    source = Jobs([raises(memory), raises(DEAD), lambda y: y])
    here(source, digits)
    states = [(outcome.state, outcome.cut_off, len(outcome.epochs)) for outcome in source.outcomes]
    assert states == [("out_of_memory", False, 0), ("failed", False, 0), ("complete", False, 2)]
    assert source.outcomes[0].reason == "OutOfMemoryError: CUDA out of memory"


def test_without_ray_what_the_user_must_mend_is_an_error_and_no_result(digits: Dataset) -> None:
    source = Jobs([raises(NasError("folder: is not there")), lambda y: y])
    with pytest.raises(NasError, match="^folder: is not there$"):
        here(source, digits)
    assert [outcome.cut_off for outcome in source.outcomes] == [True]


def test_without_ray_an_interruption_ends_the_job_without_a_result(digits: Dataset) -> None:
    def interrupts(y: Tensor) -> Tensor:
        raise KeyboardInterrupt

    source = Jobs([interrupts])
    with pytest.raises(KeyboardInterrupt):
        here(source, digits)
    assert [(outcome.state, outcome.cut_off) for outcome in source.outcomes] == [("interrupted", True)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_memory_of_a_broken_model_is_given_back(digits: Dataset) -> None:
    def grow(y: Tensor) -> Tensor:
        return y + torch.empty(1 << 50, device=y.device).sum()

    held = []
    for _ in range(2):  # the first leaves the images and cuBLAS's workspace on the device
        report = reports(Trains(lambda: Breaks(grow), digits, CUDA), CUDA)[-1]
        assert report.verdict is not None
        assert report.verdict.state is State.OUT_OF_MEMORY
        assert report.peak_memory
        held.append(torch.cuda.memory_allocated())
    assert held[1] <= held[0] + 1024
