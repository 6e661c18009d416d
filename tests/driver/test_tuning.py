"""Which trial Tune starts next, and on which process."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

import nas
import nas.driver.trainable
from nas.driver.link import Link
from nas.driver.options import RayOptions
from nas.driver.packing import SHARED_BY, Gpu
from nas.driver.scheduler import Scheduler
from nas.driver.tuning import _resources
from nas.errors import SearchError


class LeavesATrace(nas.driver.trainable.TrialWorker):
    """A worker that says that it was started."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:  # type: ignore[override]
        folder = traces(os.getppid())
        folder.mkdir(exist_ok=True)
        (folder / str(os.getpid())).touch()
        super().setup(config, **given)


def traces(raylet: int) -> Path:
    return Path(tempfile.gettempdir()) / f"nas-test-workers-{raylet}"


def test_every_trial_is_chosen_once_in_its_order_and_only_while_it_waits() -> None:
    scheduler = Scheduler(Link())
    first, gone, last = (SimpleNamespace(trial_id=name, status=Trial.PENDING) for name in "abc")
    for trial in (first, gone, last):
        scheduler.on_trial_add(None, trial)
    gone.status = Trial.TERMINATED
    assert scheduler.choose_trial_to_run(None) is first
    assert scheduler.choose_trial_to_run(None) is last  # the first one has a process that is being started
    assert scheduler.choose_trial_to_run(None) is None


@pytest.mark.usefixtures("local_ray")
def test_a_process_is_started_for_each_slot_and_no_more(
    space_file: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials that are shorter than the start of a process."""
    monkeypatch.setattr(nas.driver.trainable, "TrialWorker", LeavesATrace)
    before = set(Path(tempfile.gettempdir()).glob("nas-test-workers-*/*"))
    result = nas.search(space_file, storage=storage, trials=16, epochs=1, max_concurrent=2, sampler="random")
    assert result.states == {"complete": 16}
    started = set(Path(tempfile.gettempdir()).glob("nas-test-workers-*/*")) - before
    assert 1 <= len(started) <= 2


def test_a_machine_without_gpus_shares_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.driver.tuning.find_gpu", lambda: pytest.fail("there is none to look at"))
    found = _resources(RayOptions(gpus_per_trial="auto"), {"CPU": 4.0})
    assert (found.gpus, found.gpu, found.concurrent, found.device) == (0, None, 4, "cpu")


def test_as_many_trials_at_once_as_share_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(80 << 30)
    monkeypatch.setattr("nas.driver.tuning.find_gpu", lambda: gpu)
    there = {"CPU": 64.0, "GPU": 4.0}
    found = _resources(RayOptions(gpus_per_trial="auto"), there)
    assert (found.gpu, found.concurrent, found.device) == (gpu, 4 * max(SHARED_BY), "cuda")
    assert _resources(RayOptions(gpus_per_trial="auto", cpus_per_trial=8), there).concurrent == 8
    assert _resources(RayOptions(gpus_per_trial=0.333), there).concurrent == 12
    assert _resources(RayOptions(), there).concurrent == 4
    # a cluster may grow to what is asked for, a machine may not
    assert _resources(RayOptions(max_concurrent=64), there).concurrent == 4
    assert _resources(RayOptions(max_concurrent=64, ray_address="auto"), there).concurrent == 64
    with pytest.raises(SearchError, match="gpus_per_trial: above 1 it must be whole, not 1.5"):
        _resources(RayOptions(gpus_per_trial=1.5), there)
    with pytest.raises(SearchError, match="must be a number or 'auto', not 'aut'; did you mean 'auto'"):
        RayOptions(gpus_per_trial="aut")


@pytest.mark.usefixtures("local_ray")
def test_auto_says_what_it_needs_where_pytorch_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray that was told of a GPU which is not there."""
    import ray

    from nas.driver.tuning import find_gpu

    monkeypatch.setattr("nas.driver.tuning.LOOK_SECONDS", 2.0)
    node = ray.nodes()[0]
    monkeypatch.setattr(ray, "nodes", lambda: [node])
    with pytest.raises(SearchError, match="has to know the memory of each GPU, but PyTorch finds none"):
        find_gpu()
    monkeypatch.setattr(ray, "nodes", lambda: [{**node, "Resources": {"CPU": 4.0, "GPU": 1.0}}])
    with pytest.raises(SearchError, match=r"'auto' could not look at a GPU \(.+\); give a number"):
        find_gpu()
