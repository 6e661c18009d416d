"""The objectives of a search: one row for each, and what follows from the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Known = Literal["learned", "exact", "measured"]
"""How a value is known: by training, exactly from the graph, or measured before the training."""


@dataclass(frozen=True)
class Objective:
    """What a study may optimize."""

    name: str
    direction: Literal["minimize", "maximize"]
    known: Known
    label: str
    """On an axis."""
    short: str
    """Where there is little room; the unit stands in it."""
    columns: tuple[str, ...]
    """How tables of others call it, the likeliest first."""
    power: float = 0.0
    """The power of ten that counts as 1 when hypervolume is computed: a fixed scale, so that values of two studies compare."""
    factor: float = 1.0
    """What a value is multiplied with before: below 1 a logarithm is cut off."""
    least: float = 1.0
    """The smallest value that a logarithmic axis shows."""

    @property
    def is_maximized(self) -> bool:
        """Whether more is better."""
        return self.direction == "maximize"


_ROWS = (
    Objective(
        "accuracy",
        "maximize",
        "learned",
        "accuracy on validation images",
        "validation accuracy (0 to 1)",
        ("accuracy", "mean_acc", "test_acc", "test_accuracy", "val_acc", "valid_acc", "acc"),
    ),
    Objective("parameters", "minimize", "exact", "parameters", "parameters", ("parameters", "params"), power=9.0),
    Objective(
        "macs",
        "minimize",
        "exact",
        "multiply-accumulates (MACs) for one image",
        "MACs for one image",
        ("macs", "flops"),  # others call multiply-accumulates FLOPs
        power=12.0,
    ),
    Objective(
        "activation_bytes",
        "minimize",
        "exact",
        "peak activation bytes for one image",
        "peak activations for one image (bytes)",
        ("activation_bytes",),
        power=12.0,
    ),
    Objective(
        "latency",
        "minimize",
        "measured",
        "latency in milliseconds for one image",
        "latency of one image (ms)",
        ("latency", "latency_ms"),
        power=12.0,
        factor=1e6,  # nanoseconds
        least=1e-6,
    ),
)
OBJECTIVES: Final = {row.name: row for row in _ROWS}
"""Every objective by its name."""
COSTS: Final = tuple(row.name for row in _ROWS if row.known == "exact")
"""What a constraint may bound: the costs that are known exactly before a training."""
MAXIMIZED: Final = frozenset(row.name for row in _ROWS if row.is_maximized)
"""Objectives of which more is better; of all others less is."""
