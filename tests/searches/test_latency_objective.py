"""Searches with latency as an objective: measured before training, kept, in milliseconds everywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import ray
import torch

import nas
import nas.network.latency
from blocks.base import Shape
from nas.architecture.cost import Cost
from nas.cli import main
from nas.errors import NasError, SearchError
from nas.execution.gpu_sharing import Gpu
from nas.execution.options import RayOptions
from nas.execution.session import _resources
from nas.network.latency import Latency
from nas.pareto import hypervolume, pareto, scaled_loss
from nas.searches import measuring
from nas.searches.measuring import Measurer
from nas.space.space import Space
from nas.store import Reading, Store
from tests.small_search import QUICK

OBJECTIVES = ("accuracy", "latency")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas.network.latency, "WARM_UP_SECONDS", 0.0)
    monkeypatch.setattr(nas.network.latency, "MOST_RUNS", 15)


def clock(store: Store, input: Shape) -> Measurer:
    return Measurer([Latency()], store, input, 10, "cpu")


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_search_for_accuracy_and_latency(
    space_file: Path, storage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = nas.search(
        space_file, storage=storage, objectives=OBJECTIVES, trials=3, recipe=QUICK, epochs=2, probe_device="cpu",
        max_concurrent=1,
    )  # fmt: skip
    assert first.states == {"complete": 3}
    assert (first.trials["latency"] > 0).all()
    assert list(first.front["latency"]) == sorted(first.front["latency"])
    assert 0 < first.hypervolume < 1
    with Store.open(storage) as store:
        rows = [store.readings(digest, "latency")[0] for digest in first.trials["hash"]]
    assert [row.value for row in rows] == list(first.trials["latency"])
    assert all((row.settings, row.input) == ({"batch": 1, "threads": 1}, (1, 16, 16)) for row in rows)

    # Optuna has the same values; a further run continues from them, with early stopping too.
    study = optuna.load_study(study_name="tiny-digits", storage=storage)
    assert study.directions[1] == optuna.study.StudyDirection.MINIMIZE
    assert [trial.values for trial in study.trials] == first.trials[list(OBJECTIVES)].to_numpy().tolist()
    assert study.trials[0].user_attrs["latency"] == first.trials["latency"][0]
    more = nas.search(
        space_file, storage=storage, objectives=OBJECTIVES, trials=5, recipe=QUICK, epochs=2, probe_device="cpu",
        scheduler="pareto_asha",
    )  # fmt: skip
    assert list(more.trials["latency"][:3]) == list(first.trials["latency"])
    assert (more.trials["trial"] < 5).sum() == 5  # and what was stopped and would be on the front, once more
    assert set(more.front["state"]) == {"complete"}

    # Another study takes results and times over.
    other = nas.search(
        space_file,
        storage=storage,
        study="other",
        objectives=OBJECTIVES,
        trials=3,
        recipe=QUICK,
        epochs=2,
        max_concurrent=1,
    )
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
        (timed,) = clock(store, space.input)(architecture)
        store.add_reading(timed)
        monkeypatch.setattr(Latency, "measure", lambda *_, **__: pytest.fail("measured again"))
        assert clock(store, space.input)(architecture)[0].value == timed.value
        with pytest.raises(pytest.fail.Exception):
            clock(store, (3, 64, 64))(architecture)


def test_latency_counts_below_a_millisecond() -> None:
    quick, slow = (float(scaled_loss("latency", value)) for value in (0.1, 10.0))
    assert 0 < quick < slow < 1


def test_a_cost_has_what_was_measured_by_name() -> None:
    cost = Cost(1, 2, 3).with_values({"latency": 4.5})
    assert (cost["parameters"], cost["latency"]) == (1, 4.5)
    assert "latency" not in Cost(1, 2, 3)


def test_a_study_goes_on_where_it_was_timed(space_file: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(storage, create=True) as store:
        here = clock(store, (1, 16, 16))
        for other, says in (
            ({"device": "cuda: another"}, "latency was measured on cuda: another, this is cpu: "),
            (
                {"settings": {"batch": 1, "threads": 7}},
                "latency was measured with cpu: .*, batch 1, threads 7, and now would be with cpu: .*, batch 1, threads 1",
            ),
        ):
            known = Reading("latency", "f" * 32, (1, 16, 16), 10, here.name, {"batch": 1, "threads": 1}, 2.0)
            found = [replace(known, **other)]  # type: ignore[arg-type]
            monkeypatch.setattr(store, "readings_of_study", lambda study, name, found=found: found)
            with pytest.raises(SearchError, match=says):
                here.check_study("tiny-digits")


def test_no_trial_trains_on_the_gpu_on_which_networks_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.execution.session.find_gpu", lambda note: Gpu(80 << 30))
    there = {"CPU": 64.0, "GPU": 4.0}
    for options, at_once in (({}, 3), ({"gpus_per_trial": 0.5}, 6), ({"gpus_per_trial": "auto"}, 24)):
        found = _resources(RayOptions(timed=True, **options), there)  # type: ignore[arg-type]
        assert (found.concurrent, found.timed) == (at_once, True)
    with pytest.raises(SearchError, match="the only GPU of Ray is the one on which trials train.*--probe-device cpu"):
        _resources(RayOptions(timed=True, gpus_per_trial=0.25), {"CPU": 64.0, "GPU": 1.0})
    # where trials train on CPUs the GPU is free
    assert not _resources(RayOptions(timed=True, device="cpu"), {"CPU": 64.0, "GPU": 1.0}).timed


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_a_clock_with_a_gpu_of_its_own_times_in_another_process(
    space_file: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU: there is no GPU here."""
    monkeypatch.setattr(measuring, "APART", {"num_cpus": 1})
    space = Space.load(space_file)
    network = space.from_assignment(next(space.enumerate()), space.input, 10)
    with Store.open(storage, create=True) as store:
        apart = clock(store, space.input)
        monkeypatch.setattr(store, "readings_of_study", lambda study, name: [])
        with apart.ready("tiny-digits", apart=True):
            monkeypatch.setattr(measuring, "take", lambda *given, **more: pytest.fail("timed in the driver"))
            (timed,) = apart(network)
            assert (timed.hash, timed.device, timed.settings["batch"]) == (network.hash, apart.name, 1)
            assert apart.name.startswith("cpu: ")
            other = clock(store, (3, 16, 16))
            other._apart = apart._apart
            assert other(network)[0].input == (3, 16, 16)
            ray.kill(apart._apart)
            another = space.from_assignment(list(space.enumerate())[-1], space.input, 10)
            with pytest.raises(SearchError, match="the process that measures networks on a GPU was lost"):
                apart(another)


def test_a_gpu_that_cannot_be_used_is_one_line(space_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space.load(space_file)
    network = space.from_assignment(next(space.enumerate()), space.input, 10)
    said = "CUDA error: no kernel image is available for execution on the device"
    monkeypatch.setattr(
        nas.network.latency, "_times", lambda *given: (_ for _ in ()).throw(torch.AcceleratorError(said))
    )
    with pytest.raises(NasError, match=f"device cpu: PyTorch .* cannot use it: .*{said}"):
        nas.network.latency.measure(network, space.input, 10)
    monkeypatch.setattr(
        nas.network.latency, "_times", lambda *given: (_ for _ in ()).throw(RuntimeError("a fault of the network"))
    )
    with pytest.raises(RuntimeError, match="a fault of the network"):
        nas.network.latency.measure(network, space.input, 10)


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
