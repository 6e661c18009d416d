"""What is said of a trial whose process is gone."""

from __future__ import annotations

import json

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, RayTaskError

from nas.driver.scheduler import last_words
from nas.driver.trainable import Retire

NODE = ActorDiedError()
NODE.error_msg = (
    "The actor died unexpectedly before finishing this task.\nThe actor died because its node has died. Node Id: 1"
)


def _task_error(cause: Exception) -> Exception:
    return RayTaskError("step", "traceback", cause)


@pytest.mark.parametrize(
    ("problem", "seconds", "state", "reason"),
    [
        (OutOfMemoryError("killed"), 3.0, "out_of_memory", "the machine ran out of memory; Ray ended the worker"),
        (NODE, 60.0, "interrupted", "its node was lost"),
        (ActorUnavailableError("Socket closed", None), 3.0, "interrupted", "its node was lost"),
        (ActorDiedError(), 3.0, "failed", "its worker process died (crashed, killed, or out of memory)"),
        (None, 3.0, "failed", "its worker process died (crashed, killed, or out of memory)"),
        (ActorDiedError(), 25.0, "timed_out", "hung in native code for longer than 20 s; its worker process was ended"),
        (
            ActorDiedError(),
            19.0,
            "failed",
            "its worker process died (crashed, killed, or out of memory)",
        ),
        (ValueError("odd"), 3.0, "failed", "ValueError: odd"),
    ],
)
def test_the_state_and_the_reason(problem: Exception | None, seconds: float, state: str, reason: str) -> None:
    report = last_words(problem, seconds, 20.0)
    assert (report["state"], report["reason"], report["seconds"]) == (state, reason, seconds)


def test_a_worker_that_retires_reports_like_any_other() -> None:
    said = {"state": "complete", "reason": "", "epoch": {"accuracy": 0.5}, "seconds": 2.0}
    assert last_words(_task_error(Retire(json.dumps(said))), 9.0, None) == said


def test_without_a_limit_no_time_is_too_long() -> None:
    assert last_words(ActorDiedError(), 1e6, None)["state"] == "failed"
