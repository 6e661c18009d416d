"""ONNX, torch.export and weights: what is written computes the same, for batches of any size."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nas.architecture.architecture import Architecture
from nas.errors import ExportError
from nas.export import EXPORTERS, Exported
from nas.export.formats import export_python, export_state_dict, export_torch
from nas.export.onnx_graph import export_onnx
from nas.export.python import Notes
from nas.network.weights import Card, read_weights
from tests.blocks.cases import BLOCKS
from tests.export.networks import SHAPE, around, everything, random_points, warmed

onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (pip install 'nas-attn-cnn[onnx]')")


def card(architecture: Architecture, shape: tuple[int, ...], classes: int) -> Card:
    return Card(architecture, shape, classes, facts={"trial": 3})


def run_onnx(path: Path, x: Tensor) -> Tensor:
    (logits,) = onnxruntime.InferenceSession(path).run(None, {"images": x.numpy()})
    return torch.from_numpy(np.asarray(logits))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library")


@pytest.mark.long
def test_a_network_of_every_block_with_torch_export(library: Path) -> None:
    architecture, shape = everything()
    assert set(architecture.blocks) == set(BLOCKS)
    model, path, x = warmed(architecture, shape), library / "all.pt2", torch.randn(4, *shape)
    with torch.no_grad():
        wanted = model(x)
    assert wanted.std() > 1e-2
    done = export_torch(model, card(architecture, shape, 7), Notes("all"), path, trained=False)
    assert done.check.startswith("equal to")
    torch.testing.assert_close(torch.export.load(path).module()(x), wanted)


@pytest.mark.slow
def test_a_network_of_every_block_in_onnx(library: Path) -> None:
    architecture, shape = everything()
    model, path, x = warmed(architecture, shape), library / "all.onnx", torch.randn(4, *shape)
    with torch.no_grad():
        wanted = model(x)
    export_onnx(model, card(architecture, shape, 7), Notes("all"), path, trained=False)
    for batch in (1, 2, 4):
        torch.testing.assert_close(run_onnx(path, x[:batch]), wanted[:batch], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_every_block_alone(name: str, tmp_path: Path) -> None:
    architecture = around(name)
    for format, exporter in EXPORTERS.items():
        if format != "python":  # tests/export/test_python.py has these at every value
            path = tmp_path / f"network{exporter.ending}"
            about = card(architecture, SHAPE, 7)
            done: Exported = exporter.write(warmed(architecture), about, Notes(name), path, trained=False)
            assert path in done.files


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_random_networks(number: int, tmp_path: Path) -> None:
    architecture = random_points("attn_cnn", 2)[number]
    model, about = warmed(architecture, (3, 32, 32), 10), card(architecture, (3, 32, 32), 10)
    export_onnx(model, about, Notes("a"), tmp_path / "network.onnx", trained=False)
    export_torch(model, about, Notes("a"), tmp_path / "network.pt2", trained=False)


def test_what_others_print_does_not_stand_among_results(
    library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export = torch.onnx.export

    def chatty(*arguments: Any, **options: Any) -> Any:
        print("Applied 90 of general pattern rewrite rules.")  # as onnxscript 0.6 does
        return export(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", chatty)
    architecture = around("conv")
    export_onnx(warmed(architecture), card(architecture, SHAPE, 7), Notes("a"), library / "chatty.onnx", trained=False)
    said = capsys.readouterr()
    assert said.out == ""
    assert "Applied 90" in said.err


def test_an_onnx_file_carries_its_card(library: Path) -> None:
    import onnx

    architecture = around("conv")
    path = library / "conv.onnx"
    export_onnx(warmed(architecture), card(architecture, SHAPE, 7), Notes("a"), path, trained=True)
    model = onnx.load(path)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["nas"])["hash"] == architecture.hash
    assert said["trained"] == "true"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_weights_with_an_architecture_beside_them(tmp_path: Path) -> None:
    architecture = around("aim")
    model = warmed(architecture)
    done = export_state_dict(model, card(architecture, SHAPE, 7), Notes("a"), tmp_path / "a.safetensors", trained=True)
    assert [path.name for path in done.files] == ["a.safetensors", "a.json"]
    state, read = read_weights(done.files[0])
    assert read is not None
    assert read.architecture == architecture
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert Architecture.from_json(json.dumps(json.loads(done.files[1].read_text())["architecture"])) == architecture


def test_python_with_weights_beside_it(tmp_path: Path) -> None:
    architecture = around("se")
    about = Card(architecture, SHAPE, 7, tuple("abcdefg"), (0.5,) * 3, (0.25,) * 3)
    notes = Notes("a", [], "a.safetensors", about.class_names, about.mean, about.std)
    done = export_python(warmed(architecture), about, notes, tmp_path / "a.py", trained=True)
    assert [path.name for path in done.files] == ["a.py", "a.safetensors"]
    text = done.files[0].read_text()
    assert 'load_file("a.safetensors")' in text
    assert "MEAN = (0.5, 0.5, 0.5)" in text
    assert read_weights(done.files[1])[1] == about


def test_onnx_without_its_packages_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = around("conv")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"pip install 'nas-attn-cnn\[onnx\]'") as problem:
        export_onnx(warmed(architecture), card(architecture, SHAPE, 7), Notes("a"), tmp_path / "a.onnx", trained=False)
    assert "onnxruntime" in str(problem.value)
    assert list(tmp_path.iterdir()) == []
