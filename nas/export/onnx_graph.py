"""A network as an ONNX graph, checked with onnxruntime."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import ExportError
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
from nas.plugins.packages import ONNX, require

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import Tensor, nn

    from nas.export.python import Notes
    from nas.network.weights import Card

TOLERANCE = 1e-4
"""Largest difference, as a share of the largest logit, or of 1 where all are smaller."""
OPSET = 18


def to_onnx(model: nn.Module, x_BCHW: Tensor, *, any_batch: bool) -> ModelProto:
    """The graph of a model in evaluation mode, for batches like this one or of any size. Raises ExportError."""
    import torch

    try:
        with quiet(), redirect_stdout(sys.stderr):  # older onnxscript prints what it did where our JSON stands
            program = torch.onnx.export(
                model,
                (x_BCHW,),
                dynamo=True,
                dynamic_shapes=dynamic_batch() if any_batch else None,
                input_names=["images"],
                output_names=["logits"],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as problem:  # whatever a tracer meets in a block
        raise ExportError(f"torch.onnx cannot translate this network: {first_line(problem)}") from problem
    assert program is not None
    return program.model_proto


def export_onnx(model: nn.Module, card: Card, notes: Notes, path: Path, *, trained: bool) -> Exported:
    """An ONNX graph for batches of any size, images as `images`, what comes out as `logits`. Checked with onnxruntime."""
    import torch

    require("--format onnx", ONNX, "onnx", ExportError)
    import onnx
    import onnxruntime

    proto = to_onnx(model, random_images(card, 2), any_batch=True)
    for key, value in {"nas": json.dumps(card.to_dict()), "trained": str(trained).lower()}.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    with whole(path) as part:
        onnx.save(proto, part)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])

        def run(x: Tensor) -> Tensor:
            (logits,) = session.run(["logits"], {"images": x.numpy()})
            return torch.from_numpy(logits)

        worst = worst_difference(model, card, run)
        if worst > TOLERANCE:
            raise ExportError(f"{path}: onnxruntime differs from the model by {worst:.1e} of its largest logit")
    return Exported((path,), f"onnxruntime equal to {worst:.0e} at batch sizes {' and '.join(map(str, BATCHES))}")
