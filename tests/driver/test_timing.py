"""Searches with latency as an objective: measured before training, kept, in milliseconds everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

import nas
import nas.latency
from nas.cli import main
from nas.cost import Cost
from nas.driver.timing import Clock, TimedCost, with_latency
from nas.errors import SearchError
from nas.front import hypervolume, pareto, scaled_loss
from nas.space import Space
from nas.store import Store

OBJECTIVES = ("accuracy", "latency")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas.latency, "WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(nas.latency, "MOST_RUNS", 15)


@pytest.mark.usefixtures("local_ray")
def test_a_search_for_accuracy_and_latency(
    space_file: Path, storage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = nas.search(space_file, storage=storage, objectives=OBJECTIVES, trials=3, epochs=2, latency_device="cpu")
    assert first.states == {"complete": 3}
    assert (first.trials["latency"] > 0).all()
    assert list(first.front["latency"]) == sorted(first.front["latency"])
    assert 0 < first.hypervolume < 1
    with Store.open(storage) as store:
        rows = [store.latencies(digest)[0] for digest in first.trials["hash"]]
    assert [row.milliseconds for row in rows] == list(first.trials["latency"])
    assert all((row.batch, row.threads, row.input) == (1, 1, (1, 16, 16)) for row in rows)

    # Optuna has the same values; a further run continues from them, with early stopping too.
    study = optuna.load_study(study_name="tiny-digits", storage=storage)
    assert study.directions[1] == optuna.study.StudyDirection.MINIMIZE
    assert [trial.values for trial in study.trials] == first.trials[list(OBJECTIVES)].to_numpy().tolist()
    assert study.trials[0].user_attrs["latency"] == first.trials["latency"][0]
    more = nas.search(
        space_file, storage=storage, objectives=OBJECTIVES, trials=5, epochs=2, latency_device="cpu",
        scheduler="pareto_asha",
    )  # fmt: skip
    assert list(more.trials["latency"][:3]) == list(first.trials["latency"])
    assert len(more.trials) == 5

    # Another study takes results and times over.
    other = nas.search(space_file, storage=storage, study="other", objectives=OBJECTIVES, trials=3, epochs=2)
    known = dict(zip(more.trials["hash"], more.trials["latency"], strict=True))
    for row in other.trials.to_dict("records"):
        assert row["latency"] == known.get(row["hash"], row["latency"])
    assert other.trials["hash"].isin(list(known)).any()

    # The table and its JSON know the unit.
    monkeypatch.setenv("NAS_STORAGE", storage)
    with pytest.raises(SystemExit):
        main(["study", "pareto", "other"])
    assert "latency ms" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["study", "pareto", "other", "--json"])
    assert all(row["latency"] > 0 for row in json.loads(capsys.readouterr().out))


def test_what_the_database_knows_is_not_measured_again(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space.load("nas_bench_macro")
    architecture = space.from_assignment(next(space.enumerate()))
    with Store.open(storage, create=True) as store:
        clock = Clock(store, space.input, 10, "cpu")
        timed = clock(architecture)
        store.add_latency(timed)
        monkeypatch.setattr("nas.driver.timing.measure", lambda *_, **__: pytest.fail("measured again"))
        assert clock(architecture).milliseconds == timed.milliseconds
        with pytest.raises(pytest.fail.Exception):
            Clock(store, (3, 64, 64), 10, "cpu")(architecture)


def test_latency_counts_below_a_millisecond() -> None:
    quick, slow = (float(scaled_loss("latency", value)) for value in (0.1, 10.0))
    assert 0 < quick < slow < 1


def test_a_timed_cost_is_a_cost() -> None:
    cost = with_latency(Cost(1, 2, 3), 4.5)
    assert isinstance(cost, TimedCost)
    assert (cost.parameters, cost.latency) == (1, 4.5)


def test_a_study_goes_on_where_it_was_timed(space_file: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(storage, create=True) as store:
        clock = Clock(store, (1, 16, 16), 10, "cpu")
        monkeypatch.setattr(store, "latency_devices", lambda study: [("cuda: another", 0)])
        with pytest.raises(SearchError, match="measured on cuda: another, this is cpu: "):
            clock.check_study("tiny-digits")


def test_front_and_hypervolume_of_latency() -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "state": ["complete"] * 3,
            "hash": list("abc"),
            "trial": [0, 1, 2],
            "accuracy": [0.9, 0.8, 0.95],
            "latency": [2.0, 3.0, 5.0],
        }
    )
    assert list(pareto(frame, OBJECTIVES)["trial"]) == [0, 2]
    assert 0 < hypervolume(frame, OBJECTIVES) < 1
