"""The costs of every block as this version of the counting rules has them; `python -m tests.blocks.costs` writes them."""

from __future__ import annotations

import json
from pathlib import Path

from blocks import ShapeError
from blocks.base import Shape
from blocks.counting import COUNTING_RULES
from tests.blocks.cases import Case, one_changed

FILE = Path(__file__).with_suffix(".json")
SHAPES: dict[str, Shape] = {"32×6×6": (32, 6, 6), "40×7×9": (40, 7, 9), "64×32×32": (64, 32, 32)}


def counted() -> dict[str, list[int] | None]:
    """Parameters, multiply-accumulates and peak bytes of every case, by its name and shape; None where it is refused."""
    return {f"{case} {name}": _cost(case) for name, shape in SHAPES.items() for case in one_changed(shape)}


def _cost(case: Case) -> list[int] | None:
    try:
        facts = case.measure()
    except ShapeError:
        return None
    return [facts.parameters, facts.macs, facts.peak_bytes]


def main() -> None:
    """Writes the file."""
    lines = [f"    {json.dumps(case, ensure_ascii=False)}: {json.dumps(cost)}" for case, cost in counted().items()]
    body = ",\n".join(lines)
    FILE.write_text(f'{{\n  "counting_rules": {COUNTING_RULES},\n  "costs": {{\n{body}\n  }}\n}}\n')


if __name__ == "__main__":
    main()
