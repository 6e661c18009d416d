"""Tables and plain records."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from nas.front.table import front_records, front_table
from nas.front.view import front_view, view_of
from nas.report.tables import print_summary, studies_table, study_records, summary_record
from nas.store import Store
from nas.text.formatting import short
from tests.front.frames import invented
from tests.store.filling import fill, make_study

TWO = ("accuracy", "parameters")


def shown(*items: object, width: int = 80, terminal: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, highlight=False)
    for item in items:
        console.print(item)
    return stream.getvalue()


def test_records_of_a_front_are_the_contract_of_the_command() -> None:
    records = json.loads(json.dumps(front_records(view_of(invented(40, ["kong_aim"]), TWO, title="t"))))
    assert records
    for record in records:
        assert list(record) == [
            "trial",
            "hash",
            "accuracy",
            "standard_error",
            "parameters",
            "macs",
            "state",
            "assignment",
            "published",
        ]
        assert type(record["trial"]) is type(record["parameters"]) is type(record["macs"]) is int
        assert 0 < record["accuracy"] < 1
        assert record["published"] in (None, "kong_aim")
        assert record["standard_error"] is None  # nobody said on how many images
        assert record["assignment"]["stem.channels"] == 32


def test_a_front_fits_eighty_columns_and_hides_nothing() -> None:
    view = view_of(invented(40, ["balashov_aicnn_plain"] * 40), TWO, title="t")
    text = shown(front_table(view, "Pareto front"))
    assert "\x1b" not in text  # no colours where there is no terminal
    assert max(map(len, text.splitlines())) <= 80
    for row in front_records(view):
        line = next(line for line in text.splitlines() if line.split()[:1] == [str(row["trial"])])
        for part in (f"{row['accuracy']:.2%}", f"{row['parameters']:,}", short(row["macs"]), row["hash"][:8]):
            assert part in line
        assert "balashov_aicnn_plain" in line


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(f"sqlite:///{tmp_path}/nas.db", create=True)
    make_study(opened)
    fill(opened, "first", 12)
    make_study(opened, "empty")
    return opened


def test_studies(store: Store) -> None:
    studies = store.studies()
    records = json.loads(json.dumps(study_records(studies)))
    assert [record["study"] for record in records] == ["first", "empty"]
    assert (records[0]["trials"], records[0]["complete"], records[1]["best_accuracy"]) == (12, 10, None)
    text = shown(studies_table(studies))
    assert max(map(len, text.splitlines())) <= 80
    assert "first" in text
    assert "nas_bench_macro" in text
    assert "10 of 12" in text
    assert "accuracy" in text
    assert "nan" not in text


@pytest.mark.parametrize("name", ["first", "empty"])
def test_a_summary(store: Store, name: str) -> None:
    study, trials = store.study(name), store.trials(name)
    environments = list(store.environments(name).values())
    view = front_view(study, trials, store.measurements())
    record = json.loads(json.dumps(summary_record(study, trials, view, environments), allow_nan=False))
    assert sum(record["states"].values()) == len(trials)
    stream = io.StringIO()
    print_summary(
        Console(file=stream, width=100, highlight=False), study, trials, view, environments, "process 1 on here"
    )
    text = stream.getvalue()
    assert "process 1 on here" in text
    if name == "first":
        assert record["reasons"] == [{"state": "diverged", "reason": "the loss was nan in epoch 2", "trials": 2}]
        assert "the loss was nan in epoch 2" in text
        assert 0 < record["hypervolume"] < 1
        assert "Pareto front" in text
