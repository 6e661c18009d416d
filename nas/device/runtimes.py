"""What can run a network when it is timed: PyTorch as it trains, compiled, and what networks are shipped with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from nas.errors import NasError
from nas.export.int8 import quantize
from nas.export.onnx_graph import to_onnx
from nas.network.runtime import EAGER, Run, Runtime, torch_version
from nas.plugins.packages import ONNX
from nas.plugins.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn


def compiled(model: nn.Module, x_BCHW: Tensor, threads: int | None) -> Run:
    """Compiled at the first run: on a CPU by a C++ compiler, on a GPU by Triton."""
    import torch

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it says that there is no CUDA
    torch.compiler.reset()  # of networks before it: a search times hundreds, and nothing of them is met again
    optimized = torch.compile(model, dynamic=False)
    return lambda: optimized(x_BCHW)


def onnx(model: nn.Module, x_BCHW: Tensor, threads: int | None) -> Run:
    """ONNX Runtime on the CPU."""
    return run_onnx(to_onnx(model, x_BCHW, any_batch=False).SerializeToString(), x_BCHW.numpy(), threads)


def run_onnx(graph: bytes, x_BCHW: Any, threads: int | None) -> Run:
    """An ONNX graph with the input `images`, as ONNX Runtime runs it on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": x_BCHW})


def int8(model: nn.Module, x_BCHW: Tensor, threads: int | None) -> Run:
    """ONNX Runtime on the CPU in 8-bit integers. Noise is what it is calibrated with: scales do not change the time."""
    import torch

    graph = to_onnx(model, x_BCHW, any_batch=False)
    noise = torch.randn(x_BCHW.shape, generator=torch.Generator().manual_seed(0))
    return run_onnx(quantize(graph, [noise.numpy()]).SerializeToString(), x_BCHW.numpy(), threads)


def openvino(model: nn.Module, x_BCHW: Tensor, threads: int | None) -> Run:
    """OpenVINO on the CPU, in the precision that it chooses there: float32, or bfloat16 where the CPU has it."""
    import openvino

    core = openvino.Core()
    graph = core.read_model(to_onnx(model, x_BCHW, any_batch=False).SerializeToString())
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    images = x_BCHW.numpy()
    return lambda: request.infer({"images": images})


def _of_package(name: str) -> Callable[[], str]:
    return lambda: f"{name} {version(name)}"


RUNTIMES: Registry[Runtime] = Registry("runtime", "nas.runtimes", NasError)
"""What can run a network when it is timed, by name."""
for _runtime in (
    EAGER,
    Runtime(
        "compile", "torch.compile, which takes a minute for each network", compiled, torch_version, ("cpu", "cuda")
    ),
    Runtime("onnx", "ONNX Runtime on the CPU", onnx, _of_package("onnxruntime"), packages=ONNX, extra="onnx"),
    Runtime(
        "onnx-int8",
        "ONNX Runtime on the CPU, in 8-bit integers",
        int8,
        _of_package("onnxruntime"),
        packages=ONNX,
        extra="onnx",
    ),
    Runtime(
        "openvino",
        "OpenVINO on the CPU",
        openvino,
        _of_package("openvino"),
        packages=(*ONNX, "openvino"),
        extra="openvino",
    ),
):
    RUNTIMES.add(_runtime.name, _runtime)
