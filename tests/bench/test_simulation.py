from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.bench import simulation
from nas.bench.regret import RegretCurve, Run
from nas.bench.report import draw, summary
from nas.bench.runs import Source, run_all
from nas.bench.simulation import Setting
from nas.bench.table import Table
from nas.bench.table_files import Mapping
from nas.space.space import Space

GOALS = ("accuracy", "parameters")
Rows = list[dict[str, Any]]


def simulate(
    table: Table,
    sampler: str,
    objectives: tuple[str, ...] = GOALS,
    *,
    seed: int = 0,
    workers: int = 1,
    scheduler: str = "none",
    **setting: Any,
) -> Run:
    found = Setting(objectives, **setting)
    return simulation.simulate(table, sampler, found, seed=seed, workers=workers, scheduler=scheduler)


@pytest.fixture
def table(space: Space, rows: Rows, write: Callable[[Rows], Path]) -> Table:
    """Every training takes two seconds."""
    return Table.load(write(rows), space)


def test_regret_falls_to_nothing_when_all_is_tried(table: Table) -> None:
    run = simulate(table, "random", GOALS, trials=100, seed=0)
    assert len(run.regret) == len(table.networks) == 15
    assert list(run.regret) == sorted(run.regret, reverse=True)
    assert run.regret[-1] == pytest.approx(0, abs=1e-12)
    assert run.finished_at[-1] == 30


def test_regret_is_one_less_the_share_of_the_hypervolume() -> None:
    losses = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [0.25, 0.25], [0.6, 0.6]])
    curve = RegretCurve(losses)  # all of it is below (0.25, 0.25): 0.75²
    for row in (4, 1, 0, 3):
        curve.add(row)
    assert curve.regret == pytest.approx([1 - 0.16 / 0.5625, 1 - 0.25 / 0.5625, 1 - 0.25 / 0.5625, 0.0])


def test_workers_train_at_once_and_what_is_late_is_not_known(table: Table) -> None:
    one, five = (simulate(table, "random", GOALS, trials=15, seed=0, workers=workers) for workers in (1, 5))
    assert five.finished_at == tuple(2.0 * (1 + place // 5) for place in range(15))
    data = summary([one, five], 15)
    assert data["samplers"]["random"]["workers"]["5"]["speedup"] == 5
    assert data["samplers"]["random"]["makespan"] == 30


def test_durations_of_a_table_decide_who_finishes_first(
    space: Space, rows: Rows, write: Callable[[Rows], Path]
) -> None:
    for row in rows:
        row["seconds"] = 10.0 if "large" in row.values() else 1.0
    run = simulate(Table.load(write(rows), space), "random", GOALS, trials=15, seed=0, workers=15)
    assert run.finished_at == (1.0,) * 4 + (10.0,) * 11


def test_a_thousand_workers(table: Table) -> None:
    run = simulate(table, "random", GOALS, trials=15, seed=0, workers=1000)
    assert run.finished_at == (2.0,) * 15


def test_latency_of_a_table_is_an_objective_like_a_measured_one(
    space: Space, rows: Rows, write: Callable[[Rows], Path]
) -> None:
    for row in rows:
        row["latency"] = 1 + 3 * list(row.values()).count("large") + list(row.values()).count("small")
    timed = Table.load(write(rows), space)
    for sampler in ("pareto", "tpe"):
        run = simulate(timed, sampler, ("accuracy", "latency"), trials=100, seed=0)
        assert run.regret[-1] == pytest.approx(0, abs=1e-12)


def test_nothing_of_the_table_reaches_the_sampler_but_what_was_trained(
    space: Space, rows: Rows, write: Callable[[Rows], Path]
) -> None:
    """The decisions of a search do not change with the accuracy of networks that it has not tried yet."""
    whole = Table.load(write(rows), space)
    seen: list[str] = []

    class Watched(Table):
        def row(self, hash: str, assignment: Any) -> int:
            seen.append(hash)
            return super().row(hash, assignment)

    def first_eight(table: Table) -> list[str]:
        seen.clear()
        simulate(Watched(**vars(table)), "pareto", GOALS, trials=8, seed=0)
        return list(seen)

    before = first_eight(whole)
    changed = whole.accuracy.copy()
    untried = [row for hash, row in whole.networks.items() if hash not in before]
    changed[untried] = 0.999
    assert first_eight(Table(**{**vars(whole), "accuracy": changed})) == before


@pytest.mark.long
def test_several_processes_find_what_one_finds(
    space: Space, rows: Rows, write: Callable[[Rows], Path], tmp_path: Path
) -> None:
    source = Source(space.path, write(rows), Mapping(), None, 10)
    found = [
        run_all(source, source.load(), ["random", "nsga2"], Setting(GOALS, 5), seeds=2, workers=[1, 2], jobs=jobs)
        for jobs in (1, 2)
    ]
    assert [run.regret for run in found[0]] == [run.regret for run in found[1]]
    assert [(run.sampler, run.workers, run.seed) for run in found[1]][:3] == [
        ("random", 1, 0),
        ("random", 1, 1),
        ("random", 2, 0),
    ]
    picture = tmp_path / "regret.png"
    draw(found[0], 5, picture, "title", "subtitle")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_with_noise_the_front_is_what_looks_best_and_is_scored_by_the_truth() -> None:
    truth = np.array([[0.5, 0.5], [0.4, 0.5], [0.9, 0.5]])
    heard = np.array([[0.5, 0.5], [0.6, 0.5], [0.1, 0.5]])
    curve = RegretCurve(truth, heard)
    for row in range(3):
        curve.add(row)
    assert curve.regret == pytest.approx([1 - 0.25 / 0.3, 1 - 0.25 / 0.3, 1 - 0.05 / 0.3])


@pytest.mark.parametrize("sampler", ["pareto", "tpe", "evolution", "local_search"])
def test_a_search_of_an_incomplete_table_tries_what_there_is(
    sampler: str, space: Space, rows: Rows, write: Callable[[Rows], Path]
) -> None:
    some = Table.load(write(rows[:9]), space, incomplete=True)
    run = simulate(some, sampler, GOALS, trials=20, seed=0)
    assert len(run.regret) == len(some.networks) < 9
    assert run.regret[-1] == pytest.approx(0, abs=1e-12)


def test_budgets_are_weighed_alike_by_regret_and_sampler(table: Table) -> None:
    linear, mixed, log = (table.losses(GOALS, budget_scale=scale)[:, 1] for scale in ("linear", "mixed", "log"))
    assert np.all(log >= linear - 1e-12)
    assert mixed == pytest.approx((linear + log) / 2)
    runs = [
        simulate(table, "pareto", GOALS, trials=12, seed=0, budget_scale=scale).regret for scale in ("linear", "log")
    ]
    assert runs[0] != runs[1]
