"""Searches that stop or pause trials, on tables with learning curves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.bench.simulation import Setting, TableSearch, simulate
from nas.bench.table import Table
from nas.bench.table_files import Mapping
from nas.errors import BenchError
from nas.searches.early_stopping import Promotion, Rungs
from nas.space.space import Space
from nas.store import Store
from tests.conftest import Run
from tests.searches.simulated import INPUT, quality
from tests.searches.test_trial_checkpoints import Search
from tests.small_search import space_file, storage

__all__ = ["space_file", "storage"]
GOALS = ("accuracy", "parameters")
Rows = list[dict[str, Any]]
Write = Callable[[Rows], Path]


def learning(rows: Rows) -> Rows:
    """The table of `rows` with four epochs of two trainings, the second two points better throughout."""
    return [
        {name: value for name, value in row.items() if name != "accuracy"}
        | {f"acc_{seed}": row["accuracy"] + 2 * seed for seed in (0, 1)}
        | {f"at_{epoch}_{seed}": row["accuracy"] * epoch / 4 + 2 * seed for epoch in (1, 2, 3) for seed in (0, 1)}
        for row in rows
    ]


MAPPING = Mapping(metrics={"accuracy": "acc_{seed}"}, curve="at_{epoch}_{seed}")


@pytest.mark.parametrize(("scheduler", "kind"), [("pareto_asha", Rungs), ("pareto_asha_promotion", Promotion)])
def test_a_search_on_a_table_decides_as_a_search_that_trains(
    scheduler: str, kind: type[Rungs], storage: str, space_file: Path, tmp_path: Path
) -> None:
    space = Space.load(space_file)
    records: Rows = []
    for assignment in space.enumerate():
        worth = quality(space.from_assignment(assignment, INPUT))
        records.append({**assignment, "accuracy": worth} | {f"e{epoch}": worth * epoch / 4 for epoch in (1, 2, 3)})
    table = Table.of(tmp_path, records, space, mapping=Mapping(curve="e*"), input=INPUT)
    setting = Setting(GOALS, 14, min_epochs=1, reduction_factor=2.0)
    played = TableSearch(table, "random", setting, 0, scheduler)
    played.run(1)
    Search(storage, space_file, tmp_path / "kept").run(14, workers=1, rungs=kind(GOALS, 4, 1, 2.0), chance=0.1)
    with Store.open(storage) as store:
        trials = store.trials("tiny")
    early = trials["state"] == "stopped_early"
    assert early.sum() > 2
    for state, found in (("complete", trials[~early]), ("stopped_early", trials[early])):
        expected = [row["hash"] for row in played.ended if row["state"] == state]
        if state == "stopped_early":  # a search writes those that wait last, as stopped
            expected += list(reversed(played.early.waiting))
        assert found["hash"].tolist() == expected
    assert {name: trial.epoch for name, trial in played.early.waiting.items()} == (
        dict(zip(trials.loc[early, "hash"], trials.loc[early, "epochs"], strict=True)) if kind is Promotion else {}
    )
    assert played.epochs_done == trials["epochs"].sum()


def test_curves_are_read_by_epoch_and_training(space: Space, rows: Rows, write: Write) -> None:
    table = Table.load(write(learning(rows)), space, mapping=MAPPING)
    assert table.curves is not None
    assert table.curves.epochs == 4
    row = table.row(space.from_assignment({f"body.{place}.op": "large" for place in range(3)}).hash, {})
    assert [table.hears(row, 0, epoch) for epoch in (1, 2, 3, 4)] == pytest.approx([0.225, 0.45, 0.675, 0.9])
    assert table.hears(row, 1, 2) == pytest.approx(0.47)
    last = Mapping(metrics={"accuracy": "at_3_*"}, curve="at_{epoch}_{seed}")
    ends = Table.load(write(learning(rows)), space, mapping=last).curves
    assert ends is not None
    assert (ends.epochs, list(ends.values)) == (3, [1, 2])  # the accuracy is a column of the curve: there it ends


def test_steps_are_what_was_trained_and_only_whole_trainings_count(space: Space, rows: Rows, write: Write) -> None:
    table = Table.load(write(learning(rows)), space, mapping=MAPPING)
    full = simulate(table, "random", Setting(GOALS, 8, "steps"), seed=0)
    early = Setting(GOALS, 8, "steps", min_epochs=1, reduction_factor=2.0)
    stopped = simulate(table, "random", early, seed=0, scheduler="pareto_asha")
    paused = simulate(table, "random", early, seed=0, scheduler="pareto_asha_promotion")
    assert full.steps == tuple(range(1, 9))
    assert full.finished_at == tuple(2.0 * place for place in range(1, 9))
    for run in (stopped, paused):
        assert len(run.suggest_seconds) > 8 > run.completed
        assert 7 < run.steps[-1] < 9
        assert run.finished_at == pytest.approx([2 * steps for steps in run.steps])
    assert paused.regret[0] == 1  # the first one waits, and nothing is trained
    assert paused.regret_at("steps", [0.25, 8])[0] == 1
    assert full.regret_at("hours", 16 / 3600) == full.regret[-1]


def test_the_command_compares_schedulers(run: Run, space: Space, rows: Rows, write: Write, tmp_path: Path) -> None:
    table = str(write(learning(rows)))
    mapped = ("--metric", "accuracy=acc_*", "--curve", "at_{epoch}_{seed}", "--min-epochs", "1")
    words = ("bench", "--space", space.path, "--table", table, *mapped, "--samplers", "random", "--trials", "8")
    forms = ("--scheduler", "none,pareto_asha", "--reduction-factor", "2", "--seeds", "1")
    code, out, err = run(*words, *forms, "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)["samplers"]["random"]
    assert record["regret"] == record["schedulers"]["none"]["regret"]
    stopped = record["schedulers"]["pareto_asha"]["workers"]["1"]
    assert stopped["begun"] == 8 > stopped["completed"]
    assert stopped["steps"] < record["steps"] == 8
    assert list(stopped["regret_by_steps"]["regret"]) == ["1", "2", "4", "8"]
    assert (
        stopped["regret_by_steps"]["regret"]["1"]
        == record["regret_by_steps"]["regret"]["1"]
        == record["regret_by_hours"]["worst"]["0.000556"]
    )
    picture = tmp_path / "regret.svg"
    code, out, _ = run(*words, *forms, "--against", "steps", "-o", str(picture))
    assert code == 0
    assert "after … whole trainings' steps" in out
    assert "pareto_asha" in out
    assert picture.exists()


def test_mistakes_are_one_line(run: Run, space: Space, rows: Rows, write: Write) -> None:
    def refused(mapping: Mapping, match: str) -> None:
        with pytest.raises(BenchError, match=match):
            Table.load(path, space, mapping=mapping)

    path = write(learning(rows))
    accuracy = {"accuracy": "acc_0"}
    refused(Mapping(metrics=accuracy, curve="epoch_*"), r"no column of the curve 'epoch_\*'; columns: body.0.op")
    refused(Mapping(metrics=accuracy, curve="at_2_0"), "curve: must have {epoch} in the place of the number")
    refused(Mapping(metrics=accuracy, curve="{epoch}{epoch}"), "curve: must have {epoch} once")
    refused(Mapping(metrics=accuracy, curve="at_{epoch}_{seed}"), "has a training '0', but accuracy has acc_0")
    refused(
        Mapping(metrics=accuracy, curve="at_{epoch}_0", epochs="2"), "must be a whole number of at least 3, not '2'"
    )
    long = Table.load(path, space, mapping=Mapping(metrics=accuracy, curve="at_{epoch}_0", epochs="40"))
    with pytest.raises(BenchError, match="no value after epoch 13 of 40, where trials are compared; it has 1, 2, 3;"):
        Setting(GOALS, 8).rungs(long, "pareto_asha")
    words = ("bench", "--space", space.path, "--table", str(path), "--metric", "accuracy=acc_0")
    for more, problem in (
        (("--scheduler", "pareto_asha"), "--scheduler pareto_asha: the table has no learning curves"),
        (("--scheduler", "pareto_ash"), "no scheduler 'pareto_ash'; known: none, "),
        (
            ("--scheduler", "pareto_asha", "--curve", "at_{epoch}_0", "--min-epochs", "2"),
            "min_epochs: must be at most 1",
        ),
    ):
        code, out, err = run(*words, *more)
        assert (code, out) == (2, "")
        assert problem in err
