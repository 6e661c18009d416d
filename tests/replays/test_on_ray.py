"""Replays side by side: what becomes of what Tune tells, and the whole on a real Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from copy import copy
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from ray.exceptions import ActorDiedError, RayTaskError

from nas.data import load_test
from nas.errors import NasError, SearchError
from nas.execution.gpu_sharing import Slot
from nas.execution.report import REPORT, Report, Retire
from nas.execution.runner import Runner
from nas.execution.session import check_reachable
from nas.execution.stop import Stop
from nas.execution.tune_searcher import JobSearcher
from nas.replays.jobs import Series
from nas.replays.options import TrainingOptions
from nas.replays.plan import Shelf, plan_replay
from nas.replays.progress import Progress
from nas.replays.seed_source import SeedJob, SeedSource, SeedSpec
from nas.replays.training import SeedTraining
from nas.space.published import PublishedConfig
from nas.states import State
from nas.store import Store
from nas.train import Verdict, judge
from tests.conftest import Run
from tests.replays.conftest import QUICK, config
from tests.small_search import storage

__all__ = ["config", "storage"]  # fixtures


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.running: set[str] = set()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def begin(self, name: str, epochs: int, done: int) -> None:
        super().begin(name, epochs, done)
        self.running.add(name)

    def end(self, name: str) -> None:
        self.running.discard(name)


@pytest.fixture
def series(config: Path, storage: str, tmp_path: Path) -> Iterator[Series]:
    """Two epochs of a tiny network under three seeds."""
    options = TrainingOptions(epochs=2, fraction=0.1, seeds=3, output=tmp_path / "out")
    with Store.open(storage, create=True) as store:
        made = Series(plan_replay(PublishedConfig.load(config), options, Shelf()), options, store, Notes())
        made.folder.mkdir(parents=True)
        yield made


class Replay:
    """A replay whose workers are this process, and which hears of them as from Tune."""

    def __init__(self, series: Series, times: int = 1, gpus: float = 0.0) -> None:
        assert isinstance(series.progress, Notes)
        self.series, self.notes, self.stop = series, series.progress, Stop()
        waiting = series.waiting(again=False)
        self.source = SeedSource(
            [copy(series) for _ in range(times)], [waiting] * times, Slot(gpus), series.progress, tells=True
        )
        self.searcher: JobSearcher[SeedJob] = JobSearcher(self.source, self.stop)

    def start(self, name: str) -> SeedSpec | str | None:
        suggested = self.searcher.suggest(name)
        return suggested["spec"] if isinstance(suggested, dict) else suggested

    def hear(self, name: str, *reports: Report) -> None:
        for report in reports:
            result = {REPORT: report.to_json()}
            if report.verdict is None:
                assert self.searcher.goes_on(name, result[REPORT])
                self.searcher.on_trial_result(name, result)
            else:
                self.searcher.on_trial_complete(name, result)

    def lose(self, name: str, problem: Exception | None = None) -> None:
        self.searcher.lost(name, problem or ActorDiedError())
        self.searcher.on_trial_complete(name, error=True)


def trained(series: Series, seed: int, folder: Path | None = None) -> list[Report]:
    """What a worker reports of one training."""
    runner = Runner(torch.device("cpu"))
    test = partial(load_test, series.plan.dataset.task)
    runner.assign(SeedTraining(series.plan, seed, torch.device("cpu"), folder or series.folder, test), Slot(0.0))
    reports = [runner.step()]
    while reports[-1].verdict is None:
        reports.append(runner.step())
    return reports


DIED = "its worker process died (crashed, killed, or out of memory)"


def test_what_a_worker_reports_is_recorded_once(series: Series) -> None:
    replay = Replay(series)
    assert replay.start("a") == SeedSpec(0, 0)
    first, last = trained(series, 0)
    assert series.plan.title in next(series.folder.parent.iterdir()).name
    replay.hear("a", first)
    assert replay.notes.running == {"tiny_net seed 0"}
    replay.hear("a", last, last)
    rows = series.store.measurements()
    assert list(rows["state"]) == ["complete"]
    assert [point["epoch"] for point in rows.iloc[0]["curve"]] == [1, 2]
    assert rows.iloc[0]["curve"][1]["train_accuracy"] > 0
    assert rows.iloc[0]["reason"] is pd.NA
    assert last.tested is not None
    assert rows.iloc[0]["scores"] == last.tested.scores
    assert replay.notes.notes == [f"tiny_net seed 0: test accuracy {rows.iloc[0]['accuracy']:.2%}"]
    assert replay.notes.running == set()
    assert not list(series.folder.glob("*.checkpoint"))
    assert series.waiting(again=False) == [1, 2]


def test_a_network_that_fails_ends_its_plan_and_is_tried_again_by_the_next_run(series: Series) -> None:
    replay = Replay(series)
    replay.start("a")
    replay.hear("a", trained(series, 0)[0], Report(verdict=judge(RuntimeError("no such kernel"))))
    assert replay.start("b") == "FINISHED"  # the other seeds would fail as well
    row = series.store.measurements().iloc[0]
    assert (row["state"], row["reason"], len(row["curve"])) == ("failed", "RuntimeError: no such kernel", 1)
    assert replay.notes.notes == ["tiny_net seed 0: failed: RuntimeError: no such kernel"]
    assert series.waiting(again=False) == [0, 1, 2]


def test_a_worker_that_is_killed_goes_on_from_its_last_epoch_once(series: Series) -> None:
    replay = Replay(series)
    first = replay.start("a")
    replay.hear("a", trained(series, 0)[0])
    replay.lose("a")
    assert series.store.measurements().empty
    assert replay.notes.notes == [f"tiny_net seed 0: {DIED}; it is tried once more"]
    assert replay.start("b") == first
    # from a checkpoint after the last epoch, what is left is the look at the test set
    (last,) = trained(series, 0)
    assert last.begun is not None
    assert [epoch.epoch for epoch in last.begun.epochs] == [1, 2]
    replay.lose("b", RayTaskError("step", "traceback", Retire(last.to_json())))
    row = series.store.measurements().iloc[0]
    assert (row["state"], len(row["curve"])) == ("complete", 2)
    assert row["reason"] == f"tried again; at first {DIED}"


def test_a_network_that_kills_two_workers_has_failed(series: Series) -> None:
    replay = Replay(series)
    replay.start("a")
    replay.lose("a")
    replay.start("b")
    replay.lose("b")
    assert series.store.measurements()["reason"].tolist() == [f"{DIED} (twice)"]
    assert replay.start("c") == "FINISHED"


def test_nothing_more_is_proposed_only_when_nothing_can_be_lost(series: Series) -> None:
    replay = Replay(series)
    for name in "abc":
        assert isinstance(replay.start(name), SeedSpec)
    assert replay.start("d") is None
    for name in "abc":
        replay.hear(name, Report(verdict=judge(NasError("mend it"))))
    assert replay.start("d") == "FINISHED"


def test_replays_whose_workers_all_die_end_with_the_cause(series: Series) -> None:
    replay = Replay(series, times=20)
    died = 0
    while isinstance(replay.start("a"), SeedSpec):
        died += 1
        replay.lose("a")
    assert died == 5
    assert DIED in str(replay.stop.problem)


def test_memory_that_runs_out_beside_others_is_tried_again_alone(series: Series) -> None:
    replay = Replay(series, gpus=0.5)
    first = replay.start("a")
    replay.start("b")
    for name in "ab":
        replay.searcher.on_worker(name)
    exhausted = Report(verdict=judge(torch.OutOfMemoryError("CUDA out of memory")))
    replay.hear("a", exhausted)
    assert series.store.measurements().empty
    suggested = replay.searcher.suggest("c")
    assert isinstance(suggested, dict)
    assert (suggested["spec"], suggested["slot"]) == (first, Slot(1.0, alone=True))
    replay.hear("c", exhausted)
    assert series.store.measurements()["reason"].tolist() == [
        "OutOfMemoryError: CUDA out of memory (alone on its device)"
    ]


def test_a_process_that_retires_has_reported(series: Series) -> None:
    replay = Replay(series)
    replay.start("a")
    exhausted = Report(verdict=judge(torch.OutOfMemoryError("CUDA out of memory")))
    replay.lose("a", RayTaskError("step", "traceback", Retire(exhausted.to_json())))
    assert list(series.store.measurements()["state"]) == ["out_of_memory"]
    assert replay.notes.notes == [
        "tiny_net seed 0: out_of_memory: OutOfMemoryError: CUDA out of memory; try a smaller --batch-size"
    ]


def test_what_the_user_must_mend_keeps_no_other_seed_from_training(series: Series) -> None:
    replay = Replay(series)
    replay.start("a")
    (report,) = trained(series, 0, series.folder / "absent")
    replay.hear("a", report)
    (problem,) = replay.source.broken
    assert "absent: is not there on " in str(problem)
    assert replay.notes.notes == [f"tiny_net seed 0: {problem}"]
    assert series.store.measurements().empty
    assert replay.start("b") == SeedSpec(0, 1)


def test_what_is_stopped_is_not_recorded(series: Series) -> None:
    replay = Replay(series)
    replay.start("a")
    replay.hear("a", trained(series, 0)[0])
    replay.stop.reason = "interrupted"
    assert replay.start("b") == "FINISHED"
    replay.searcher.close()
    assert series.store.measurements().empty
    assert replay.notes.running == set()


def test_a_worker_of_other_code_ends_the_run_with_one_line(series: Series) -> None:
    replay = Replay(series)
    replay.start("a")
    report = json.loads(Report(verdict=Verdict(State.COMPLETE)).to_json())
    del report["verdict"]["mend"]
    replay.searcher.on_trial_complete("a", {REPORT: json.dumps(report)})
    assert str(replay.stop.problem) == (
        "a worker reports what this nas cannot read: report.verdict: must have state, reason, retire, retry, doubtful, mend, and "
        "has state, reason, retire, retry, doubtful; every machine of a cluster needs the same version of nas"
    )
    assert replay.start("b") == "FINISHED"


def two(config: Path) -> tuple[str, str]:
    other = config.with_name("tiny_two.yaml")
    other.write_text(config.read_text().replace("tiny_net", "tiny_two").replace("channels: 16", "channels: 8"))
    return str(config), str(other)


QUICKLY = (*QUICK, "--epochs", "1", "--fraction", "0.3", "--max-concurrent", "2")


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_several_networks_and_seeds_train_side_by_side(run: Run, config: Path, tmp_path: Path) -> None:
    code, out, err = run("replay", *two(config), *QUICKLY, "--seeds", "2", "--json")
    assert code == 0
    records = json.loads(out)
    assert [record["name"] for record in records] == ["tiny_net", "tiny_two"]
    assert [record["trained"] for record in records] == [[0, 1]] * 2
    assert sorted(line for line in err.splitlines() if "epoch 1/1" not in line) == sorted(
        f"{record['name']} seed {seed}: test accuracy {record['values'][seed]:.2%}"
        for record in records
        for seed in (0, 1)
    )
    # the same as in this process
    code, out, _ = run("replay", str(config), *QUICK, "--epochs", "1", "--fraction", "0.3", "--json")
    assert json.loads(out)[0]["values"] == records[0]["values"][:1]
    assert json.loads(out)[0]["trained"] == []
    alone = ("--storage", f"sqlite:///{tmp_path}/alone.db", "--output", "alone")
    code, out, _ = run("replay", str(config), *QUICK, "--epochs", "1", "--fraction", "0.3", *alone, "--json")
    assert json.loads(out)[0]["values"] == records[0]["values"][:1]
    # a damaged checkpoint is one line, and keeps nothing else from training
    folder = next(tmp_path.glob("nas-replays/tiny_net-*"))
    (folder / "seed-0.checkpoint").write_bytes(b"half of a file")
    code, out, err = run("replay", *two(config), *QUICKLY, "--max-concurrent", "1", "--again", "--json")
    assert code == 2
    assert [record["name"] for record in json.loads(out)] == ["tiny_two"]
    assert err.splitlines()[-1].startswith("nas: error: ")
    assert "remove it to train from the start" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--max-concurrent", "0"), "max_concurrent: must be at least 1, not 0"),
        (("--cpus-per-trial", "10000"), "cpus_per_trial: 10000 wanted, but Ray has"),
        (("--gpus-per-trial", "1"), "gpus_per_trial: 1 wanted, but Ray has 0"),
        (
            ("--gpus-per-trial", "0", "--device", "cuda"),
            "device cuda: gpus_per_trial 0 leaves a trial no GPU; use --device cpu",
        ),
    ],
)
@pytest.mark.usefixtures("local_ray")
def test_mistakes_are_one_line(run: Run, config: Path, arguments: tuple[str, ...], says: str) -> None:
    code, out, err = run("replay", str(config), *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "localhost:{port}"])
def test_a_cluster_that_does_not_answer_is_told_at_once(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = address.format(port=server.getsockname()[1])
        check_reachable(address)
    with pytest.raises(SearchError, match=f"Ray at {address} cannot be reached: Connection refused"):
        check_reachable(address)
    check_reachable("auto")


def test_ray_client_is_refused_with_the_remedy() -> None:
    with pytest.raises(SearchError, match="Ray at ray://head:10001: .* with --ray-address auto, or name HOST:6379"):
        check_reachable("ray://head:10001")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_that_ends_is_continued(run: Run, config: Path, tmp_path: Path, number: signal.Signals) -> None:
    arguments = ["replay", *two(config), *QUICK, "--epochs", "60", "--max-concurrent", "2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "nas", *arguments],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 3/60" in line:
            break
    process.send_signal(number)
    process.stderr.read()
    assert process.wait() == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    process.stderr.close()
    with Store.open(f"sqlite:///{tmp_path}/nas.db") as store:
        assert store.measurements().empty
    code, out, err = run(*arguments, "--json")
    assert code == 0
    assert "resumes after epoch" in err
    assert [record["trained"] for record in json.loads(out)] == [[0], [0]]
