"""Grad-CAM against its equations, and what it shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nas.architecture.compile import compile_model
from nas.architecture.cost import shapes
from nas.errors import NasError
from nas.network.gradcam import grad_cam, last_feature_map, overlay
from nas.space.published import PublishedConfig


def test_grad_cam_is_the_papers_formula() -> None:
    architecture = PublishedConfig.load("kong_baseline").architecture()
    torch.manual_seed(0)
    model = compile_model(architecture, (3, 32, 32), 10)
    layer = last_feature_map(architecture, (3, 32, 32), 10)
    assert layer == "body.3.down"
    x_BCHW = torch.rand(3, 3, 32, 32)
    maps = grad_cam(model, layer, x_BCHW, torch.tensor([1, 5, 5]))
    assert maps.shape == (3, 32, 32)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())

    model.eval()
    kept = []
    model.get_submodule(layer).register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    logits = model(x_BCHW)
    for place, target in enumerate((1, 5, 5)):
        (gradient,) = torch.autograd.grad(logits[place, target], kept[0], retain_graph=True)
        weights = gradient[place].mean((1, 2))  # eq. 1
        raw = (weights[:, None, None] * kept[0][place]).sum(0).relu()  # eq. 2
        wanted = F.interpolate(raw[None, None], size=(32, 32), mode="bilinear", align_corners=False)[0, 0]
        wanted = wanted / wanted.max() if wanted.max() > 0 else wanted
        torch.testing.assert_close(maps[place], wanted.detach())


def test_a_network_without_a_map_is_said() -> None:
    architecture = PublishedConfig.load("kong_baseline").architecture()
    only_head = type(architecture)(architecture.nodes[-1:], architecture.output)
    alone = type(architecture.nodes[-1])("head", "classifier", architecture.nodes[-1].params, ("input",))
    with pytest.raises(NasError, match="no node of this network gives a feature map"):
        last_feature_map(type(only_head)((alone,), "head"), (3, 32, 32), 10)


def test_an_overlay_is_red_where_the_evidence_is() -> None:
    image = np.full((20, 30, 3), 128, dtype=np.uint8)
    heat = np.zeros((2, 2), dtype=np.float32)
    heat[0, 0] = 1.0
    mixed = overlay(image, heat)
    assert mixed.shape == image.shape
    assert mixed[0, 0, 0] > mixed[0, 0, 2]
    assert mixed[-1, -1, 2] > mixed[-1, -1, 0]


def test_a_map_of_enough_positions_is_preferred() -> None:
    architecture = PublishedConfig.load("kong_aim_cam").architecture()
    small = last_feature_map(architecture, (3, 32, 32), 10)
    large = last_feature_map(architecture, (3, 32, 32), 10, 16)
    shape_of = shapes(architecture, (3, 32, 32), 10)
    assert (shape_of[small][1:], shape_of[large][1:]) == ((2, 2), (4, 4))
    assert last_feature_map(architecture, (3, 32, 32), 10, 10_000) == small
