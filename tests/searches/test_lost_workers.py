"""Workers, nodes and GPUs that are lost in a search: whose failure that is, and what is evaluated again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError

from nas.errors import SearchError
from nas.execution import attempts
from nas.execution.report import Report
from nas.states import State
from nas.store import Store
from nas.train import Retry, Verdict
from tests.searches.simulated import (
    Config,
    SimulatedTune,
    epoch,
    learns,
    quality,
    report,
    run,
)

pytestmark = pytest.mark.usefixtures("studies")


def test_a_trial_whose_node_is_lost_starts_again_elsewhere(store: Store, space_file: Path) -> None:
    begun: list[str] = []

    def on_a_node_that_is_lost(config: Config) -> Iterator[Report]:
        begun.append(config.network.hash)
        for said in learns(config):
            if len(begun) == 3:
                raise ActorUnavailableError("Socket closed", None)
            yield said

    run(store, space_file, trials=6, worker=on_a_node_that_is_lost)
    trials = store.trials("tiny")
    assert trials["state"].tolist() == ["complete"] * 6
    assert trials["hash"].is_unique
    assert len(begun) > 6
    assert max(begun.count(digest) for digest in begun) == 2
    assert set(trials["epochs"]) == {3}


def test_a_network_that_loses_its_node_again_and_again_waits_for_the_next_search(
    store: Store, space_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LOST_SECONDS", 2.5 * attempts.LEAST_LOST_SECONDS)
    bad: list[str] = []

    def loses_its_node(config: Config) -> Iterator[Report]:
        network = config.network.hash
        bad[:] = bad or [network]
        yield report(epoch(1, 0.1))
        if network == bad[0]:
            raise ActorUnavailableError("Socket closed", None)
        yield report(epoch(2, 0.2), "complete")

    run(store, space_file, trials=5, worker=loses_its_node)
    trials = store.trials("tiny")
    assert sorted(trials["state"]) == ["complete"] * 5 + ["interrupted"]  # another one takes its place in the budget
    lost = trials[trials["state"] == "interrupted"]
    assert lost["hash"].tolist() == bad
    assert lost["reason"].tolist() == ["its node was lost (4 times)"]
    again = run(store, space_file, trials=6)
    assert [config.network.hash for config in again.configs] == bad


def _dies(config: Config) -> Iterator[Report]:
    raise ActorDiedError
    yield Report()


def test_a_worker_that_is_killed_costs_no_trial(store: Store, space_file: Path) -> None:
    begun: list[str] = []

    def killed_once(config: Config) -> Iterator[Report]:
        begun.append(config.network.hash)
        for said in learns(config):
            if len(begun) == 3:
                raise ActorDiedError
            yield said

    run(store, space_file, trials=6, worker=killed_once)
    trials = store.trials("tiny")
    assert trials["state"].tolist() == ["complete"] * 6
    assert trials["reason"].dropna().tolist() == [
        "tried again; at first its worker process died (crashed, killed, or out of memory)"
    ]
    assert max(begun.count(digest) for digest in begun) == 2


def test_a_network_that_kills_two_workers_is_a_failure(store: Store, space_file: Path) -> None:
    bad: list[str] = []

    def kills(config: Config) -> Iterator[Report]:
        network = config.network.hash
        bad[:] = bad or [network]
        if network == bad[0]:
            raise ActorDiedError
        yield from learns(config)

    run(store, space_file, trials=5, worker=kills)
    trials = store.trials("tiny").set_index("hash")
    assert trials["state"].to_dict() == {**dict.fromkeys(trials.index, "complete"), bad[0]: "failed"}
    assert trials.loc[bad[0], "reason"] == "its worker process died (crashed, killed, or out of memory) (twice)"


def test_workers_that_all_die_end_the_search_and_burn_nothing(store: Store, space_file: Path) -> None:
    """What is the same for every network is no network's failure: the same command goes on when it is mended."""
    with pytest.raises(
        SearchError, match="5 workers in a row were lost before any had trained an epoch; the last one: its"
    ):
        run(store, space_file, trials=30, worker=_dies)
    trials = store.trials("tiny")
    assert "interrupted" in set(trials["state"])
    assert (trials["state"] == "failed").sum() <= 2
    assert len(trials) <= 4
    assert store.running("tiny") == 0
    run(store, space_file, trials=30)
    assert (store.trials("tiny")["state"] == "complete").sum() >= 28


