"""Layers of timm as blocks: found by their names, counted, computed as timm does, and refused where they cannot be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from blocks import BLOCKS, ShapeError, measure
from nas.architecture.compile import compile_model
from nas.errors import ExportError
from nas.export import EXPORTERS
from nas.export.python import Notes, to_python
from nas.network.weights import Card
from nas.space.space import Space

timm_layers = pytest.importorskip("blocks.extras.timm_layers", reason="needs timm (pip install 'nas-attn-cnn[timm]')")

SPACE = {
    "name": "of_timm",
    "input": [3, 16, 16],
    "graph": {
        "stem": {"block": "conv", "channels": 16},
        "stage": {"block": {"choose": ["timm:ConvNeXtBlock", "timm:EdgeResidual"]}, "stride": 2, "channels": "x2"},
        "gate": {"block": {"choose": ["timm:eca", "identity"]}},
        "head": {"block": "classifier"},
    },
}


OF_TIMM = {name: block for name, block in BLOCKS.items() if name.startswith("timm:")}
for _name in OF_TIMM:  # they are there for the tests of this file alone
    BLOCKS.remove(_name)


@pytest.fixture(autouse=True, scope="module")
def known() -> Iterator[None]:
    """The blocks of timm."""
    for name, block in OF_TIMM.items():
        BLOCKS.add(name, block)
    yield
    for name in OF_TIMM:
        BLOCKS.remove(name)


@pytest.mark.parametrize("name", timm_layers.LAYERS)
def test_each_value_of_each_hyperparameter_is_built_counted_and_run(name: str) -> None:
    block = BLOCKS[f"timm:{name}"]
    defaults = {key: one.default for key, one in block.hyperparameters.items()}
    choices = [
        (key, value) for key, one in block.hyperparameters.items() for value in getattr(one.allowed, "values", ())
    ]
    for key, value in [*choices, ("", 0)]:
        params = defaults | ({key: value} if key else {})
        found = measure(block.name, tuple(sorted(params.items())), ((16, 8, 8),), 10)
        module = block.make(params, ((16, 8, 8),), 10).eval()
        with torch.no_grad():
            assert module(torch.rand(2, 16, 8, 8)).shape[1:] == found.out_shape
        assert found.parameters == sum(one.numel() for one in module.parameters())
    if "channels" in defaults:
        wide = {**defaults, "channels": 32} | ({"stride": 2} if "stride" in defaults else {})
        assert measure(block.name, tuple(sorted(wide.items())), ((16, 8, 8),), 10).out_shape == (32, 4, 4)


def test_a_space_has_them_and_an_export_says_what_it_lacks() -> None:
    space = Space.from_dict(SPACE)
    assert space.size == 4
    network = space.from_assignment({"stage.block": "timm:ConvNeXtBlock", "gate.block": "timm:eca"})
    assert compile_model(network, (3, 16, 16), 10)(torch.rand(2, 3, 16, 16)).shape == (2, 10)
    with pytest.raises(ExportError, match="uses the package 'timm'; only blocks of plain PyTorch"):
        to_python(network, (3, 16, 16), 10, Notes("a"))
    with pytest.raises(ShapeError, match="gives 32 channels of 16 where its stride is 2 alone"):
        BLOCKS["timm:ConvNeXtBlock"].make({"channels": 32}, ((16, 8, 8),), 10)


@pytest.mark.parametrize("name", ["eca", "ConvNeXtStage"])
def test_a_layer_and_a_stage_go_to_other_formats_and_compute_the_same_there(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (pip install 'nas-attn-cnn[onnx]')")
    space = Space.from_dict(
        {
            "name": "one_of_timm",
            "input": [3, 16, 16],
            "graph": {
                "stem": {"block": "conv", "channels": 8},
                "inner": {"block": f"timm:{name}"},
                "head": {"block": "classifier"},
            },
        }
    )
    network = space.from_assignment({})
    model, x = compile_model(network, (3, 16, 16), 4).eval(), torch.rand(3, 3, 16, 16)
    for format, ending in (("onnx", "onnx"), ("torch", "pt2")):
        card, path = Card(network, (3, 16, 16), 4), tmp_path / f"network.{ending}"
        EXPORTERS[format].write(model, card, Notes(name), path, trained=False)
    with torch.no_grad():
        wanted = model(x)
        torch.testing.assert_close(torch.export.load(tmp_path / "network.pt2").module()(x), wanted)
    (found,) = onnxruntime.InferenceSession(tmp_path / "network.onnx").run(None, {"images": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_without_timm_a_line_names_the_extra() -> None:
    code = (
        "import importlib.util, sys\nfind = importlib.util.find_spec\n"
        "import nas.plugins.packages as packages\n"
        "packages.find_spec = lambda name: None if name == 'timm' else find(name)\n"
        "from nas.cli import main\nmain(['blocks', 'timm:eca'])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == ("nas: error: a block of timm needs the package timm: pip install 'nas-attn-cnn[timm]'\n")
