"""A network to take away: a file of plain PyTorch, ONNX, torch.export, or its weights with a card."""

from __future__ import annotations

from pathlib import Path

from nas.errors import ExportError, nearest
from nas.export.formats import FORMATS, Exported
from nas.export.python import Notes, to_python
from nas.network.load import Trained
from nas.network.lookup import Network

__all__ = ["FORMATS", "Exported", "Notes", "export", "to_python"]


def export(network: Network, trained: Trained, format: str, path: Path | None = None) -> Exported:
    """Writes the network in one of `FORMATS` to `path`, by default in this folder, and checks what was written.

    Raises ExportError when it cannot be written so, or what was written computes something else.
    """
    if format not in FORMATS:
        raise ExportError(f"no format '{format}'; there are {', '.join(FORMATS)}{nearest(format, FORMATS)}")
    write, ending = FORMATS[format]
    if path is None:
        path = Path(network.stem + ending)
    if path.suffix.lower() != ending:
        endings = ", ".join(f"{other} ({name})" for name, (_, other) in FORMATS.items())
        raise ExportError(f"{path}: a file of format {format} ends with {ending}; there are {endings}")
    if not path.absolute().parent.is_dir():
        raise ExportError(f"{path}: the folder {path.absolute().parent} does not exist")
    has_weights = trained.weights is not None
    notes = Notes(
        _title(network),
        _facts(network, trained),
        path.with_suffix(".safetensors").name if has_weights else None,
        trained.card.class_names,
        trained.card.mean,
        trained.card.std,
    )
    return write(trained.model, trained.card, notes, path, trained=has_weights)


def _title(network: Network) -> str:
    if network.study is not None and network.published is not None:
        return f"{network.published}, {network.title}."
    return f"{network.title[0].upper()}{network.title[1:]}." if network.study is not None else f"{network.title}."


def _facts(network: Network, trained: Trained) -> list[str]:
    cost = network.cost
    shape = "×".join(map(str, network.input))
    lines = [
        f"{cost.parameters:,} parameters, {cost.macs:,} multiply-accumulates for one image of {shape}, "
        f"{network.classes} classes."
    ]
    facts = trained.card.facts
    data = f" on {facts['data']}" if "data" in facts else ""
    if network.accuracy is not None:
        lines.append(f"Validation accuracy in the search: {network.accuracy:.2%}{data}.")
    if isinstance(facts.get("test_accuracy"), float) and trained.weights is not None:
        lines.append(f"Test accuracy of the weights: {facts['test_accuracy']:.2%}{data}.")
    lines.append(f"Architecture {network.architecture.hash}.")
    return lines
