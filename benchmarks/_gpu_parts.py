"""What `first_gpu.py` measures: each part in a process of its own, because one that fails may take the GPU's context along."""

from __future__ import annotations

import gc
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.architecture.cost import cost
from nas.config.cuda_graph_switch import SWITCH
from nas.config.recipe import Augment, Recipe
from nas.data import Dataset, Task
from nas.data.task import make_dataset
from nas.errors import Infeasible
from nas.execution.gpu_sharing import training_bytes
from nas.space.published import PublishedConfig
from nas.space.space import Space
from nas.train import Trainer, judge, seed_everything
from nas.train.device import deterministic
from nas.train.launches import Speed, Work
from nas.train.mixup import Targets

INPUT, CLASSES, BATCH = (3, 32, 32), 10, 128
STEPS, WARM = 20, 5
FEW_IMAGES = 5_120
Record = dict[str, Any]


def _space_networks(number: int, seed: int = 0) -> list[Architecture]:
    """Random networks of attn_cnn."""
    space, rng, found = Space.load("attn_cnn"), random.Random(seed), []
    while len(found) < number:
        try:
            found.append(space.from_assignment(space.sample(rng), INPUT, CLASSES))
        except Infeasible:
            continue
    return found


def _networks() -> dict[str, Architecture]:
    """Four networks: the median of attn_cnn by MACs, an attention network of a paper, and two without attention."""
    drawn = sorted(_space_networks(21), key=lambda network: cost(network, INPUT, CLASSES).macs)
    published = {
        name: PublishedConfig.load(name).architecture() for name in ("kong_aim_cam", "kong_vgg16", "jiang_resnet18")
    }
    return {"attn_cnn median": drawn[10], **published}


def _dataset(images: int = FEW_IMAGES, size: int = 32) -> Dataset:
    """Invented images."""
    x = np.random.default_rng(0).integers(0, 256, (images, 3, size, size), dtype=np.uint8)
    return make_dataset(Task("digits", validation=0.1), x, np.arange(images) % CLASSES, tuple("0123456789"))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Step:
    """The step of a training of this project, on one batch that stays where it is; a small one where a CPU tries the script."""

    def __init__(
        self,
        network: Architecture,
        device: torch.device,
        batch: int = BATCH,
        *,
        recorded: bool = False,
        deterministic: bool = True,
    ) -> None:
        os.environ[SWITCH] = "1" if recorded else "0"
        seed_everything(0)
        self.device, batch = device, batch if device.type == "cuda" else min(batch, 4)
        recipe = Recipe(epochs=1, batch_size=batch, schedule="constant", lr=0.01, precision="bf16")
        self.trainer = Trainer(
            compile_model(network, INPUT, CLASSES).train(), _dataset(max(2 * batch, 200)), recipe, device
        )
        self.trainer._set_lr(0.0)
        self.deterministic = deterministic
        self.x = torch.rand(batch, *INPUT, device=device).contiguous(memory_format=self.trainer.layout)
        self.targets = Targets(torch.arange(batch, device=device) % CLASSES)

    def __call__(self) -> None:
        with deterministic(self.device) if self.deterministic else nullcontext():
            self.trainer.steps(self.x, self.targets)

    def weights(self) -> list[Tensor]:
        """Weights and averages."""
        return list(self.trainer.model.state_dict().values())


class _Bare:
    """A training step in plain PyTorch, with nothing of this project but the network."""

    def __init__(self, network: Architecture, device: torch.device, batch: int = BATCH) -> None:
        seed_everything(0)
        self.device, batch = device, batch if device.type == "cuda" else min(batch, 4)
        model = compile_model(network, INPUT, CLASSES)
        self.model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        x = torch.rand(batch, *INPUT, device=device)
        self.x = x.contiguous(memory_format=torch.channels_last)
        self.y = torch.arange(batch, device=device) % CLASSES
        rate: float | Tensor = torch.tensor(0.01, device=device) if device.type == "cuda" else 0.01
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4, fused=True)
        self.loss = torch.zeros((), device=device)

    def __call__(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16):
            loss = F.cross_entropy(self.model(self.x), self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.loss.copy_(loss.detach())

    def graph(self) -> torch.cuda.CUDAGraph:
        """The step, captured in a pool of its own, so that several can run at once."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM):
                self()
        torch.cuda.current_stream().wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(captured):
            self()
        return captured


def _milliseconds(action: Callable[[], object], device: torch.device) -> float:
    """Of one of many calls in a row."""
    steps, warm = (STEPS, WARM) if device.type == "cuda" else (1, 1)
    for _ in range(warm):
        action()
    _wait(device)
    begun = time.perf_counter()
    for _ in range(steps):
        action()
    _wait(device)
    return (time.perf_counter() - begun) / steps * 1e3


def tests(device: torch.device) -> Record:
    """The tests that need a GPU."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "tests/train",
        "tests/network",
    ]
    done = subprocess.run(command, cwd=Path(__file__).resolve().parents[1], capture_output=True, text=True)
    return {"exit code": done.returncode, "last line": (done.stdout or done.stderr).strip().splitlines()[-1][:200]}


