"""Hyperparameters of blocks: their names, the values they may take, and widths relative to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

Scalar = str | int | float | bool
MOST_CHANNELS: Final = 65_536


@dataclass(frozen=True)
class OneOf:
    """Allowed values: exactly these."""

    values: tuple[Scalar, ...]

    def __init__(self, *values: Scalar) -> None:
        object.__setattr__(self, "values", values)

    def allows(self, value: object) -> bool:
        """Whether `value` is one of them; True is not 1."""
        return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in self.values)

    @property
    def examples(self) -> tuple[Scalar, ...]:
        """Every allowed value."""
        return self.values

    def __str__(self) -> str:
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """Allowed values: numbers from `low` to `high`, both included; whole numbers when both bounds are whole."""

    low: float
    high: float
    examples: tuple[Scalar, ...]
    """The values a conformance test tries: the bounds and what lies between them."""

    def allows(self, value: object) -> bool:
        """Whether `value` is a number in the range."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        kinds = (int,) if whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"


@dataclass(frozen=True)
class _Width:
    """Annotation of a number of channels: a whole number, or in a space `x2`, `x0.5` … relative to those of the (first) input.

    A constructor gets a whole number always.
    """

    examples: tuple[Scalar, ...] = ("x1", "x2", "x0.5", 24)

    def allows(self, value: object) -> bool:
        if isinstance(value, bool):
            return False
        if isinstance(value, int):
            return 1 <= value <= MOST_CHANNELS
        return isinstance(value, str) and _ratio(value) is not None

    def __str__(self) -> str:
        return f"1 to {MOST_CHANNELS}, or x0.5, x1, x2 … relative to the input"


Allowed = OneOf | Range | _Width
Width = Annotated[int, _Width(), "channels of the output"]
"""Annotation of a number of channels. In a space it may be relative (`x2`); a constructor gets a whole number."""


def _ratio(text: str) -> float | None:
    if not text.startswith("x"):
        return None
    try:
        ratio = float(text[1:])
    except ValueError:
        return None
    return ratio if 0 < ratio <= 64 else None


def resolve_width(value: Scalar, in_channels: int) -> int:
    """The number of channels that `value` means for an input of `in_channels` channels, rounded, at least 1."""
    ratio = _ratio(value) if isinstance(value, str) else None
    return int(value) if ratio is None else max(1, round(ratio * in_channels))


@dataclass(frozen=True)
class Hyperparameter:
    """One searchable hyperparameter of a block."""

    name: str
    allowed: Allowed
    default: Scalar
    meaning: str = ""
    """What it does, in one line: the text in its annotation."""

    @property
    def is_width(self) -> bool:
        """Whether its value may be relative to the channels of the input."""
        return isinstance(self.allowed, _Width)
