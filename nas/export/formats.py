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
from typing import TYPE_CHECKING, Any, Protocol

from nas.errors import ExportError
from nas.plugins.registry import Registry

if TYPE_CHECKING:
    # The help of `nas export` lists formats without these.
    from torch import Tensor, nn

    from nas.export.python import Notes
    from nas.network.weights import Card

TORCH_TOLERANCE = 1e-5
ONNX_TOLERANCE = 1e-4
"""Largest difference, as a share of the largest logit, or of 1 where all are smaller."""
OPSET = 18
BATCHES = (1, 5)
"""Sizes of the batches that a file is checked with; neither is the one it was traced with."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how it was checked."""

    files: tuple[Path, ...]
    check: str


class Write(Protocol):
    """Writes a model to a path, runs what it wrote, and compares; `trained`: whether its weights are more than random."""

    def __call__(self, model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
        """Raises ExportError when the model cannot be written so, or what was written computes something else."""


@dataclass(frozen=True)
class Exporter:
    """A format in which a network can be taken away."""

    write: Write
    ending: str
    """Ending of its file, with the dot."""
    about: str
    """What it is, in a few words, for the help."""


EXPORTERS: Registry[Exporter] = Registry("format", "nas.exporters", ExportError)
"""What a network can be written as, by name."""


def register_exporter(name: str, *, ending: str, about: str) -> Callable[[Write], Write]:
    """Adds a function that writes a network as the format `name`, in files that end with `ending`; `about` is for the help.

    ::

        @nas.register_exporter("shapes", ending=".txt", about="names and shapes of all tensors")
        def shapes(model, card, notes, path, *, trained):
            path.write_text("\\n".join(f"{name} {list(x.shape)}" for name, x in model.state_dict().items()))
            return nas.Exported((path,), f"{len(model.state_dict())} tensors")

    It is called with the model in evaluation mode, its card (architecture, shape of the images, names of classes: see
    `nas.network.weights.Card`), what the head of a file may say of it, the path, and whether its weights are trained. It says
    which files it wrote, and how it checked them.
    """

    def add(write: Write) -> Write:
        if not ending.startswith("."):
            raise ExportError(f"format '{name}': its ending begins with a dot, not {ending!r}")
        if other := next(
            (known for known, exporter in EXPORTERS.items() if exporter.ending == ending and known != name), None
        ):
            raise ExportError(f"format '{name}': files that end with {ending} are of format {other}")
        EXPORTERS.add(name, Exporter(write, ending, about), write)
        return write

    return add


def export_python(model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
    """A file of plain PyTorch; trained weights lie beside it. Checked bit for bit in a Python process of its own."""
    from nas.export.checking import check_python
    from nas.export.python import to_python
    from nas.network.weights import save_weights

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
    from nas.network.weights import save_weights

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


EXPORTERS.add("python", Exporter(export_python, ".py", "one readable file of plain PyTorch that needs nothing of nas"))
EXPORTERS.add("onnx", Exporter(export_onnx, ".onnx", "an ONNX graph, any batch size, checked with onnxruntime"))
EXPORTERS.add("torch", Exporter(export_torch, ".pt2", "a torch.export program (.pt2), any batch size"))
EXPORTERS.add(
    "state-dict",
    Exporter(export_state_dict, ".safetensors", "weights in safetensors, architecture as JSON beside them"),
)


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
