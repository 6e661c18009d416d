"""ONNX that takes photos as bytes: what stands in the graph does what training did to its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import read_image
from nas.errors import ExportError
from nas.export.onnx_graph import export_onnx
from nas.export.preprocessing import add_preprocessing
from nas.export.python import Notes
from nas.network.weights import Card
from tests.export.networks import around, warmed

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (pip install 'nas-attn-cnn[onnx]')")

SHAPE, MEAN, STD = (3, 16, 12), (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


def test_photos_of_any_size_give_what_nas_gives(tmp_path: Path) -> None:
    architecture, path = around("conv"), tmp_path / "network.onnx"
    model, card = warmed(architecture, SHAPE, 7), Card(architecture, SHAPE, 7, (), MEAN, STD)
    export_onnx(model, card, Notes("a"), path, trained=True)
    check = add_preprocessing(path, card, "any")
    assert "takes bytes (B, H, W, 3) of images of any size" in check
    rng = np.random.default_rng(0)
    session = onnxruntime.InferenceSession(path)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
    for height, width in ((16, 12), (50, 31), (20, 64)):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        photo = coarse.resize((width, height), Image.Resampling.BICUBIC)
        photo.save(tmp_path / "photo.png")
        (logits,) = session.run(["logits"], {"images": np.asarray(photo)[None]})
        x = (torch.from_numpy(read_image(tmp_path / "photo.png", SHAPE).copy()).float() / 255 - mean) / std
        with torch.no_grad():
            wanted = model(x[None])
        # Pillow rounds to bytes, and cuts before it resizes.
        torch.testing.assert_close(torch.from_numpy(logits), wanted, rtol=0.05, atol=0.05)


def test_without_the_scale_of_images_it_is_refused(tmp_path: Path) -> None:
    architecture = around("conv")
    with pytest.raises(ExportError, match="--preprocess needs to know how images are scaled"):
        add_preprocessing(tmp_path / "a.onnx", Card(architecture, SHAPE, 7), "fixed")
