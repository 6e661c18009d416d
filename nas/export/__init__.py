"""A network to take away: a file of plain PyTorch, ONNX, torch.export, or its weights with a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import ExportError
from nas.export.formats import EXPORTERS
from nas.export.writing import Exported
from nas.objectives import ACCURACY
from nas.text.formatting import metric_text, words

if TYPE_CHECKING:
    from nas.network.load import Trained
    from nas.network.lookup import Network

__all__ = ["EXPORTERS", "Exported", "export"]


def export(
    network: Network, trained: Trained, format: str, path: Path | None = None, *, features: bool = False
) -> Exported:
    """Writes the network in one of the formats of `EXPORTERS` to `path`, by default in this folder, and checks what was written.

    `features`: a Python file has a class that returns the maps of every stage too.

    Raises ExportError when it cannot be written so, or what was written computes something else.
    """
    from nas.export.python import Notes

    exporter = EXPORTERS.find(format)
    if path is None:
        path = Path(network.stem + exporter.ending)
    if path.suffix.lower() != exporter.ending:
        endings = ", ".join(f"{other.ending} ({name})" for name, other in EXPORTERS.items())
        raise ExportError(f"{path}: a file of format {format} ends with {exporter.ending}; there are {endings}")
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
        trained.type,
        features,
    )
    return exporter.write(trained.model, trained.card, notes, path, trained=has_weights)


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
    if network.searched is not None:
        searched = metric_text(network.metric, network.searched)
        lines.append(f"Validation {words(network.metric)} in the search: {searched}{data}.")
    metric = str(facts.get("metric", ACCURACY.name))
    tested = facts.get(f"test_{metric}")
    if isinstance(tested, float) and trained.weights is not None:
        lines.append(f"Test {words(metric)} of the weights: {metric_text(metric, tested)}{data}.")
    lines.append(f"Architecture {network.architecture.hash}.")
    return lines
