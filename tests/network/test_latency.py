"""Latency: what is measured, what is kept, and what the command says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import nas.network.latency
from nas.network.latency import measure
from nas.space.published import PublishedConfig
from nas.store import Store
from tests.conftest import Run
from tests.store.filling import fill, make_study

INPUT = (3, 32, 32)


@pytest.fixture
def run(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`nas …`, timing less often than for a user."""
    monkeypatch.setattr(nas.network.latency, "WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(nas.network.latency, "MOST_RUNS", 12)
    return run


class Clock(nn.Module):
    """A model that takes 20 ms at first and 3 ms later, by the clock that it is."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.now += 0.02 if self.calls <= nas.network.latency.WARM_UP_RUNS else 0.003
        return x


def test_the_median_of_warm_runs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(nas.network.latency, "compile_model", lambda *_: clock)
    monkeypatch.setattr(nas.network.latency, "time", clock)
    architecture = PublishedConfig.load("kong_baseline").architecture()
    found = measure(architecture, INPUT, 10, batch=4, seconds=0.1)
    assert [found.low, found.milliseconds, found.high] == pytest.approx([3, 3, 3])
    assert found.runs == 34
    assert found.images_per_second == pytest.approx(4000 / 3)
    assert found.device.startswith("cpu: ")


def test_threads_are_used_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Looker(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return x

    monkeypatch.setattr(nas.network.latency, "compile_model", lambda *_: Looker())
    before = torch.get_num_threads()
    architecture = PublishedConfig.load("kong_baseline").architecture()
    assert measure(architecture, INPUT, 10, threads=2, seconds=0.0).threads == 2
    assert set(seen) == {2}
    assert torch.get_num_threads() == before


@pytest.mark.long
def test_what_was_measured_is_kept_and_shown_again(run: Run, tmp_path: Path) -> None:
    task = {"dataset": "digits", "input": [3, 32, 32], "classes": 10}
    with Store.open(f"sqlite:///{tmp_path / 'nas.db'}", create=True) as store:
        fill(store, make_study(store, task=task), 2)
    code, out, _ = run("latency", "0", "1", "--batch", "1,4", "--threads", "1", "--json")
    assert code == 0
    first = json.loads(out)
    assert [(row["network"], row["batch"]) for row in first] == [
        ("trial 0 of first", 1),
        ("trial 0 of first", 4),
        ("trial 1 of first", 1),
        ("trial 1 of first", 4),
    ]
    assert all(0 < row["quartiles"][0] <= row["milliseconds"] <= row["quartiles"][1] for row in first)
    assert json.loads(run("latency", "0", "1", "--batch", "1,4", "--threads", "1", "--json")[1]) == first
    again = json.loads(run("latency", "0", "--batch", "1", "--threads", "1", "--json", "--again")[1])
    assert again[0]["measured_at"] > first[0]["measured_at"]
    other = json.loads(run("latency", "0", "--batch", "1", "--threads", "2", "--json")[1])
    assert other[0]["threads"] == 2
    assert json.loads(run("latency", "0", "--batch", "1", "--threads", "1", "--json")[1]) == again


def test_the_table_names_device_and_unit_and_needs_no_database(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("latency", "kong_baseline", "--batch", "1", "--threads", "1")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("Latency on cpu: ")
    assert "1 thread" in lines[0]
    assert "median ms" in lines[1]
    assert all(len(line) <= 80 for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kong_aim", "--batch", "0"], "must be sizes of batches such as 1,64, not '0'"),
        (["kong_aim", "--batch", "a,b"], "must be sizes of batches such as 1,64"),
        (["kong_aim_cm"], "did you mean 'kong_aim_cam'?"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, run: Run) -> None:
    code, out, err = run("latency", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(run: Run) -> None:
    code, _, err = run("latency", "kong_aim", "--device", "cuda")
    assert (code, err.strip()) == (2, "nas: error: device cuda: no CUDA device is available here")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda() -> None:
    architecture = PublishedConfig.load("kong_aim_cam").architecture()
    found = measure(architecture, INPUT, 10, batch=64, device=torch.device("cuda"), seconds=0.5)
    assert found.device.startswith("cuda: ")
    assert found.threads == 0
    assert 0 < found.low <= found.milliseconds <= found.high
