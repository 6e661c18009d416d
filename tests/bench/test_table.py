from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas.architecture.cost import cost
from nas.bench.table import Table
from nas.bench.table_files import Mapping, read_assignments
from nas.errors import BenchError, Infeasible
from nas.space.space import Space

Rows = list[dict[str, Any]]
Write = Callable[[Rows], Path]


def test_csv_parquet_and_json_say_the_same(space: Space, rows: Rows, write: Write, tmp_path: Path) -> None:
    paths = [write(rows), tmp_path / "table.parquet", tmp_path / "table.json"]
    pd.DataFrame(rows).to_parquet(paths[1])
    paths[2].write_text(json.dumps(rows))
    tables = [Table.load(path, space) for path in paths]
    for table in tables:
        assert table.rows == 27
        assert len(table.networks) == 15
        assert list(table.accuracy) == list(tables[0].accuracy)
        assert table.accuracy.max() == pytest.approx(0.9)  # percent
        assert table.seconds is not None


def test_costs_come_from_the_table_or_from_the_cost_model(space: Space, rows: Rows, write: Write) -> None:
    for row in rows:
        row["flops"] = 7
    table = Table.load(write(rows), space)
    assert set(table.costs["macs"]) == {7}
    assert table.columns == {
        "accuracy": "accuracy",
        "macs": "flops",
        "seconds": "seconds",
        "parameters": "cost model",
        "activation_bytes": "cost model",
    }
    architecture = space.from_assignment(next(space.enumerate()))
    row = table.row(architecture.hash, {})
    assert table.costs["parameters"][row] == cost(architecture, space.input, 10).parameters


