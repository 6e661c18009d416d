"""A network as a backbone: the last map of each resolution, as timm's ``features_only`` gives them to detectors and segmenters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.errors import ExportError

NAMES: Final = ("FeatureInfo", "Features")
"""What no definition of a block may be called beside them."""

FEATURE_INFO = '''class FeatureInfo(list):
    """One entry for each map that `Features` returns, as timm has them."""

    def channels(self) -> list[int]:
        """Channels of the maps."""
        return [one["num_chs"] for one in self]

    def reduction(self) -> list[int]:
        """How many pixels of an image one of a map stands for, along a side."""
        return [one["reduction"] for one in self]
'''

FEATURES = '''class Features(Network):
    """x (B, {input}) -> maps (B, C, H, W), the last of each resolution, the largest first.

    It loads the same weights as Network.
    """

    feature_info = FeatureInfo(
        [
{info}
        ]
    )

    def forward(self, x: Tensor) -> list[Tensor]:
{forward}
'''


@dataclass(frozen=True)
class Stage:
    """The last map of one resolution."""

    node: str
    shape: Shape
    """(C, H, W)"""
    reduction: int


def stages_of(architecture: Architecture, shape_of: dict[str, Shape], input: Shape) -> list[Stage]:
    """The last map of each resolution, the largest first. Raises ExportError where a network has none."""
    last: dict[Shape, str] = {}
    for node in architecture.nodes:
        shape = shape_of[node.name]
        if len(shape) == 3 and max(shape[1:]) > 1:
            last[shape[1:]] = node.name
    names = set(last.values())
    ordered = [node.name for node in architecture.nodes if node.name in names]
    found = [Stage(name, shape_of[name], round(input[1] / shape_of[name][1])) for name in ordered]
    if not found:
        raise ExportError("--features: this network has no maps (C, H, W) to return")
    return sorted(found, key=lambda stage: stage.reduction)