def kernels(device: torch.device) -> Record:
    """Kernels of a step and the share of its time in which one runs, of four networks."""
    from torch.profiler import ProfilerActivity, profile

    found = {}
    for name, network in _networks().items():
        step = _Step(network, device)
        wall = _milliseconds(step, device)
        kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        with profile(activities=kinds) as seen:
            step()
            _wait(device)
        events = [event for event in seen.events() or [] if event.device_type.name == "CUDA"]
        busy = sum(event.device_time_total for event in events) / 1e3
        found[name] = {
            "kernels": len(events),
            "ms": wall,
            "busy share": busy / wall,
            "ms launching at 5 us": len(events) * 5e-3,
        }
    return found


def batches(device: torch.device) -> Record:
    """Images a second at three sizes of a batch."""
    sizes = (128, 512, 2048) if device.type == "cuda" else (2, 4)
    return {
        name: {size: size / _milliseconds(_Step(network, device, size), device) * 1e3 for size in sizes}
        for name, network in _networks().items()
    }


def graphs(device: torch.device) -> Record:
    """A recorded step against an eager one: time, and whether ten steps give the same weights; and what the rule makes of it."""
    found: Record = {}
    for name, network in _networks().items():
        eager, recorded = _Step(network, device), _Step(network, device, recorded=True)
        for step in (eager, recorded):
            seed_everything(1)  # of dropout
            for _ in range(10 if device.type == "cuda" else 1):
                step()
        same = all(torch.equal(*pair) for pair in zip(eager.weights(), recorded.weights(), strict=True))
        times = _milliseconds(eager, device), _milliseconds(recorded, device)
        steps, work = recorded.trainer.steps, Work.of_model(recorded.trainer.model)
        assert work is not None
        speed = Speed.of(device) if device.type == "cuda" else Speed()
        found[name] = {
            "eager ms": times[0],
            "recorded ms": times[1],
            "times": times[0] / times[1],
            "same weights": same,
            "recorded": steps.reason or steps.replays,
            "kernels estimated": work.kernels(half=True),
            "bound ms": work.seconds(BATCH, speed, half=True) * 1e3,
            "recorded by the rule": work.is_bound_by_launching(BATCH, speed, half=True),
        }
        eager.trainer.close(), recorded.trainer.close()
    return found


def streams(device: torch.device) -> Record:
    """Steps a second in all, of the graphs of 1 to 8 trainings of a network, each on a stream of its own."""
    return {name: _on_streams(network, device) for name, network in _networks().items()}


def _on_streams(network: Architecture, device: torch.device) -> dict[int, float]:
    """Steps a second in all, of 1 to 8 trainings."""
    found = {}
    for number in (1, 2, 4, 8):
        steps = [_Bare(network, device) for _ in range(number)]  # a graph does not keep its weights alive
        replays = [(step.graph(), torch.cuda.Stream()) for step in steps]

        def all_of_them(replays: list[tuple[torch.cuda.CUDAGraph, torch.cuda.Stream]] = replays) -> None:
            for graph, stream in replays:
                with torch.cuda.stream(stream):
                    graph.replay()

        found[number] = number / _milliseconds(all_of_them, device) * 1e3
        del steps
    return found


