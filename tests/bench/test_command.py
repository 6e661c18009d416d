from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.commands.bench import command
from nas.space.space import Space
from tests.conftest import Run

Rows = list[dict[str, Any]]


@pytest.fixture
def bench(run: Run, space: Space, rows: Rows, write: Callable[[Rows], Path]) -> Run:
    """Runs `nas bench` on the small table: exit code, stdout, stderr."""
    table = write(rows)
    return lambda *words: run(
        "bench", "--space", space.path, "--table", str(table), "--seeds", "2", "--trials", "10", *words
    )


def test_json_has_its_promised_shape(bench: Run) -> None:
    code, out, err = bench("--samplers", "pareto,random", "--workers", "2,4", "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert list(data["samplers"]) == ["pareto", "random"]
    record = data["samplers"]["pareto"]
    assert list(record["regret"]) == list(record["std"]) == ["10"]
    assert 0 <= record["regret"]["10"] < 0.2
    assert record["median"]["10"] <= record["worst"]["10"]
    assert record["suggest_seconds"] > 0
    assert record["repeats"] == 0
    assert list(record["workers"]) == ["2", "4"]
    assert record["workers"]["2"]["regret"] == record["regret"]


def test_the_table_and_the_picture(bench: Run, tmp_path: Path) -> None:
    picture = tmp_path / "regret.svg"
    code, out, _ = bench("--samplers", "random", "--objectives", "error,parameters,macs", "-o", str(picture))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.strip()[:6] in ("median", "worst ")] == [
        "median",
        "worst",
    ]
    assert "27 rows, 15 networks; mean of 2 seeds; accuracy, parameters, macs" in out
    assert "</svg>" in picture.read_text()


def test_pareto_is_the_first_of_the_samplers_it_compares() -> None:
    samplers = next(option for option in command.params if option.name == "samplers")
    assert str(samplers.default).split(",")[0] == "pareto"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--samplers", "paretoo"], "no sampler 'paretoo'; known: .*did you mean 'pareto'?"),
        (["--workers", "1,none"], "--workers: must be whole numbers such as 1,8,64, not '1,none'"),
        (["--objectives", "accuracy,latency"], "the table has no column of latency"),
        (
            ["--budget-scale", "lin"],
            "budget_scale: must be one of linear, log, mixed, not .lin.; did you mean .linear.",
        ),
        (["--metric", "acc"], "--metric: must be NAME=COLUMN"),
        (["--max-parameters", "10"], "no row of the table meets the constraints of pair"),
        (["-o", "regret.txt"], "must end with .png or .svg or .pdf"),
    ],
)
def test_mistakes_are_one_line(bench: Run, words: list[str], line: str) -> None:
    code, out, err = bench(*words)
    assert (code, out) == (2, "")
    assert re.search(line.replace("?", r"\?"), err)
    assert err.count("\n") == 1
