"""Each format is one function that writes a model and checks that what it wrote computes the same."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ExportError
from nas.export.checking import check_python
from nas.export.python import Notes, to_python
from nas.network.weights import Card, save_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

TORCH_TOLERANCE = 1e-5
ONNX_TOLERANCE = 1e-4
"""Of the largest logit, or of 1 where all are smaller."""
OPSET = 18
BATCHES = (1, 5)
"""Sizes of the batches that a file is checked with; neither is the one it was traced with."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked."""

    files: tuple[Path, ...]
    check: str


def export_python(model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
    """A file of plain PyTorch; trained weights lie beside it. Checked bit for bit in a Python process of its own."""
    text = to_python(card.architecture, card.input, card.classes, notes)
    with _whole(path) as part:
        part.write_text(text, encoding="utf-8")
        check_python(part, model, card.input)
    files = [path]
    if trained:
        files.append(path.with_suffix(".safetensors"))
        save_weights(files[1], model, card)
    return Exported(tuple(files), "bit-identical to this model in a Python process without nas")


def export_state_dict(model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
    """Weights in safetensors, with the architecture in its header and as JSON beside it."""
    save_weights(path, model, card)
    beside = path.with_suffix(".json")
    text = json.dumps(card.to_dict(), indent=2) + "\n"
    with _whole(beside) as part:
        part.write_text(text, encoding="utf-8")
    return Exported((path, beside), f"{len(model.state_dict())} tensors")


def export_torch(model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
    """A graph of PyTorch operations (torch.export), for batches of any size."""
    import torch

    x_BCHW = _images(card, 2)
    try:
        with _quiet():
            program = torch.export.export(model, (x_BCHW,), dynamic_shapes=_dynamic())
    except Exception as problem:  # whatever a tracer meets in a block
        raise ExportError(f"torch.export cannot trace this network: {_first_line(problem)}") from problem
    with _whole(path) as part, _quiet():
        torch.export.save(program, part)
        loaded = torch.export.load(part).module()
        worst = _compare(model, card, lambda x: loaded(x).detach())
        if worst > TORCH_TOLERANCE:
            raise ExportError(f"{path}: differs from the model by {worst:.1e} of its largest logit")
    return Exported((path,), f"equal to {worst:.0e} at batch sizes {' and '.join(map(str, BATCHES))}")


def export_onnx(model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
    """An ONNX graph for batches of any size, images as `images`, what comes out as `logits`. Checked with onnxruntime."""
    import torch

    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as problem:
        raise ExportError(f"--format onnx needs the package {problem.name}: pip install 'nas-attn-cnn[onnx]'") from None
    x_BCHW = _images(card, 2)
    try:
        with _quiet(), redirect_stdout(sys.stderr):  # older onnxscript prints what it did where our JSON stands
            program = torch.onnx.export(
                model,
                (x_BCHW,),
                dynamo=True,
                dynamic_shapes=_dynamic(),
                input_names=["images"],
                output_names=["logits"],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as problem:  # whatever a tracer meets in a block
        raise ExportError(f"torch.onnx cannot translate this network: {_first_line(problem)}") from problem
    assert program is not None
    proto = program.model_proto
    for key, value in {"nas": json.dumps(card.to_dict()), "trained": str(trained).lower()}.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    with _whole(path) as part:
        onnx.save(proto, part)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])

        def run(x: Tensor) -> Tensor:
            (logits,) = session.run(["logits"], {"images": x.numpy()})
            return torch.from_numpy(logits)

        worst = _compare(model, card, run)
        if worst > ONNX_TOLERANCE:
            raise ExportError(f"{path}: onnxruntime differs from the model by {worst:.1e} of its largest logit")
    return Exported((path,), f"onnxruntime equal to {worst:.0e} at batch sizes {' and '.join(map(str, BATCHES))}")


Writer = Callable[..., Exported]

FORMATS: dict[str, tuple[Writer, str]] = {
    "python": (export_python, ".py"),
    "onnx": (export_onnx, ".onnx"),
    "torch": (export_torch, ".pt2"),
    "state-dict": (export_state_dict, ".safetensors"),
}
"""What a network can be written as, and the ending of its file."""


def _dynamic() -> tuple[dict[int, Any], ...]:
    from torch.export import Dim

    return ({0: Dim("batch", min=1)},)


def _images(card: Card, batch: int) -> Tensor:
    import torch

    generator = torch.Generator().manual_seed(batch)
    return torch.randn(batch, *card.input, generator=generator)


def _compare(model: nn.Module, card: Card, run: Callable[[Tensor], Tensor]) -> float:
    """Largest difference of the logits, as a share of the largest of them or of 1."""
    import torch

    worst = 0.0
    for batch in BATCHES:
        x_BCHW = _images(card, batch)
        with torch.no_grad():
            wanted = model(x_BCHW)
        found = run(x_BCHW)
        if found.shape != wanted.shape:
            raise ExportError(f"a batch of {batch} images gives {list(found.shape)}, not {list(wanted.shape)}")
        difference = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1))
        worst = max(worst, difference if difference == difference else float("inf"))  # NaN is never less than a bound
    return worst


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside `path` that becomes it when the block ends well, and goes when it does not."""
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        part.replace(path)
    except OSError as problem:
        raise ExportError(f"{path}: cannot be written: {problem.strerror or problem}") from None
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    # The exporters tell of their own insides, such as operators that torchvision lacks here.
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0] if lines else type(problem).__name__
