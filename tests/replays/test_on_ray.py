"""Replays side by side: what the link makes of what Tune tells it, and the whole on a real Ray."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from nas.data import load_test
from nas.errors import SearchError
from nas.execution.protocol import REPORT
from nas.execution.session import check_reachable
from nas.replays.jobs import Job
from nas.replays.options import TrainingOptions
from nas.replays.plan import Shelf, plan_replay
from nas.replays.progress import Progress
from nas.replays.training import Training
from nas.replays.training_searcher import ReplayLink
from nas.space.published import PublishedConfig
from nas.store import Store
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
def job(config: Path, storage: str, tmp_path: Path) -> Iterator[Job]:
    """Two epochs of a tiny network under three seeds."""
    options = TrainingOptions(epochs=2, fraction=0.1, seeds=3, output=tmp_path / "out")
    with Store.open(storage, create=True) as store:
        made = Job(plan_replay(PublishedConfig.load(config), options, Shelf()), options, store, Notes())
        made.folder.mkdir(parents=True)
        yield made


def link_of(job: Job) -> tuple[ReplayLink, Notes]:
    assert isinstance(job.progress, Notes)
    return ReplayLink([job], [(0, seed) for seed in job.waiting(again=False)], job.progress), job.progress


def said(**values: Any) -> dict[str, Any]:
    report = {"begun": None, "epoch": None, "ended": None, "broken": None, "state": None}
    return {REPORT: json.dumps({**report, **values})}


def trained(job: Job, seed: int) -> list[dict[str, Any]]:
    """What a worker reports of one training."""
    training = Training(job.plan, seed, torch.device("cpu"), job.folder)
    begun: int | None = training.begin()
    reports = []
    while not training.finished:
        reports.append({"begun": begun, "epoch": asdict(training.step())})
        begun = None
    reports[-1]["ended"] = asdict(training.measure(load_test(job.plan.dataset.task)))
    return reports


def test_what_a_worker_reports_is_recorded_once(job: Job) -> None:
    link, notes = link_of(job)
    assert link.suggest("a") == {"place": 0, "seed": 0}
    first, last = trained(job, 0)
    assert job.plan.title in next(job.folder.parent.iterdir()).name
    link.on_trial_result("a", said(**first))
    assert notes.running == {"tiny_net seed 0"}
    link.on_trial_complete("a", said(**last))
    link.on_trial_complete("a", said(**last))
    rows = job.store.measurements()
    assert list(rows["state"]) == ["complete"]
    assert len(rows.iloc[0]["curve"]) == 2
    assert notes.notes == [f"tiny_net seed 0: test accuracy {rows.iloc[0]['accuracy']:.2%}"]
    assert notes.running == set()
    assert not list(job.folder.glob("*.checkpoint"))
    assert job.waiting(again=False) == [1, 2]


def test_a_lost_worker_is_a_failure_that_ends_its_plan_and_is_tried_again(job: Job) -> None:
    link, notes = link_of(job)
    link.suggest("a")
    link.on_trial_result("a", said(**trained(job, 0)[0]))
    link.lost("a", lambda seconds: {"state": "failed", "reason": "its worker process died", "seconds": seconds})
    link.on_trial_complete("a", error=True)
    assert link.suggest("b") == "FINISHED"  # the other seeds would fail as well
    row = job.store.measurements().iloc[0]
    assert (row["state"], row["reason"], len(row["curve"])) == ("failed", "its worker process died", 1)
    assert notes.notes == ["tiny_net seed 0: failed: its worker process died"]
    assert job.waiting(again=False) == [0, 1, 2]
    assert list(job.folder.glob("seed-0.checkpoint"))  # from which it goes on


def test_a_worker_that_is_killed_goes_on_from_its_last_epoch_once(job: Job) -> None:
    link, notes = link_of(job)
    reason = "its worker process died (crashed, killed, or out of memory)"

    def lose(trial_id: str) -> None:
        link.lost(trial_id, lambda seconds: {"state": "failed", "reason": reason, "seconds": 0.0, "retry": "elsewhere"})
        link.on_trial_complete(trial_id, error=True)

    first = link.suggest("a")
    link.on_trial_result("a", said(**trained(job, 0)[0]))
    lose("a")
    assert job.store.measurements().empty
    assert notes.notes == [f"tiny_net seed 0: {reason}; it is tried once more"]
    assert link.suggest("b") == first
    lose("b")
    assert job.store.measurements()["reason"].tolist() == [reason]
    assert link.suggest("c") == "FINISHED"


def test_nothing_more_is_proposed_only_when_nothing_can_be_lost(job: Job) -> None:
    link, _ = link_of(job)
    for name in "abc":
        assert isinstance(link.suggest(name), dict)
    assert link.suggest("d") is None
    for name in "abc":
        link.on_trial_complete(name, said(broken="mend it"))
    assert link.suggest("d") == "FINISHED"


def test_replays_whose_workers_all_die_end_with_the_cause(job: Job) -> None:
    link = ReplayLink([job] * 20, [(place, 0) for place in range(20)], job.progress)
    died = 0
    while isinstance(link.suggest("a"), dict):
        died += 1
        link.lost("a", lambda seconds: {"state": "interrupted", "reason": "no such module", "retry": "elsewhere"})
        link.on_trial_complete("a", error=True)
    assert died == 5
    assert "no such module" in str(link.problem)


def test_a_process_that_retires_has_reported(job: Job) -> None:
    link, notes = link_of(job)
    link.suggest("a")
    training = Training(job.plan, 0, torch.device("cpu"), job.folder)
    ended = asdict(training.failed("out_of_memory", "CUDA out of memory"))  # type: ignore[arg-type]
    link.lost("a", lambda seconds: json.loads(said(begun=0, ended=ended)[REPORT]))
    link.on_trial_complete("a", error=True)
    assert list(job.store.measurements()["state"]) == ["out_of_memory"]
    assert notes.notes == ["tiny_net seed 0: out_of_memory: CUDA out of memory; try a smaller --batch-size"]


def test_what_the_user_must_mend_keeps_no_other_seed_from_training(job: Job) -> None:
    link, _ = link_of(job)
    link.suggest("a")
    link.on_trial_complete("a", said(broken="seed-0.checkpoint: no checkpoint that can be read"))
    assert [str(problem) for problem in link.broken] == ["seed-0.checkpoint: no checkpoint that can be read"]
    assert job.store.measurements().empty
    assert link.suggest("b") == {"place": 0, "seed": 1}


def test_what_is_stopped_is_not_recorded(job: Job) -> None:
    link, notes = link_of(job)
    link.suggest("a")
    link.on_trial_result("a", said(**trained(job, 0)[0]))
    link.stop_reason = "interrupted"
    assert link.ended()
    link.close()
    assert job.store.measurements().empty
    assert notes.running == set()


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
        f"{record['name']} seed {seed}: test accuracy {record['accuracies'][seed]:.2%}"
        for record in records
        for seed in (0, 1)
    )
    # the same as in this process
    code, out, _ = run("replay", str(config), *QUICK, "--epochs", "1", "--fraction", "0.3", "--json")
    assert json.loads(out)[0]["accuracies"] == records[0]["accuracies"][:1]
    assert json.loads(out)[0]["trained"] == []
    alone = ("--storage", f"sqlite:///{tmp_path}/alone.db", "--output", "alone")
    code, out, _ = run("replay", str(config), *QUICK, "--epochs", "1", "--fraction", "0.3", *alone, "--json")
    assert json.loads(out)[0]["accuracies"] == records[0]["accuracies"][:1]
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