def processes(device: torch.device) -> Record:
    """Steps a second in all, of 1 to 8 processes; run it once more where MPS is started (`nvidia-cuda-mps-control -d`)."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("first_gpu.py")),
        "--device",
        device.type,
        "--part",
        "one process",
    ]
    pipe = os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")
    found: Record = {"mps": Path(pipe, "control").exists()}
    for number in (1, 2, 4, 8) if device.type == "cuda" else (1, 2):
        begin = [*command, "--until", str(time.time() + (45 if device.type == "cuda" else 5))]
        running = [subprocess.Popen(begin, stdout=subprocess.PIPE, text=True) for _ in range(number)]
        said = [process.communicate()[0].strip().splitlines() for process in running]
        found[str(number)] = sum(float(lines[-1]) for lines in said if lines)
    return found


def one_process(device: torch.device, until: float) -> float:
    """Steps a second in the last five before this moment, of one of several processes, which are past their imports then."""
    step = _Step(_networks()["attn_cnn median"], device)
    while time.time() < until - 5:
        step()
        _wait(device)
    begun, steps = time.perf_counter(), 0
    while time.time() < until or not steps:
        step()
        _wait(device)
        steps += 1
    return steps / (time.perf_counter() - begun)


def memory(device: torch.device) -> Record:
    """Predicted against allocated and reserved memory of twenty networks of attn_cnn."""
    dataset, recipe = _dataset(), Recipe(epochs=1, batch_size=BATCH)
    ratios = {"allocated / predicted": [], "reserved / predicted": []}  # type: dict[str, list[float]]
    for network in _space_networks(20, seed=1):
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        Trainer(compile_model(network, INPUT, CLASSES), dataset, recipe, device).step()
        predicted = training_bytes(network, dataset, recipe)
        ratios["allocated / predicted"].append(torch.cuda.max_memory_allocated(device) / predicted)
        ratios["reserved / predicted"].append(torch.cuda.max_memory_reserved(device) / predicted)
    return {name: {"median": statistics.median(of), "least": min(of), "most": max(of)} for name, of in ratios.items()}


def faults(device: torch.device) -> Record:
    """What provoked faults say, word for word, and what is made of them."""

    def no_memory() -> object:
        return [torch.empty(1 << 40, dtype=torch.uint8, device=device)]

    def wrong_label() -> object:
        F.cross_entropy(torch.zeros(2, 3, device=device), torch.tensor([0, 7], device=device))
        return _wait(device)

    def wrong_shapes() -> object:
        return torch.zeros(2, 3, device=device) @ torch.zeros(2, 3, device=device)

    found = {}
    for provoke in (wrong_shapes, no_memory, wrong_label):  # the last one ends the context
        try:
            provoke()
        except Exception as problem:
            verdict = judge(problem)
            said = f"{type(problem).__name__}: {problem}"[:500]
            found[provoke.__name__] = {
                "said": said,
                "state": str(verdict.state),
                "retire": verdict.retire,
                "retry": str(verdict.retry),
            }
        else:
            found[provoke.__name__] = {"said": "nothing"}
    return found


def compiling(device: torch.device) -> Record:
    """After how many steps `torch.compile` has paid for itself; None: never."""
    found = {}
    for name, network in list(_networks().items())[:2]:
        step = _Step(network, device)
        eager = _milliseconds(step, device)
        step.trainer.one_step.model = torch.compile(step.trainer.model)
        begun = time.perf_counter()
        step()
        _wait(device)
        seconds = time.perf_counter() - begun
        compiled = _milliseconds(step, device)
        pays = seconds * 1e3 / (eager - compiled) if compiled < eager else None
        found[name] = {
            "eager ms": eager,
            "compiled ms": compiled,
            "seconds of compiling": seconds,
            "steps that pay": pays,
        }
    return found


def streaming(device: torch.device) -> Record:
    """Images a second of a training on 224 pixels, with the images on the device and without."""
    network, size = PublishedConfig.load("jiang_resnet18").architecture(), 224
    dataset = _dataset(2_560 if device.type == "cuda" else 64, size)
    found = {}
    for resident in (True, False):
        recipe = Recipe(epochs=3, batch_size=64 if device.type == "cuda" else 16)
        trainer = Trainer(compile_model(network, (3, size, size), CLASSES), dataset, recipe, device, resident=resident)
        trainer.step()
        found["on the device" if resident else "streamed"] = trainer.step().images_per_second
    return found


def determinism(device: torch.device) -> Record:
    """What deterministic cuDNN costs: a step with it, and with algorithms that were timed."""
    found: Record = {}
    for name, network in _networks().items():
        times = {}
        for is_deterministic in (True, False):
            torch.backends.cudnn.benchmark = True
            times[is_deterministic] = _milliseconds(_Step(network, device, deterministic=is_deterministic), device)
        found[name] = {"deterministic ms": times[True], "timed ms": times[False], "times": times[True] / times[False]}
    return found


def loop(device: torch.device) -> Record:
    """Our training loop against a bare one, a small VGG on invented images: ours is to be 0.8 of it at least.

    Both launch each kernel.
    """
    os.environ[SWITCH] = "0"
    dataset = _dataset(FEW_IMAGES if device.type == "cuda" else 64)
    recipe = Recipe(
        epochs=1000,
        batch_size=BATCH if device.type == "cuda" else 4,
        schedule="constant",
        augment=Augment(crop_padding=0, flip=False),
    )
    network = PublishedConfig.load("kong_vgg16").architecture()
    trainer = Trainer(compile_model(network, INPUT, CLASSES), dataset, recipe, device)
    step = _Bare(network, device)
    pixels, labels = torch.from_numpy(dataset.train.x).to(device), torch.from_numpy(dataset.train.y).to(device)

    def bare() -> float:
        begun, order = time.perf_counter(), torch.randperm(len(labels), device=device)
        for index in order.split(recipe.batch_size):
            step.x = (pixels[index].float() / 255).contiguous(memory_format=torch.channels_last)
            step.y = labels[index]
            step()
        _wait(device)
        return len(labels) / (time.perf_counter() - begun)

    bare(), trainer.step()
    pairs = [(trainer.step().images_per_second, bare()) for _ in range(3)]
    ours, theirs = (statistics.median(pair[place] for pair in pairs) for place in (0, 1))
    return {"ours": ours, "bare": theirs, "ratio": statistics.median(a / b for a, b in pairs)}


PARTS: dict[str, Callable[[torch.device], Any]] = {
    "tests": tests,
    "kernels": kernels,
    "batches": batches,
    "graphs": graphs,
    "streams": streams,
    "processes": processes,
    "memory": memory,
    "faults": faults,
    "compile": compiling,
    "streaming": streaming,
    "determinism": determinism,
    "loop": loop,
}
