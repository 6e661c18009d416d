"""From a folder of photos to a network to use: references trained beside a search, and the choice among all."""

from __future__ import annotations

from typing import Final

REFERENCES: Final = {"resnet8": "ResNet-8", "resnet20": "ResNet-20", "mobile": "MobileNetV2, small"}
"""Families of `search_spaces/plain.yaml`, by name, as people know them."""
