"""Networks in 8-bit integers: what is written is run and measured beside float32, kept, and refused where there are no images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.data import Task, load
from nas.errors import ExportError
from nas.export.int8 import INT8_ACCURACY, Quantized, export_int8, keep, write_int8
from nas.export.int8 import kept as read
from nas.network.load import Trained
from nas.network.lookup import Network, find_network
from nas.network.weights import Card, save_weights
from nas.store import Store
from tests.conftest import Run
from tests.export.networks import around, warmed

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (pip install 'nas-attn-cnn[onnx]')")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Quantized, Trained]:
    folder = tmp_path_factory.mktemp("int8")
    dataset = load(Task("digits", image_size=8))
    architecture = around("conv")
    model = warmed(architecture, dataset.input, 10)
    card = Card(architecture, dataset.input, 10, dataset.class_names, dataset.mean, dataset.std)
    weights = folder / "w.safetensors"
    save_weights(weights, model, card)
    # The labels are what the network itself says, so that in float32 all are right.
    x = dataset.validation.x
    scaled = torch.from_numpy(x).float() / 255
    with torch.no_grad():
        answers = model((scaled - dataset.mean[0]) / dataset.std[0]).argmax(1).numpy()
    test = type(dataset.validation)(x, answers)
    trained = Trained(model, card, weights, "")
    _, found = write_int8(trained, dataset, test, folder / "network.onnx")
    return folder / "network.onnx", found, trained


def test_both_are_measured_on_the_same_images(written: tuple[Path, Quantized, Trained]) -> None:
    path, found, _ = written
    assert (found.metric, found.before) == ("accuracy", 1.0)
    assert 0.9 <= found.after <= 1.0
    assert found.calibration == 256
    assert found.bytes_after == path.stat().st_size
    assert f"on {found.images} test images" in found.sentence()
    import onnx

    graph = onnx.load(path)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.graph.node}
    weights = [tensor for tensor in graph.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    assert any(len(tensor.dims) == 1 and tensor.dims[0] > 1 for tensor in weights), "a scale for each channel"
    assert {entry.key for entry in graph.metadata_props} >= {"nas", "trained", "int8"}


def test_batches_of_any_size_run(written: tuple[Path, Quantized, Trained]) -> None:
    path, _, trained = written
    session = onnxruntime.InferenceSession(path)
    x = np.random.default_rng(0).normal(size=(5, *trained.card.input)).astype(np.float32)
    (whole,) = session.run(None, {"images": x})
    for place in range(5):
        np.testing.assert_allclose(session.run(None, {"images": x[place : place + 1]})[0][0], whole[place], atol=1e-4)


def test_what_was_measured_is_kept(written: tuple[Path, Quantized, Trained], tmp_path: Path) -> None:
    _, found, trained = written
    url = f"sqlite:///{tmp_path / 'nas.db'}"
    published = find_network("banbury_resnet8")
    network = Network("a", trained.card.architecture, trained.card.input, 10, published.cost, study="s")
    with Store.open(url, create=True) as store:
        keep(found, network, trained, url)
        (kept,) = store.readings(trained.card.architecture.hash, INT8_ACCURACY)
    assert kept.value == found.after
    assert (kept.settings["float32"], kept.settings["test_images"]) == (1.0, found.images)
    assert kept.version.startswith("onnxruntime ")
    assert read(kept) == found
    assert read(replace(kept, settings={"metric": "accuracy"})) is None


def test_without_images_or_weights_it_is_refused(
    run: Run, tmp_path: Path, written: tuple[Path, Quantized, Trained]
) -> None:
    code, _, err = run("export", "banbury_resnet8", "--int8")
    assert code == 2
    assert "--int8 needs images to calibrate with, and they come from the study of a trial" in err
    code, _, err = run("export", "banbury_resnet8", "--int8", "--format", "python")
    assert code == 2
    assert "is a form of --format onnx, not of python" in err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ExportError, match="needs images"):
        export_int8(find_network("banbury_resnet8"), written[2], tmp_path / "a.onnx")
