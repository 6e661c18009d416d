"""The names of choices and the values that they took, as they are counted and shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from blocks.base import Scalar

_COPY: Final = re.compile(r"\.\d+(?=\.|$)")


def role(choice: str) -> str:
    """The name of a choice without the numbers of copies: ``rest.*.cells.*.block``."""
    return _COPY.sub(".*", choice)


def options_taken(assignment: Mapping[str, Scalar]) -> dict[str, dict[Scalar, int]]:
    """How often each role took each option."""
    taken: dict[str, dict[Scalar, int]] = {}
    for choice, value in assignment.items():
        counts = taken.setdefault(role(choice), {})
        counts[value] = counts.get(value, 0) + 1
    return taken


def plain(value: Scalar) -> str:
    """The value as it stands in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)
