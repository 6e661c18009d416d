"""From a folder of photos to a network to use: references trained beside a search, and the choice among all."""

from __future__ import annotations

from typing import Final

REFERENCES: Final = {"resnet8": "ResNet-8", "resnet20": "ResNet-20", "mobile": "MobileNetV2, small"}
"""Families of `search_spaces/plain.yaml`, by name, as people know them."""
FINE_TUNED: Final = {"efficientnet_lite0": "EfficientNet-Lite0, fine-tuned", "resnet18": "ResNet-18, fine-tuned"}
"""Published networks that are references too, whole, where their trained weights are at hand. Any other published config that names
weights can be asked for by its name."""


def caption_of(name: str) -> str:
    """A reference, as people know it."""
    return REFERENCES.get(name) or FINE_TUNED.get(name) or f"{name}, fine-tuned"
