"""A published network for tests, with weights in a file, and a space of what can be made of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from nas.architecture.compile import compile_model
from nas.space.published import PublishedConfig

SPACE = """\
name: parts
input: [3, 16, 16]
pretrained: {config}
graphs:
  body:
    stem: {{block: conv, channels: 8, stride: 2}}
    first: {{block: basic_residual, repeat: {{choose: [1, 2]}}}}
    more: {{graph: more, present: {{choose: [true, false]}}}}
  more:
    second: {{block: basic_residual, channels: {{choose: [16, 12]}}, stride: 2}}
graph:
  network: {{graph: body}}
  head: {{block: classifier}}
"""

CONFIG = """\
name: whole
title: A network for tests
paper: Nobody et al., On nothing
space: {space}
data: digits
input: [3, 16, 16]
classes: 7
pretrained: {weights}
mean: [0.25, 0.5, 0.75]
std: [0.5, 0.5, 0.5]
claims: [{{metric: accuracy, value: 50.0, unit: '%', table: Table 1}}]
assignment: {{network.first.repeat: 2, network.more.present: true, network.more.second.channels: 16}}
assumptions: ['Everything: there is no paper.']
"""


def write_files(folder: Path) -> tuple[Path, Path, Path]:
    """Space, published config and weights, in files of their own."""
    space, config, weights = folder / "parts.yaml", folder / "whole.yaml", folder / "weights.pth"
    space.write_text(SPACE.format(config=config))
    config.write_text(CONFIG.format(space=space, weights=f"file:{weights}"))
    torch.manual_seed(7)
    model = compile_model(PublishedConfig.load(config).architecture(), (3, 16, 16), 7)
    # Other names than ours, as the file of somebody else has.
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key, _ in _state(model)))
    foreign = {
        f"layer{modules.index(key.rpartition('.')[0])}.{key.rpartition('.')[2]}": tensor
        for key, tensor in _state(model)
    }
    torch.save(foreign, weights)
    return space, config, weights


def whole(config: Path) -> dict[str, Tensor]:
    """The network of the config, filled as `write_files` did, by its own names."""
    torch.manual_seed(7)
    return dict(_state(compile_model(PublishedConfig.load(config).architecture(), (3, 16, 16), 7)))


def _state(model: torch.nn.Module) -> list[tuple[str, Tensor]]:
    return list(model.state_dict().items())
