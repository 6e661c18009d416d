from __future__ import annotations

from nas.execution.attempts import LOST_SECONDS, Attempt
from nas.execution.gpu_sharing import Slot
from nas.execution.job import Job
from nas.execution.report import Report
from nas.execution.worker_loss import NODE_LOST
from nas.states import State
from nas.train import Epoch, Retry, Verdict

SLOT = Slot(1.0)
LOST = Verdict(State.INTERRUPTED, NODE_LOST, retry=Retry.ELSEWHERE)


def epoch(number: int) -> Epoch:
    return Epoch(number, 1.0, 1.0, 0.5, 0.9, 1.0, 100.0, 0.1)


def lost(attempt: Attempt[Job], seconds: float, *reached: int) -> Attempt[Job] | None:
    """What follows on an attempt whose machine is taken away after so many seconds, and these epochs."""
    attempt.waiting = False
    for number in reached:
        attempt.hear(Report(epoch=epoch(number)))
    attempt.hear(Report(verdict=LOST, seconds=seconds, node_lost=True))
    return attempt.again()


def test_a_trial_goes_on_from_machine_to_machine_until_its_time_without_progress_is_up() -> None:
    attempt = Attempt(Job(None, SLOT), SLOT)
    for number in range(1, 40):  # each machine lives for one epoch
        following = lost(attempt, LOST_SECONDS / 2, number)
        assert following is not None
        attempt = following
    for _ in range(9):  # an epoch takes longer than a machine lives: it goes on from a checkpoint inside of it
        following = lost(attempt, LOST_SECONDS / 10)
        assert following is not None
        attempt = following
    assert lost(attempt, LOST_SECONDS / 10) is None
    outcome = attempt.outcome()
    assert (outcome.state, outcome.cut_off) == (State.INTERRUPTED, False)
    assert outcome.reason == f"{NODE_LOST} (49 times)"


def test_a_process_that_dies_twice_where_it_was_is_not_tried_a_third_time() -> None:
    died = Report(verdict=Verdict(State.FAILED, "died", retry=Retry.ELSEWHERE), seconds=1.0)
    attempt = Attempt(Job(None, SLOT), SLOT)
    attempt.hear(died)
    following = attempt.again()
    assert following is not None
    following.hear(died)
    assert following.again() is None
