"""Runtimes in which latency is measured: each runs the network it was given, and what was measured otherwise is told apart."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

import nas.network.latency
from nas.device.runtimes import RUNTIMES
from nas.device.timing import Timing
from nas.errors import NasError
from nas.network.latency import Latency
from nas.network.runtime import EAGER
from nas.searches.options import timing_of
from nas.store import Store
from tests.conftest import Run
from tests.export.networks import SHAPE, around, warmed

OPTIONS = ("onnx", "5m")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas.network.latency, "WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(nas.network.latency, "MOST_RUNS", 12)


@pytest.mark.parametrize("name", [name for name in RUNTIMES if name != "compile"])
def test_a_runtime_computes_what_the_model_does(name: str) -> None:
    runtime = RUNTIMES[name]
    if any(importlib.util.find_spec(package) is None for package in runtime.packages):
        pytest.skip(f"needs the extra {runtime.extra}")
    model, x = warmed(around("conv")), torch.randn(2, *SHAPE)
    with torch.no_grad():
        wanted = model(x)
        found = runtime.prepare(model, x, 1)()
    if name != EAGER.name:
        found = torch.from_numpy(found[0])
    # OpenVINO may compute in bfloat16.
    torch.testing.assert_close(found, wanted, rtol=0.05 if name == "openvino" else 1e-3, atol=0.05)


@pytest.mark.slow
def test_a_compiled_model_computes_what_the_model_does() -> None:
    model, x = warmed(around("conv")), torch.randn(2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(RUNTIMES["compile"].prepare(model, x, 1)(), model(x), rtol=1e-3, atol=1e-3)


def test_a_time_says_its_runtime_and_is_no_time_of_another(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    Store.open(f"sqlite:///{tmp_path / 'nas.db'}", create=True).close()
    words = ("latency", "banbury_resnet8", "--batch", "1", "--threads", "1")
    code, out, err = run(*words, "--runtime", "onnx", "--json")
    assert code == 0, err
    (first,) = json.loads(out)
    assert first["runtime"] == "onnx"
    assert first["version"].startswith("onnxruntime ")
    (eager,) = json.loads(run(*words, "--json")[1])
    assert (eager["runtime"], eager["version"]) == ("pytorch", torch.__version__)
    assert json.loads(run(*words, "--runtime", "onnx", "--json")[1]) == [first]
    assert "1 thread, runtime onnx" in " ".join(run(*words, "--runtime", "onnx")[1].split())


def test_times_of_pytorch_are_what_earlier_versions_kept() -> None:
    cpu = torch.device("cpu")
    assert Latency().settings(cpu) == {"batch": 1, "threads": 1}
    assert Latency(RUNTIMES["onnx"]).settings(cpu) == {"batch": 1, "threads": 1, "runtime": "onnx"}


def test_where_a_runtime_is_timed() -> None:
    assert timing_of(None, None, None, *OPTIONS).place is None
    assert timing_of(None, "onnx", None, *OPTIONS).place == "cpu"
    assert timing_of("cuda", "compile", None, *OPTIONS).place == "cuda"
    with pytest.raises(NasError, match="latency_runtime onnx: runs on cpu here, not on cuda"):
        timing_of("cuda", "onnx", None, *OPTIONS)


def test_who_measures_is_said() -> None:
    assert "with one thread (onnx) while trials train on the other cores" in timing_of(
        None, "onnx", None, *OPTIONS
    ).remark("cpu")
    commanded = timing_of(None, None, f"{sys.executable} {{file}}", "state-dict", "5m")
    assert commanded.remark("cpu").startswith(f"latency is what '{sys.executable} {{file}}' says")


def test_a_choice_says_what_its_times_were_measured_by() -> None:
    assert Timing().measured_by("cpu") == "by pytorch on cpu of this machine, with one thread"
    assert Timing(device="cuda").measured_by("cuda") == "by pytorch on cuda of this machine"


def test_a_missing_package_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, name, extra in (("onnxruntime", "onnx", "onnx"), ("openvino", "openvino", "openvino")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(
            NasError, match=rf"{name} needs the package {package}: pip install 'nas-attn-cnn\[{extra}\]'"
        ):
            timing_of(None, name, None, *OPTIONS)
        monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NasError, match=r"latency_format onnx needs the package onnxruntime"):
        timing_of(None, None, f"{sys.executable} {{file}}", *OPTIONS)
