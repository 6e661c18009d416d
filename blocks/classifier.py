"""Classifier head: a feature map becomes one value per class."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.base import OneOf, Range, Shape, block


@block("classifier", source="Simonyan and Zisserman 2015 (flatten); Lin et al. 2014, Network in Network, section 3.2 (average)")
class Classifier(nn.Module):
    """x (B, C, H, W) -> (B, classes)

    Flattens the map or averages it over its positions, then dropout and one linear layer.
    """

    def __init__(
        self,
        in_shape: Shape,
        classes: int,
        *,
        pool: Annotated[str, OneOf("average", "flatten")] = "average",
        dropout: Annotated[float, Range(0.0, 0.9, (0.0, 0.4, 0.9))] = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = in_shape
        self.pool = nn.AdaptiveAvgPool2d(1) if pool == "average" else nn.Identity()
        features = channels if pool == "average" else channels * height * width
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.dropout(self.pool(x).flatten(1)))