def test_rows_of_one_network_are_averaged(space: Space, rows: Rows, write: Write) -> None:
    same = [row for row in rows if sorted(str(value) for value in list(row.values())[:3]) == ["large", "skip", "skip"]]
    assert len(same) == 3
    for place, row in enumerate(same):
        row["accuracy"] = 50 + place
    table = Table.load(write(rows), space)
    architecture = space.from_assignment({name: same[0][name] for name in list(same[0])[:3]})
    assert table.accuracy[table.row(architecture.hash, {})] == pytest.approx(0.51)


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        (Mapping(), lambda ops: "".join(str(["skip", "small", "large"].index(op)) for op in ops)),
        (Mapping(), lambda ops: "|{}~0|+|{}~1|{}|".format(*ops)),
        (
            Mapping(key="{body.0.op}>{body.1.op}>{body.2.op}", values={"large": "conv_3x3", "small": "conv"}),
            lambda ops: ">".join({"large": "conv_3x3", "small": "conv"}.get(op, op) for op in ops),
        ),
    ],
)
def test_keys_are_read_by_order_by_words_and_by_template(
    mapping: Mapping, key: Callable[[list[str]], str], space: Space, rows: Rows, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    ops = [[str(row[f"body.{place}.op"]) for place in range(3)] for row in rows]
    path.write_text(json.dumps({key(names): {"acc": row["accuracy"]} for names, row in zip(ops, rows, strict=True)}))
    by_key = Table.load(path, space, mapping=mapping)
    path.write_text(json.dumps(rows))
    assert np.array_equal(by_key.accuracy, Table.load(path, space).accuracy)


def test_cells_are_read_as_nats_bench_writes_them_whatever_their_column_is_called(tmp_path: Path) -> None:
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    records = [{"note": "none", "ArchitectureString": cell, "accuracy": 93.1}]
    (found,) = read_assignments(tmp_path, records, Space.load("nas_bench_201"), Mapping())
    ops = ["nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "none"]
    edges = ["0_to_1", "0_to_2", "1_to_2", "0_to_3", "1_to_3", "2_to_3"]
    assert found == {f"cell.from_{edge}.op": op for edge, op in zip(edges, ops, strict=True)}


def test_digits_of_a_csv_keep_their_zeros(space: Space, rows: Rows, tmp_path: Path) -> None:
    path = tmp_path / "keys.csv"
    digits = ["".join(map(str, [place // 9, place // 3 % 3, place % 3])) for place in range(27)]
    path.write_text("arch,acc\n" + "".join(f"{key},0.5\n" for key in digits))
    assert Table.load(path, space).rows == 27


def test_a_conditional_space_has_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(
        "name: deep\ninput: [1, 8, 8]\ngraph:\n"
        "  stem: {block: conv, channels: 4}\n"
        "  body: {block: conv, repeat: {choose: [0, 1]}, kernel_size: {choose: [1, 3]}}\n"
        "  head: {block: classifier}\n"
    )
    table = tmp_path / "deep.csv"
    table.write_text("body.repeat,body.0.kernel_size,error,latency_ms\n0,,0.5,1\n1,1,0.4,2\n1,3,0.3,3\n")
    found = Table.load(table, Space.load(path))
    assert len(found.networks) == 3
    assert found.accuracy.tolist() == pytest.approx([0.5, 0.6, 0.7])
    assert found.losses(["accuracy", "latency"]).tolist() == pytest.approx(np.array([[1, 0], [0.5, 0.5], [0, 1]]))


def test_constraints_leave_rows_out(space: Space, rows: Rows, write: Write) -> None:
    limited = space.limit(parameters=300)
    found = Table.load(write(rows), limited)
    assert 0 < len(found.networks) < 15
    assert found.costs["parameters"].max() <= 300


def test_mistakes_are_one_line(space: Space, rows: Rows, write: Write, tmp_path: Path) -> None:
    def refused(match: str, changed: Rows, **rest: Any) -> None:
        with pytest.raises(BenchError, match=match) as caught:
            Table.load(write(changed), space, **rest)
        assert "\n" not in str(caught.value)

    refused("the table lacks 1 of the 27 architectures of pair, such as ", rows[1:])
    refused(
        r"row 2: 'body.2.op' must be one of skip, small, large, not 'smal'", [rows[0], {**rows[1], "body.2.op": "smal"}]
    )
    refused(r"row 1: 'accuracy' must be a number, not nan", [{**rows[0], "accuracy": ""}, *rows[1:]])
    refused("no column of accuracy", [{"body.0.op": "skip", "body.1.op": "skip", "body.2.op": "skip", "x": 1}])
    refused(r"no column for the choice 'body.2.op'", [{"body.0.op": "skip", "body.1.op": "skip", "accuracy": 1}])
    refused("no column 'acuracy'.*did you mean 'accuracy'", rows, mapping=Mapping(metrics={"accuracy": "acuracy"}))
    refused("the key '99' does not fit the space pair; a --mapping file", [{"key": "99", "accuracy": 1}])
    (tmp_path / "keys.json").write_text('[{"key": "000", "accuracy": 1}, {"accuracy": 1}]')
    with pytest.raises(BenchError, match="row 2: the key 'None' does not fit"):
        Table.load(tmp_path / "keys.json", space)
    with pytest.raises(BenchError, match="has no column of latency; name one with --metric latency=COLUMN"):
        Table.load(write(rows), space).losses(["accuracy", "latency"])
    path = tmp_path / "mapping.yaml"
    path.write_text("kee: x\n")
    with pytest.raises(BenchError, match="unknown key 'kee'; did you mean 'key'"):
        Mapping.load(path)
    path.write_text("metrics: accuracy\n")
    with pytest.raises(BenchError, match="metrics must be a table of words"):
        Mapping.load(path)


def test_columns_of_a_table_are_mapped_to_choices_and_repeats_are_read_off_them(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text(
        "name: deep\ninput: [1, 8, 8]\ngraphs:\n  layer: {op: {block: conv, kernel_size: {choose: [1, 3]}}}\ngraph:\n"
        "  stem: {block: conv, channels: 4}\n  body: {graph: layer, repeat: {choose: [1, 2]}}\n  head: {block: classifier}\n"
    )
    table = tmp_path / "deep.csv"
    table.write_text("k0,k1,loss,size\n1,,-0.5,1\n3,,-0.4,2\n1,1,-0.4,3\n1,3,-0.3,4\n3,1,-0.2,5\n3,3,-0.1,6\n")
    spelled = tmp_path / "mapping.yaml"
    spelled.write_text(
        "choices: {body.*.op.kernel_size: k*}\nmetrics: {accuracy: loss, parameters: size}\nunits: {parameters: 1.0e+6}\n"
    )
    found = Table.load(table, Space.load(path), mapping=Mapping.load(spelled))
    assert sorted(found.accuracy.tolist()) == [-0.5, -0.4, -0.4, -0.3, -0.2, -0.1]  # more is better, and no share
    deepest = {"body.repeat": 2, "body.0.op.kernel_size": 3, "body.1.op.kernel_size": 3}
    built = found.space.resolve(found.space.plan(deepest))
    assert built.cost.parameters == 6_000_000  # what the table says is what a sampler is told
    assert found.accuracy[found.row(built.architecture.hash, deepest)] == -0.1


def test_an_incomplete_table_has_only_its_own_networks(space: Space, rows: Rows, write: Write) -> None:
    rows = [{**row, "latency": 1.0 if place != 5 else None} for place, row in enumerate(rows[:20])]
    path = write(rows)
    with pytest.raises(BenchError, match="row 6: 'latency' must be a number"):
        Table.load(path, space)
    found = Table.load(path, space, incomplete=True)
    assert found.space.size == 20
    built = {found.space.from_assignment(assignment).hash for assignment in found.space.enumerate()}
    assert built == found.networks.keys()
    with pytest.raises(Infeasible, match="the table has no such network"):
        found.space.from_assignment({f"body.{place}.op": "large" for place in range(3)})


def test_of_several_seeds_a_search_hears_of_one_and_their_mean_counts(space: Space, rows: Rows, write: Write) -> None:
    for row in rows:
        row |= {"val_0": row["accuracy"] - 1, "val_1": row["accuracy"] + 1, "val_2": None}
    rows[0]["val_2"] = 99.0
    found = Table.load(write(rows), space, mapping=Mapping(metrics={"accuracy": "val_*"}))
    row = found.row(space.from_assignment({f"body.{place}.op": "large" for place in range(3)}).hash, {})
    assert [found.hears(row, seed) for seed in range(3)] == pytest.approx([0.89, 0.91, 0.89])
    assert found.accuracy[row] == pytest.approx(0.9)
    assert found.columns["accuracy"] == "val_0, val_1, val_2"
