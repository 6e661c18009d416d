"""Tables that are damaged, or that would fill the memory, are one line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from nas.bench.table import Table
from nas.bench.table_files import MOST_BYTES, MOST_CELLS, Mapping, metric_columns
from nas.errors import BenchError
from nas.space.space import Space


def refused(path: Path, space: Space) -> str:
    with pytest.raises(BenchError) as caught:
        Table.load(path, space)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [10**400, [], [[1], [1, 2]], {"a": 1}, "\x1b[31m", float("inf")])
@pytest.mark.parametrize("column", ["accuracy", "seconds"])
def test_what_is_no_number(column: str, value: Any, space: Space, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps([{**rows[0], column: value}, *rows[1:]]))
    assert f"row 1: '{column}' must be a number, not " in refused(path, space)


def test_time_runs_forward(space: Space, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps([rows[0], {**rows[1], "seconds": -1.0}, *rows[2:]]))
    assert "row 2: seconds must not be below 0" in refused(path, space)


def test_archives_and_parquet_files_that_are_cut_off(space: Space, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    pd.DataFrame(rows).to_csv(tmp_path / "whole.csv.gz")
    pd.DataFrame(rows).to_parquet(tmp_path / "whole.parquet")
    for ending in (".csv.gz", ".parquet"):
        whole, path = (tmp_path / f"whole{ending}").read_bytes(), tmp_path / f"part{ending}"
        for cut in (0, 1, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:cut])
            assert refused(path, space).startswith(f"{path}: ")


def test_what_a_file_unpacks_to_is_bounded(space: Space, tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(bytes(MOST_BYTES + 1), 1))
    assert refused(path, space) == f"{path}: holds more than 256 MiB"
    path = tmp_path / "bomb.parquet"
    parquet.write_table(pa.table({"accuracy": pa.nulls(MOST_CELLS + 1)}), path)
    assert path.stat().st_size < 1 << 20
    assert refused(path, space) == f"{path}: has 32,000,001 cells; at most 32,000,000"


def test_a_pipe_or_a_folder_is_no_table(space: Space, tmp_path: Path) -> None:
    for ending in ("json", "csv", "parquet"):
        pipe, folder = tmp_path / f"pipe.{ending}", tmp_path / f"folder.{ending}"
        os.mkfifo(pipe)
        folder.mkdir()
        assert refused(pipe, space) == f"{pipe}: is no file"
        assert refused(folder, space) == f"{folder}: is no file"


def test_patterns_of_columns_are_looked_for_in_no_time(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"a column has at most 4 \*"):
        Mapping(metrics={"accuracy": "*a" * 30 + "b"})
    records = [{"a" * 3000: 1.0, "acc[1]-1": 2.0, "acc[1]-2": 3.0}]
    found = metric_columns(tmp_path, records, Mapping(metrics={"accuracy": "acc[1]-*", "log_loss": "*a*a*a*"}))
    assert found == {"accuracy": ("acc[1]-1", "acc[1]-2"), "log_loss": ("a" * 3000,)}
