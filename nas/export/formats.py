"""Each format is one function that writes a model and checks that what it wrote computes the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nas.errors import ExportError
from nas.export.onnx_graph import export_onnx
from nas.export.writing import (
    BATCHES,
    Exported,
    dynamic_batch,
    first_line,
    quiet,
    random_images,
    whole,
    worst_difference,
)
from nas.plugins.packages import ONNX
from nas.plugins.registry import Registry

if TYPE_CHECKING:
    # The help of `nas export` lists formats without these.
    from torch import nn

    from nas.export.python import Notes
    from nas.network.weights import Card

TORCH_TOLERANCE = 1e-5
"""Largest difference, as a share of the largest logit, or of 1 where all are smaller."""


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
    packages: tuple[str, ...] = ()
    """What it needs beside PyTorch …"""
    extra: str = ""
    """… and the extra of nas that has them."""


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
    with whole(path) as part:
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
    with whole(beside) as part:
        part.write_text(text, encoding="utf-8")
    return Exported((path, beside), f"{len(model.state_dict())} tensors")


def export_torch(model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
    """A graph of PyTorch operations (torch.export), for batches of any size."""
    import torch

    x_BCHW = random_images(card, 2)
    try:
        with quiet():
            program = torch.export.export(model, (x_BCHW,), dynamic_shapes=dynamic_batch())
    except Exception as problem:  # whatever a tracer meets in a block
        raise ExportError(f"torch.export cannot trace this network: {first_line(problem)}") from problem
    with whole(path) as part, quiet():
        torch.export.save(program, part)
        loaded = torch.export.load(part).module()
        worst = worst_difference(model, card, lambda x: loaded(x).detach())
        if worst > TORCH_TOLERANCE:
            raise ExportError(f"{path}: differs from the model by {worst:.1e} of its largest logit")
    return Exported((path,), f"equal to {worst:.0e} at batch sizes {' and '.join(map(str, BATCHES))}")


EXPORTERS.add("python", Exporter(export_python, ".py", "one readable file of plain PyTorch that needs nothing of nas"))
EXPORTERS.add(
    "onnx", Exporter(export_onnx, ".onnx", "an ONNX graph, any batch size, checked with onnxruntime", ONNX, "onnx")
)
EXPORTERS.add("torch", Exporter(export_torch, ".pt2", "a torch.export program (.pt2), any batch size"))
EXPORTERS.add(
    "state-dict",
    Exporter(export_state_dict, ".safetensors", "weights in safetensors, architecture as JSON beside them"),
)
