"""An exported backbone: the maps of every stage, with the weights of the network, as timm's conventions have them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from nas.architecture.architecture import Architecture
from nas.export.python import Notes, to_python
from nas.space.published import PublishedConfig
from tests.conftest import Run
from tests.export.networks import random_points, warmed

INPUT = (3, 32, 32)


def _networks() -> list[Architecture]:
    return [
        *(PublishedConfig.load(name).architecture() for name in ("banbury_resnet8", "kong_aim_cam")),
        *random_points("attn_cnn", 2),
    ]


@pytest.mark.parametrize("number", range(4))
def test_maps_are_those_inside_the_network(number: int, tmp_path: Path) -> None:
    architecture = _networks()[number]
    model, path = warmed(architecture, INPUT, 10), tmp_path / f"backbone_{number}.py"
    path.write_text(to_python(architecture, INPUT, 10, Notes("a", features=True)))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    backbone = module.Features()
    backbone.load_state_dict(model.state_dict())
    inside: dict[str, torch.Tensor] = {}
    for entry in backbone.feature_info:
        name = entry["module"]
        model.get_submodule(name).register_forward_hook(
            lambda module, given, out, name=name: inside.__setitem__(name, out)
        )
    x = torch.randn(2, 3, 64, 64) if number == 0 else torch.randn(2, *INPUT)
    with torch.no_grad():
        maps = backbone.eval()(x)
        model(x)
    assert all(
        torch.equal(found, inside[one["module"]]) for found, one in zip(maps, backbone.feature_info, strict=True)
    )
    assert [found.shape[1] for found in maps] == backbone.feature_info.channels()
    assert [round(x.shape[2] / found.shape[2]) for found in maps] == backbone.feature_info.reduction()
    assert backbone.feature_info.reduction() == sorted(set(backbone.feature_info.reduction()))


def test_the_command_writes_them_and_other_formats_have_none(run: Run, tmp_path: Path) -> None:
    code, _, err = run("export", "banbury_resnet8", "--features", "--format", "state-dict")
    assert code == 2
    assert "--features: is a form of --format python, not of state-dict" in err
    code, _, err = run("export", "banbury_resnet8", "--features", "-o", "backbone.py")
    assert code == 0, err
    assert "class Features(Network)" in (tmp_path / "backbone.py").read_text()
