"""Images as bytes into an ONNX graph: scaling, and resizing where they are of any size, stand in the graph itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from nas.errors import ExportError
from nas.export.writing import whole
from nas.plugins.packages import ONNX, require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

    from nas.network.weights import Card

FORMS: Final = {
    "fixed": "images of the size that the network was trained with",
    "any": "images of any size, resized in the graph: the shorter side fits, the longer one is cut at both ends",
}
"""What `nas export --preprocess` may be."""
INSIDE: Final = "scaled_images"
"""What the network took before, inside the graph."""
TOLERANCE: Final = 1e-3


def add_preprocessing(path: Path, card: Card, form: str) -> str:
    """Makes the ONNX file at `path` take `images` (B, H, W, C) as bytes, RGB or grey. Returns how it was checked.

    Raises ExportError where nobody knows how images are scaled, or what was written computes something else.
    """
    require("--preprocess", ONNX, "onnx", ExportError)
    import onnx
    import onnxruntime

    if not card.mean:
        raise ExportError(
            f"{path}: --preprocess needs to know how images are scaled, which trained weights say; these have none"
        )
    before = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    proto = _with_preprocessing(onnx.load(path), card, form)
    rng = np.random.default_rng(0)
    channels, height, width = card.input
    same = rng.integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    mean, std = (np.asarray(values, np.float32).reshape(1, -1, 1, 1) for values in (card.mean, card.std))
    (wanted,) = before.run(["logits"], {"images": (same.transpose(0, 3, 1, 2).astype(np.float32) / 255 - mean) / std})
    with whole(path) as part:
        onnx.save(proto, part)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        (found,) = session.run(["logits"], {"images": same})
        worst = float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))
        if not worst <= TOLERANCE:
            raise ExportError(f"{path}: with preprocessing it differs by {worst:.1e} of its largest logit")
        if form == "any":
            other = rng.integers(0, 256, (2, 2 * height + 3, 3 * width + 1, channels), dtype=np.uint8)
            (found,) = session.run(["logits"], {"images": other})
            if found.shape != (2, card.classes):
                raise ExportError(f"{path}: images of another size give {list(found.shape)}")
    return f"takes bytes (B, H, W, {channels}) of {FORMS[form]}; equal to {worst:.0e}"


def _with_preprocessing(proto: ModelProto, card: Card, form: str) -> ModelProto:
    from onnx import TensorProto, helper

    nodes, tensors = _steps(card, form)
    for node in proto.graph.node:
        for place, name in enumerate(node.input):
            if name == "images":
                node.input[place] = INSIDE
    kept = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *kept])
    proto.graph.initializer.extend(tensors)
    dim = proto.graph.input[0].type.tensor_type.shape.dim[0]
    batch = dim.dim_param or dim.dim_value
    channels, height, width = card.input
    sides = ["height", "width"] if form == "any" else [height, width]
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.UINT8, [batch, *sides, channels]))
    return proto


def _steps(card: Card, form: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """The nodes from `images` to what the network takes, and their constants."""
    from onnx import helper, numpy_helper

    mean, std = (np.asarray(values, np.float32).reshape(1, -1, 1, 1) * 255 for values in (card.mean, card.std))
    tensors = {"pixel_mean": mean, "pixel_std": std, "pixel_sides": np.asarray(card.input[1:], np.int64)}
    nodes = [
        helper.make_node("Transpose", ["images"], ["pixels_first"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["pixels_first"], ["pixels"], to=1),
    ]
    last = "pixels"
    if form == "any":
        nodes += [
            helper.make_node(
                "Resize",
                ["pixels", "", "", "pixel_sides"],
                ["resized"],
                mode="linear",
                antialias=1,
                axes=[2, 3],
                keep_aspect_ratio_policy="not_smaller",
                coordinate_transformation_mode="half_pixel",
            ),
            helper.make_node("CenterCropPad", ["resized", "pixel_sides"], ["cut"], axes=[2, 3]),
        ]
        last = "cut"
    else:
        del tensors["pixel_sides"]
    nodes += [
        helper.make_node("Sub", [last, "pixel_mean"], ["pixels_shifted"]),
        helper.make_node("Div", ["pixels_shifted", "pixel_std"], [INSIDE]),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
