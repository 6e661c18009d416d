"""Which trial Tune starts next, and on which process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.tune.experiment import Trial

import nas
import nas.execution.worker
from nas.errors import SearchError
from nas.execution import gpus, session
from nas.execution.gpu_sharing import SHARED_BY, Gpu
from nas.execution.options import RayOptions
from nas.execution.ray_messages import ray_messages
from nas.execution.scheduler import Scheduler
from nas.execution.session import _available, _resources, let_wait
from nas.store import Store
from tests.small_search import QUICK


class LeavesATrace(nas.execution.worker.Worker):
    """A worker that says that it was started."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:  # type: ignore[override]
        Path(os.environ["NAS_TEST_FOLDER"], f"started-{os.getpid()}").touch()
        super().setup(config, **given)


def test_every_trial_is_chosen_once_in_its_order_and_only_while_it_waits() -> None:
    scheduler = Scheduler(SimpleNamespace())  # type: ignore[arg-type]
    first, gone, last = (SimpleNamespace(trial_id=name, status=Trial.PENDING) for name in "abc")
    for trial in (first, gone, last):
        scheduler.on_trial_add(None, trial)
    gone.status = Trial.TERMINATED
    assert scheduler.choose_trial_to_run(None) is first
    assert scheduler.choose_trial_to_run(None) is last  # the first one has a process that is being started
    assert scheduler.choose_trial_to_run(None) is None


