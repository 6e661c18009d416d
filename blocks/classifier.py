"""Classifier head: a feature map becomes one value per class.

Flattening keeps where a feature was seen and costs weights for every position (Simonyan and Zisserman 2015, section
2.1); averaging forgets it and fits maps of any size (Lin et al. 2014, section 3.2). Dropout: Srivastava et al. 2014.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from blocks.base import OneOf, Range, Shape, block
from blocks.common import Rate


@block(
    "classifier",
    source="Simonyan and Zisserman 2015, section 2.1; Lin et al. 2014, Network in Network, section 3.2",
    link="https://arxiv.org/abs/1312.4400",
)
class Classifier(nn.Module):
    """x (B, C, H, W) -> (B, classes)

    Flattens the map or averages it over its positions, then dropout and a linear layer. Where `hidden` is not 0,
    dropout, a linear layer of that width and ReLU come first.
    """

    def __init__(
        self,
        in_shape: Shape,
        classes: int,
        *,
        pool: Annotated[str, OneOf("average", "flatten"), "how the map becomes a vector"] = "average",
        dropout: Rate = 0.0,
        hidden: Annotated[int, Range(0, 8192, (0, 1, 24)), "units of a layer before the last; 0 for none"] = 0,
    ) -> None:
        super().__init__()
        channels, height, width = in_shape
        self.average = pool == "average"
        features = channels if self.average else channels * height * width
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Dropout(dropout), nn.Linear(features, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(hidden or features, classes))

    def forward(self, x: Tensor) -> Tensor:
        features_BF = x.mean((2, 3)) if self.average else x.flatten(1)
        y: Tensor = self.layers(features_BF)
        return y
