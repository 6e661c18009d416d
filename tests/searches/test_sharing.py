"""Trials that share a device: an invented GPU that counts every byte, and a real Ray on the CPU."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import nas
import tests.failing  # noqa: F401 (registers the block that misbehaves)
from nas.architecture.architecture import Architecture
from nas.architecture.cost import cost
from nas.config.recipe import Recipe
from nas.data import Dataset, Task
from nas.data.task import make_dataset
from nas.execution.gpu_sharing import CONTEXT_BYTES, Gpu, Packing, training_bytes
from nas.execution.report import Report
from nas.execution.runner import Runner
from nas.store import Store
from tests.searches.simulated import INPUT, Config, SimulatedTune, epoch, learns, quality, report
from tests.small_search import QUICK, SPACE

GIB = 1 << 30


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    x = np.random.default_rng(0).integers(0, 255, (40, *INPUT), dtype=np.uint8)
    return make_dataset(Task("digits", None, 0.2, 0, None), x, np.arange(40) % 10, tuple("abcdefghij"))


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    """Networks that take from 0.3 to 5 GiB, with batches of 65,536."""
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE.replace("[4, 8, 16]", "[2, 8, 32]"))
    return path


@pytest.fixture
def store(storage: str, space_file: Path) -> Iterator[Store]:
    with Store.open(storage, create=True) as opened:
        SimulatedTune(opened, space_file)  # makes the study
        yield opened


class Device:
    """A GPU on which every process has a context, and every training takes what it really needs: prediction times truth."""

    def __init__(self, dataset: Dataset, recipe: Recipe, size: int, truth: Any) -> None:
        self.dataset, self.recipe, self.size, self.truth = dataset, recipe, size, truth
        self.used = self.processes = self.most_used = self.most_processes = 0
        self.overflows = 0

    def needs(self, architecture: Architecture) -> int:
        return int(training_bytes(architecture, self.dataset, self.recipe) * self.truth(architecture))

    def __call__(self, config: Config) -> Iterator[Report]:
        """A trial, as `SimulatedTune` takes it."""
        architecture = config.network
        need = self.needs(architecture)
        allowed = config.slot.memory if config.slot.memory is not None else self.size - CONTEXT_BYTES
        taken = min(need, allowed)
        self.used += taken + CONTEXT_BYTES
        self.processes += 1
        self.most_used = max(self.most_used, self.used)
        self.most_processes = max(self.most_processes, self.processes)
        try:
            if need > allowed:
                self.overflows += 1
                yield report(None, "out_of_memory", "OutOfMemoryError: CUDA out of memory", peak_memory=taken)
                return
            for said in learns(config):
                yield replace(said, peak_memory=taken)
        finally:
            self.used -= taken + CONTEXT_BYTES
            self.processes -= 1


def _packed(store: Store, space_file: Path, dataset: Dataset, gib: float, truth: Any, **options: Any) -> Any:
    recipe = Recipe(epochs=3, batch_size=65_536, precision="fp32")
    device = Device(dataset, recipe, int(gib * GIB), truth)
    observed = [(memory.predicted_bytes, memory.peak_bytes) for memory in store.memories("tiny")]
    packing = Packing(dataset, recipe, gpus=None, gpu=Gpu(int(gib * GIB)), observed=observed)
    tune = SimulatedTune(store, space_file, trials=36, worker=device, packing=packing, **options)
    with store.claim("tiny"):
        tune.run(workers=8, gpus=1.0)
    assert tune.stop.problem is None
    return device, tune


def test_trials_share_a_gpu_and_never_take_more_than_there_is(store: Store, space_file: Path, dataset: Dataset) -> None:
    rng = random.Random(0)
    ratios: dict[str, float] = {}

    def truth(architecture: Architecture) -> float:
        return ratios.setdefault(architecture.hash, rng.uniform(0.5, 1.2))

    device, tune = _packed(store, space_file, dataset, 12.0, truth)
    trials = store.trials("tiny")
    assert trials["state"].tolist() == ["complete"] * 36
    assert device.most_processes > 2
    assert device.most_used <= device.size
    shares = {config.slot.gpus for config in tune.configs}
    assert len(shares) > 1  # the space has networks of very different size
    rows = store.memories("tiny")
    assert len(rows) == 36
    assert [row.peak_bytes / row.predicted_bytes for row in rows] == pytest.approx(
        [ratios[digest] for digest in trials.sort_values("id")["hash"]], rel=1e-3
    )
    # the next run of the study begins with what this one has learned
    packing = tune.source.packing
    again = Packing(
        dataset,
        Recipe(),
        gpus=None,
        gpu=Gpu(GIB),
        observed=[(row.predicted_bytes, row.peak_bytes) for row in rows],
    )
    assert again.correction == pytest.approx(packing.correction, rel=0.1)


def test_what_needs_more_than_was_predicted_is_tried_again_alone(
    store: Store, space_file: Path, dataset: Dataset
) -> None:
    def truth(architecture: Architecture) -> float:
        return 6.0 if int(architecture.hash[0], 16) < 4 else 0.8

    device, _ = _packed(store, space_file, dataset, 12.0, truth)
    trials = store.trials("tiny")
    states = trials["state"].value_counts().to_dict()
    assert device.overflows >= 2
    assert device.most_used <= device.size  # who needs more fails, not who shares the GPU
    second = trials[trials["reason"].fillna("").str.contains("alone on its device")]
    good = second[second["state"] == "complete"]
    assert len(good) > 0
    assert set(good["reason"]) == {"alone on its device; at first OutOfMemoryError: CUDA out of memory"}
    assert all(truth(store.architecture(digest)) == 6.0 for digest in second["hash"])
    # too large for the whole device: tried alone, and then it counts as failed
    bad = trials[trials["state"] == "out_of_memory"]
    assert set(states) <= {"complete", "out_of_memory"}
    sizes = [device.needs(store.architecture(digest)) for digest in bad["hash"]]
    assert all(size > device.size - CONTEXT_BYTES for size in sizes)
    assert trials["hash"].is_unique
    assert store.running("tiny") == 0


def test_a_large_gpu_is_shared_by_the_most(store: Store, space_file: Path, dataset: Dataset) -> None:
    device, _ = _packed(store, space_file, dataset, 80.0, lambda architecture: 0.8)
    assert device.overflows == 0
    assert device.most_processes == 8


def test_a_large_trial_is_not_kept_waiting_by_small_ones(store: Store, space_file: Path, dataset: Dataset) -> None:
    """The simulated Ray starts whatever has room; the driver holds back what would take it."""
    device, tune = _packed(store, space_file, dataset, 8.5, lambda architecture: 0.8)
    order = [config.slot.gpus for config in tune.configs]
    whole = [place for place, gpus in enumerate(order) if gpus == 1.0]
    assert whole
    finished = store.trials("tiny").reset_index()
    started = {config.spec.architecture: place for place, config in enumerate(tune.configs)}
    ended = [started[store.architecture(digest).to_json()] for digest in finished["hash"]]
    late = [place - ended.index(place) for place in whole]
    assert all(abs(distance) <= 8 for distance in late)  # nobody overtook it by more than what ran already
    assert device.most_used <= device.size


def test_a_process_is_held_to_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own functions, down to the call of its library."""
    limits: list[tuple[float, int]] = []
    monkeypatch.setattr(torch._C, "_cuda_setMemoryFraction", lambda *given: limits.append(given), raising=False)
    monkeypatch.setattr("torch.cuda.memory._lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * GIB))
    runner = Runner.__new__(Runner)
    runner.device = torch.device("cuda")
    for size in (10 * GIB, None, 100 * GIB):
        runner._limit_memory(size)
    assert limits == [(0.125, 0), (1.0, 0), (1.0, 0)]
    runner.device = torch.device("cpu")
    runner._limit_memory(None)
    assert len(limits) == 3


def test_out_of_memory_without_company_is_not_tried_again(store: Store, space_file: Path) -> None:
    def fails(config: Config) -> Iterator[Report]:
        yield report(None, "out_of_memory", "MemoryError")

    tune = SimulatedTune(store, space_file, trials=3, worker=fails)
    with store.claim("tiny"):
        tune.run(workers=1)
    assert len(tune.configs) == 3
    assert store.trials("tiny")["reason"].tolist() == ["MemoryError"] * 3


def test_on_a_cpu_nothing_runs_beside_the_second_attempt(store: Store, space_file: Path) -> None:
    running: set[str] = set()
    tried: list[str] = []
    beside: list[int] = []

    def crowded(config: Config) -> Iterator[Report]:
        network = config.network.hash
        tried.append(network)
        running.add(network)
        try:
            again = tried.count(network) == 2
            if tried.index(network) % 4 == 2 and not again:
                yield report(epoch(1, 0.3))
                yield report(None, "out_of_memory", "MemoryError")
                return
            for number in range(1, 4):
                if again:
                    beside.append(len(running) - 1)
                yield report(epoch(number, quality(config.network)), "complete" if number == 3 else None)
        finally:
            running.discard(network)

    tune = SimulatedTune(store, space_file, trials=12, worker=crowded)
    with store.claim("tiny"):
        tune.run(workers=4)
    trials = store.trials("tiny")
    assert trials["state"].tolist() == ["complete"] * 12
    assert trials["epochs"].tolist() == [3] * 12
    assert len(tried) > 12
    assert beside
    assert set(beside) == {0}


def test_a_search_that_ends_leaves_no_second_attempt_behind(store: Store, space_file: Path) -> None:
    def crowded(config: Config) -> Iterator[Report]:
        yield report(epoch(1, 0.5))
        if len(tune.configs) == 2:
            yield report(None, "out_of_memory", "MemoryError")
        yield report(epoch(2, 0.5))
        tune.stop.reason = "interrupted"
        yield report(epoch(3, 0.5))

    tune = SimulatedTune(store, space_file, trials=8, worker=crowded)
    with store.claim("tiny"):
        tune.run(workers=2)
    assert set(store.trials("tiny")["state"]) == {"interrupted"}
    assert store.running("tiny") == 0


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_real_trial_that_runs_out_of_memory_beside_others_is_tried_again_alone(tmp_path: Path, storage: str) -> None:
    path = tmp_path / "crowded.yaml"
    path.write_text(
        "name: crowded\ninput: [1, 16, 16]\ngraph:\n"
        "  stem: {block: conv, channels: {choose: [8, 12]}, stride: 2}\n"
        "  trap: {block: misbehave, how: {choose: [not, crowded]}}\n"
        "  head: {block: classifier, pool: flatten}\n"
    )
    result = nas.search(
        path, storage=storage, trials=4, recipe=QUICK, max_concurrent=2, sampler="random", gpus_per_trial="auto"
    )
    assert result.states == {"complete": 4}
    reasons = result.trials["reason"].dropna().tolist()
    assert reasons == [
        "alone on its device; at first OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"
    ]
    again = result.trials[result.trials["reason"].notna()].iloc[0]
    assert again["assignment"]["trap.how"] == "crowded"
    assert cost(_network(storage, again["hash"]), (1, 16, 16), 10).parameters == again["parameters"]


def _network(storage: str, digest: str) -> Architecture:
    with Store.open(storage) as store:
        return store.architecture(digest)


LOGICAL = """
import sys, time, ray, nas
import nas.searches.trial_training as trials
import nas.execution.runner as runner
import nas.execution.session as tuning
from nas.execution.gpu_sharing import Gpu
from nas.execution.report import Begun
from nas.config.recipe import Recipe
from nas.states import State
from nas.store import Store
from nas.train import Epoch, Verdict

class Invents(trials.TrialTraining):
    finished = False

    def begin(self):
        runner.peak_memory = lambda device: 1 << 30  # in the process that trains
        return Begun()

    def step(self):
        time.sleep(0.2)
        self.finished = True
        return Epoch(1, 1.0, 1.0, 0.5, 0.9, 0.2, 1.0, 0.1)

    def finish(self):
        return Verdict(State.COMPLETE), None

trials.TrialTraining = Invents
tuning.find_gpu = lambda note: Gpu(9 << 30)
tuning.Resources.device = property(lambda self: "cpu")
ray.init(address="local", num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         _system_config={"worker_niceness": 0})
result = nas.search(
    "nas_bench_macro", storage=sys.argv[1], trials=12, epochs=1, image_size=32, gpus_per_trial="auto",
    sampler="random", recipe=Recipe(batch_size=256), seed_points="none",
)
assert result.states == {"complete": 12}, result.states
with Store.open(sys.argv[1]) as store:
    rows = store.memories(result.study)
assert [row.peak_bytes for row in rows] == [1 << 30] * 12, rows
assert len({row.gpus for row in rows}) > 1, rows
assert all(0.125 <= row.gpus < 1 for row in rows), rows
"""


@pytest.mark.slow
def test_ray_gives_out_the_shares_of_a_gpu(storage: str, repository: Path) -> None:
    """A real Ray that was told of a GPU: what trials report changes how many share it."""
    done = subprocess.run(
        [sys.executable, "-c", LOGICAL, storage],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(repository), "RAY_ADDRESS": ""},
    )
    assert done.returncode == 0, done.stderr