@pytest.mark.long
@pytest.mark.usefixtures("local_ray")
def test_a_process_is_started_for_each_slot_and_no_more(
    space_file: Path, storage: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Trials that are shorter than the start of a process."""
    monkeypatch.setattr(nas.execution.worker, "Worker", LeavesATrace)
    folder = next(tmp_path_factory.getbasetemp().glob("workers*"))
    before = set(folder.glob("started-*"))
    result = nas.search(space_file, storage=storage, trials=16, recipe=QUICK, max_concurrent=2, sampler="random")
    assert sum(result.states.values()) == 16
    assert set(result.states) <= {"complete", "untrained"}
    started = set(folder.glob("started-*")) - before
    assert 1 <= len(started) <= 2


def test_a_machine_without_gpus_shares_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.execution.session.find_gpu", lambda note: pytest.fail("there is none to look at"))
    found = _resources(RayOptions(gpus_per_trial="auto"), {"CPU": 4.0})
    assert (found.gpus, found.gpu, found.concurrent, found.device) == (0, None, 4, "cpu")


def test_as_many_trials_at_once_as_share_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(80 << 30)
    monkeypatch.setattr("nas.execution.session.find_gpu", lambda note: gpu)
    there = {"CPU": 64.0, "GPU": 4.0}
    found = _resources(RayOptions(gpus_per_trial="auto"), there)
    assert (found.gpu, found.concurrent, found.device) == (gpu, 4 * max(SHARED_BY), "cuda")
    assert _resources(RayOptions(gpus_per_trial="auto", cpus_per_trial=8), there).concurrent == 8
    assert _resources(RayOptions(gpus_per_trial=0.333), there).concurrent == 12
    assert _resources(RayOptions(), there).concurrent == 4
    # a cluster may grow to what is asked for, a machine may not
    assert _resources(RayOptions(max_concurrent=64), there).concurrent == 4
    assert _resources(RayOptions(max_concurrent=64, ray_address="auto"), there).concurrent == 64
    # what is not shared is looked at as well
    assert _resources(RayOptions(device="cpu"), there).device == "cpu"
    with pytest.raises(SearchError, match="must be a number or 'auto', not 'aut'; did you mean 'auto'"):
        RayOptions(gpus_per_trial="aut")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gpus_per_trial": 2}, "gpus_per_trial: must be at most 1, not 2: a network is trained on one GPU"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial: must be at most 1, not 1.5: a network is trained on one GPU"),
        ({"gpus_per_trial": -1}, "gpus_per_trial: must be at least 0, not -1"),
        ({"device": "gpu"}, "no device 'gpu'; known: auto, cpu, cuda; did you mean 'cuda'?"),
        (
            {"device": "cuda", "gpus_per_trial": 0.0},
            "device cuda: gpus_per_trial 0 leaves a trial no GPU; use --device cpu",
        ),
        (
            {"device": "cpu", "gpus_per_trial": "auto"},
            "device cpu: gpus_per_trial auto asks for a GPU; leave one of them out",
        ),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SearchError) as refused:
        RayOptions(**options)
    assert str(refused.value) == says


def test_cuda_is_not_replaced_by_a_cpu() -> None:
    with pytest.raises(SearchError, match="gpus_per_trial: 1 wanted, but Ray has 0"):
        _resources(RayOptions(device="cuda"), {"CPU": 4.0})
    assert _resources(RayOptions(), {"CPU": 4.0}).device == "cpu"


class Starting:
    """A cluster whose GPU joins after some looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.looks, self.after = 0, after
        self.notes: list[str] = []
        self.now = 0.0
        monkeypatch.setattr("ray.cluster_resources", self.look)
        monkeypatch.setattr(gpus, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def look(self) -> dict[str, float]:
        self.looks += 1
        return {"CPU": 8.0, "GPU": 1.0} if self.looks > self.after else {}

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("options", [{"gpus_per_trial": "auto"}, {"gpus_per_trial": 0.5}, {"device": "cuda"}])
def test_a_gpu_that_was_asked_for_is_waited_for_with_signs_of_life(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    cluster = Starting(monkeypatch, 100)
    found = _available(RayOptions("auto", **options), cluster.notes.append)
    assert found == {"CPU": 8.0, "GPU": 1.0}
    assert cluster.notes[0] == "waiting for a machine with a GPU to join Ray (0 of at most 900 s)"
    assert len(cluster.notes) == 4  # every 30 s


def test_a_gpu_that_never_comes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Starting(monkeypatch, 10_000)
    with pytest.raises(
        SearchError, match="no GPU has joined Ray within 900 s; to train on CPUs use --gpus-per-trial 0"
    ):
        _available(RayOptions("auto", device="cuda"), cluster.notes.append)


def test_without_a_cluster_or_a_gpu_asked_for_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Starting(monkeypatch, 0)
    _available(RayOptions("auto"), cluster.notes.append)
    _available(RayOptions("auto", cpus_per_trial=64), cluster.notes.append)  # more than there are: a mistake
    assert cluster.looks == 2
    cluster.after = 10_000
    _available(RayOptions(gpus_per_trial="auto"), cluster.notes.append)
    assert cluster.looks == 3
    assert cluster.notes == []


def test_tune_starts_as_many_processes_as_trials_may_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray before 2.60 starts one at a time for a searcher of another's, whatever it is told of trials at once."""
    from ray.tune.execution.tune_controller import _get_max_pending_trials

    monkeypatch.delenv("TUNE_MAX_PENDING_TRIALS_PG", raising=False)
    assert _get_max_pending_trials(SimpleNamespace()) == 1  # type: ignore[arg-type]
    for trials, pending in ((1, 1), (64, 64), (5000, 200)):
        let_wait(trials)
        assert _get_max_pending_trials(SimpleNamespace()) == pending  # type: ignore[arg-type]


@pytest.mark.usefixtures("local_ray")
def test_a_gpu_whose_machine_is_lost_while_it_is_tried_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    node = {**ray.nodes()[0], "NodeManagerHostname": "worker7", "Resources": {"CPU": 4.0, "GPU": 1.0}}
    monkeypatch.setattr(ray, "nodes", lambda: [node])
    with pytest.raises(
        SearchError, match="GPU of worker7: the process that tried it was lost: .+; mend that, or train on"
    ):
        gpus.find_gpu()


@pytest.mark.usefixtures("local_ray")
def test_a_gpu_that_others_have_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(gpus, "LOOK_SECONDS", 1.0)
    monkeypatch.setattr(gpus, "TELL_SECONDS", 0.3)
    notes: list[str] = []
    waits = ray.remote(num_cpus=1)(lambda: time.sleep(20)).remote()
    assert gpus._answered([waits], notes.append) == []
    ray.cancel(waits, force=True)
    assert len(notes) >= 2
    monkeypatch.setattr(ray, "nodes", list)
    with pytest.raises(SearchError, match="no process could be started on it within 1 s, so another one has it"):
        gpus.find_gpu()


def test_what_ray_prints_of_a_worker_that_dies_does_not_stand_where_results_do(
    capfd: pytest.CaptureFixture[str],
) -> None:
    from ray._private import worker

    class Reports:
        """What a driver hears from raylets: one worker that died, then the end."""

        said = [(b"", {"job_id": None, "error_message": "A worker died or was killed"})]

        def subscribe(self) -> None: ...

        def poll(self) -> tuple[bytes, dict[str, Any] | None]:
            if self.said:
                return self.said.pop()
            raise OSError("closed")

    def hear() -> str:
        id = SimpleNamespace(binary=lambda: b"1")
        worker.listen_error_messages(
            SimpleNamespace(gcs_error_subscriber=Reports(), current_job_id=id), threading.Event()
        )
        return "".join(capfd.readouterr())

    with ray_messages():
        assert "died" not in hear()
    Reports.said.append((b"", {"job_id": None, "error_message": "Another worker died"}))
    assert "died" in hear()  # Ray's own again


UNUSABLE = """
import sys, ray
from nas.cli import main

ray.init(address="local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
         _system_config={"worker_niceness": 0})
main(["search", "--space", sys.argv[1], "--storage", sys.argv[2], "--trials", "4", "--epochs", "1"])
"""


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_gpu_that_ray_sees_and_pytorch_cannot_open_ends_the_search_before_its_first_trial(
    space_file: Path, storage: str, repository: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNUSABLE, str(space_file), storage],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(repository), "RAY_ADDRESS": ""},
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("nas: error: GPU of ")
    assert f"PyTorch {torch.__version__} cannot use it: " in last
    assert last.endswith("mend that, or train on CPUs with --gpus-per-trial 0")
    with Store.open(storage) as store:
        assert store.trials("tiny-digits").empty
        assert store.driver("tiny-digits") is None


def test_a_ray_that_does_not_start_in_time_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    tried: list[str] = []

    def init(**settings: object) -> str:
        tried.append("init")
        if tried.count("init") < 3:
            raise Exception("The current node timed out during startup. This could happen because …")
        return "started"

    notes: list[str] = []
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: tried.append("ended"))
    assert session._started(RayOptions(), notes.append) == "started"
    assert tried == ["init", "ended", "init", "ended", "init"]
    assert len(notes) == 2
    monkeypatch.setattr(session, "START_ATTEMPTS", 1)
    tried.clear()
    with pytest.raises(Exception, match="timed out during startup"):
        session._started(RayOptions(), notes.append)
