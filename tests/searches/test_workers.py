"""What models do to the processes that train them, and what becomes of those: real Ray, one worker."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nas
import nas.execution.worker
import tests.failing  # noqa: F401 (registers the block that misbehaves)
from nas.errors import SearchError
from nas.store import Store
from tests.small_search import QUICK

pytestmark = pytest.mark.usefixtures("local_ray")


def _search(folder: Path, storage: str, ways: str, **options: object) -> pd.DataFrame:
    path = folder / "bad.yaml"
    path.write_text(
        "name: bad\ninput: [1, 16, 16]\ngraph:\n"
        "  stem: {block: conv, channels: 12, stride: 2}\n"
        f"  trap: {{block: misbehave, how: {{choose: [{ways}]}}}}\n"
        "  head: {block: classifier, pool: flatten}\n"
    )
    options = {"recipe": QUICK, "max_concurrent": 1, "sampler": "random", **options}
    trials = nas.search(path, storage=storage, trials=ways.count(",") + 1, **options).trials
    with Store.open(storage) as store:
        assert store.running("bad-digits") == 0
    return trials.assign(how=[assignment["trap.how"] for assignment in trials["assignment"]]).set_index("how")


def _processes(trials: pd.DataFrame) -> list[tuple[str, int]]:
    """Which process trained what, as far as it says so, in the order of training."""
    said = [(how, re.search(r"in process (\d+)", str(reason))) for how, reason in trials["reason"].items()]
    return [(str(how), int(found.group(1))) for how, found in said if found]


@pytest.mark.long
def test_memory_that_runs_out_costs_the_process_and_a_model_that_hangs_its_time(tmp_path: Path, storage: str) -> None:
    trials = _search(tmp_path, storage, "cuda memory, say, say again, hang", trial_timeout=15)
    assert trials["state"].to_dict() == {
        "cuda memory": "out_of_memory",
        "say": "failed",
        "say again": "failed",
        "hang": "timed_out",
    }
    assert trials.loc["cuda memory", "reason"].startswith("OutOfMemoryError: CUDA out of memory")
    assert trials.loc["hang", "reason"] == "took longer than 15 s"
    assert 15 <= trials.loc["hang", "seconds"] < 24
    seen = _processes(trials)
    assert len(seen) == 3
    for (how, process), (_, following) in pairwise(seen):
        assert (following != process) == (how == "cuda memory")


class CannotBeMade(nas.execution.worker.Worker):
    """What becomes of a worker where the code is of another version."""

    def setup(self, config: dict[str, Any], **given: Any) -> None:  # type: ignore[override]
        raise ModuleNotFoundError("No module named 'blocks.new'")


@pytest.mark.long
def test_workers_that_cannot_be_made_end_the_search_with_the_cause_and_cost_no_trial(
    space_file: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(nas.execution.worker, "Worker", CannotBeMade)
        with pytest.raises(SearchError) as ended:
            nas.search(space_file, storage=storage, trials=20, epochs=1, max_concurrent=2, sampler="random")
    found = re.fullmatch(
        r"5 workers in a row were lost before any had trained an epoch; the last one: (its worker process could not be made on "
        r"[\d.]+: ModuleNotFoundError: No module named 'blocks.new'); mend that, and run the same command again to resume",
        str(ended.value),
    )
    assert found, ended.value
    with Store.open(storage) as store:
        trials = store.trials("tiny-digits")
        assert store.running("tiny-digits") == 0
    assert set(trials["state"]) == {"interrupted"}
    assert len(trials) <= 5
    assert f"{found[1]} (twice)" in set(trials["reason"])


@pytest.mark.slow
def test_a_process_that_hangs_in_native_code_is_ended_and_one_that_leaks_is_replaced(
    tmp_path: Path, storage: str
) -> None:
    ways = "not, leak, say, say again, killed, hang in C"
    trials = _search(tmp_path, storage, ways, trial_timeout=40, seed=32)
    assert trials.loc["not", "state"] == "complete", trials.loc["not", "reason"]
    assert set(trials.loc[["leak", "say", "say again", "killed"], "state"]) == {"failed"}
    # twice, so that it is the network
    assert trials.loc["killed", "reason"] == "its worker process died (crashed, killed, or out of memory) (twice)"
    assert trials.loc["hang in C", "state"] == "timed_out"
    assert trials.loc["hang in C", "reason"] == "hung in native code for longer than 40 s; its worker process was ended"
    # the first trial of a process says what it holds without a leak
    assert trials.index.tolist()[:3] == ["say again", "leak", "say"]
    first, leaking, following = (process for _, process in _processes(trials)[:3])
    assert first == leaking != following
