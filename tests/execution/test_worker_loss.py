"""What is said of a trial whose process is gone."""

from __future__ import annotations

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    LocalRayletDiedError,
    OutOfMemoryError,
    RayTaskError,
)

from nas.execution.report import Report, Retire
from nas.execution.worker_loss import last_words
from nas.states import State
from nas.train import Verdict

NODE = ActorDiedError()
NODE.error_msg = (
    "The actor died unexpectedly before finishing this task.\nThe actor died because its node has died. Node Id: 1"
)


RAYLET = ActorDiedError()
RAYLET.error_msg = (
    "The actor died unexpectedly before finishing this task.\nThe actor is dead because its owner has died. Owner Id: 01 "
    "Owner worker exit type: SYSTEM_ERROR Worker exit detail: Owner's node has crashed."
)
KILLED = ActorDiedError()
KILLED.error_msg = (
    "The actor died unexpectedly before finishing this task.\n\tpid: 1\nThe actor is dead because its worker process has "
    "died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error code 2. End of "
    "file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage, (2) …"
)
EXITED = ActorDiedError()
EXITED.error_msg = (
    "The actor died unexpectedly before finishing this task.\nThe actor is dead because its worker process has died. Worker "
    "exit type: SYSTEM_ERROR Worker exit detail: Worker exits unexpectedly. Worker exits with an exit code 3."
)
NEVER_MADE = ActorDiedError(
    RayTaskError(
        "TrialWorker.__init__",
        '\x1b[36mray::TrialWorker.__init__()\x1b[39m (pid=7, ip=10.0.0.2)\n  File "x.py", line 13, in setup\n'
        "ModuleNotFoundError: No module named 'blocks.new'",
        ModuleNotFoundError("No module named 'blocks.new'"),
    )
)
DIED = "its worker process died (crashed, killed, or out of memory)"
MADE = "its worker process could not be made on 10.0.0.2: ModuleNotFoundError: No module named 'blocks.new'"


def _task_error(cause: Exception) -> Exception:
    return RayTaskError("step", "traceback", cause)


@pytest.mark.parametrize(
    ("problem", "seconds", "state", "reason", "retry"),
    [
        (OutOfMemoryError("x"), 3.0, "out_of_memory", "the machine ran out of memory; Ray ended the worker", "alone"),
        (NODE, 60.0, "interrupted", "its node was lost", "elsewhere"),
        (ActorUnavailableError("Socket closed", None), 3.0, "interrupted", "its node was lost", "elsewhere"),
        (RAYLET, 3.0, "interrupted", "its node was lost", "elsewhere"),
        (LocalRayletDiedError(), 3.0, "interrupted", "its node was lost", "elsewhere"),
        (NEVER_MADE, 0.0, "interrupted", MADE, "elsewhere"),
        (NEVER_MADE, 25.0, "interrupted", MADE, "elsewhere"),
        (ActorDiedError(), 3.0, "failed", DIED, "elsewhere"),
        (KILLED, 3.0, "failed", DIED, "elsewhere"),
        (
            EXITED,
            3.0,
            "failed",
            "its worker process died (Worker exits unexpectedly. Worker exits with an exit code 3)",
            "elsewhere",
        ),
        (None, 3.0, "failed", DIED, "elsewhere"),
        (
            ActorDiedError(),
            25.0,
            "timed_out",
            "hung in native code for longer than 20 s; its worker process was ended",
            "never",
        ),
        (ActorDiedError(), 19.0, "failed", DIED, "elsewhere"),
        (ValueError("odd"), 3.0, "failed", "ValueError: odd", "never"),
    ],
)
def test_the_state_and_the_reason(
    problem: Exception | None, seconds: float, state: str, reason: str, retry: str
) -> None:
    report = last_words(problem, seconds, 20.0)
    verdict = report.verdict
    assert verdict is not None
    assert (verdict.state, verdict.reason, report.seconds, verdict.retry) == (state, reason, seconds, retry)
    assert report.node_lost == (reason == "its node was lost")


def test_a_worker_that_retires_reports_like_any_other() -> None:
    said = Report(verdict=Verdict(State.COMPLETE), seconds=2.0)
    assert last_words(_task_error(Retire(said.to_json())), 9.0, None) == said


def test_without_a_limit_no_time_is_too_long() -> None:
    verdict = last_words(ActorDiedError(), 1e6, None).verdict
    assert verdict is not None
    assert verdict.state == "failed"