def test_networks_that_crash_now_and_then_do_not_end_the_search(store: Store, space_file: Path) -> None:
    def some_die(config: Config) -> Iterator[Report]:
        return _dies(config) if quality(config.network) < 0.3 else learns(config)

    run(store, space_file, trials=36, worker=some_die)
    states = store.trials("tiny")["state"].value_counts().to_dict()
    assert states["failed"] > 5
    assert states == {"failed": states["failed"], "complete": 36 - states["failed"]}


def test_a_fault_of_a_shared_gpu_is_the_failure_of_none_of_its_trials(store: Store, space_file: Path) -> None:
    """Under MPS a fault of one client ends all eight, before any has trained an epoch."""
    reason = "AcceleratorError: CUDA error: an illegal memory access was encountered"
    said = Report(verdict=Verdict(State("failed"), reason, retry=Retry.ELSEWHERE))
    begun: list[int] = []

    def faulty_at_first(config: Config) -> Iterator[Report]:
        begun.append(1)
        if len(begun) <= 8:
            yield said
        else:
            yield from learns(config)

    tune = SimulatedTune(store, space_file, trials=12, worker=faulty_at_first)
    with store.claim("tiny"):
        tune.run(workers=8)
    assert tune.stop.problem is None
    trials = store.trials("tiny")
    assert trials["state"].tolist() == ["complete"] * 12
    assert trials["reason"].dropna().tolist() == [f"tried again; at first {reason}"] * 8
    assert len(begun) == 20


def test_a_broken_gpu_is_never_the_failure_of_a_network(store: Store, space_file: Path) -> None:
    said = Report(
        verdict=Verdict(State("interrupted"), "CUDA error: uncorrectable ECC error encountered", retry=Retry.ELSEWHERE)
    )

    def broken(config: Config) -> Iterator[Report]:
        yield said

    with pytest.raises(SearchError, match="ECC error encountered"):
        run(store, space_file, trials=30, worker=broken)
    assert set(store.trials("tiny")["state"]) == {"interrupted"}


def test_one_broken_gpu_among_good_ones_does_not_eat_the_search(store: Store, space_file: Path) -> None:
    """It ends its trials at once, so that most are given to it. One in three goes well here, so that none are in a row."""
    reason = "CUDA error: uncorrectable ECC error encountered, on GPU 3 of worker7"
    said = Report(verdict=Verdict(State("interrupted"), reason, retry=Retry.ELSEWHERE))
    begun: list[int] = []

    def two_of_three(config: Config) -> Iterator[Report]:
        begun.append(1)
        if len(begun) % 3:
            yield said
        else:
            yield from learns(config)

    with pytest.raises(
        SearchError, match="more workers are lost before they have trained an epoch than train; .* worker7"
    ):
        run(store, space_file, trials=30, worker=two_of_three)
    assert set(store.trials("tiny")["state"]) == {"complete", "interrupted"}
    assert 20 < len(begun) < 70


def test_what_was_lost_as_the_search_ended_is_evaluated_by_the_next(store: Store, space_file: Path) -> None:
    def dies_at_the_end(config: Config) -> Iterator[Report]:
        yield report(epoch(1, 0.5))
        tune.stop.reason = "interrupted"
        raise ActorDiedError

    tune = SimulatedTune(store, space_file, worker=dies_at_the_end)
    with store.claim("tiny"):
        tune.run(workers=1)
    assert store.trials("tiny")["state"].tolist() == ["interrupted"]
