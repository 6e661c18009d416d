"""The objectives of a search: their directions, units, labels, and the scales on which hypervolume is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

COSTS = ("parameters", "macs", "activation_bytes")
"""What a constraint may bound."""

OBJECTIVES = ("accuracy", *COSTS, "latency")
"""Accuracy is maximized, costs and latency (milliseconds for one image) are minimized."""

MAXIMIZED = frozenset({"accuracy"})
"""Objectives of which more is better; of all others less is."""

SCALES = {"parameters": 9.0, "macs": 12.0, "activation_bytes": 12.0, "latency": 12.0}
"""The power of ten that counts as 1 when hypervolume is computed: a fixed scale, so that values of two studies compare."""

UNITS = {"latency": 1e6}
"""What a value is multiplied with before: latency comes in milliseconds, and below 1 a logarithm is cut off."""

LABELS: Final = {
    "parameters": "parameters",
    "macs": "multiply-accumulates for one image",
    "activation_bytes": "peak activation bytes for one image",
    "latency": "latency in milliseconds for one image",
}

DIRECTIONS: Final[Mapping[str, Literal["minimize", "maximize"]]] = {
    "accuracy": "maximize",
    "parameters": "minimize",
    "macs": "minimize",
    "activation_bytes": "minimize",
    "latency": "minimize",
}
"""What a study may optimize, and which way is better."""
