"""Workers that are lost: what is said in their place, and when a run must end because too many are.

That is when all are lost, or those of one machine that takes every job it is given.
"""

from __future__ import annotations

import re

from ray.exceptions import (
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    RuntimeEnvSetupError,
    WorkerCrashedError,
)

from nas.errors import SearchError
from nas.execution.report import Report, Retire
from nas.states import State
from nas.train import Retry, Verdict, judge

NODE_LOST = "its node was lost"
NODE_DIED = ("its node has died", "its owner has died", "node has crashed")

MOST_WORDS = 300
"""Characters of Ray's that a reason repeats."""

IN_A_ROW = 5
"""Deaths in a row that may have come from networks: two that crash, each tried twice, and the first attempt at a third."""

EXCESS = 20
"""Deaths more than trials that trained. A broken GPU among good ones fails its trials in seconds, so that it is given most."""


class Deaths:
    """Counts workers that were lost before they had trained an epoch."""

    def __init__(self) -> None:
        self._row = 0
        self._excess = 0
        self._at_once = 0

    def epoch(self, *, first: bool) -> None:
        """A worker has trained an epoch, the `first` of its trial."""
        self._row = 0
        self._excess = max(0, self._excess - first)

    def death(self, reason: str, running: int) -> SearchError | None:
        """A worker was lost by `reason` while `running` trials ran. The error that ends the search, when it was one too many.

        A fault of one GPU ends all processes that share it at once, and those that are started next may be well. So there must
        be more deaths than trials at once.
        """
        self._row += 1
        self._excess += 1
        self._at_once = max(self._at_once, running)
        if self._row >= max(IN_A_ROW, self._at_once + 1):
            lost = f"{self._row} workers in a row were lost before any had trained an epoch"
        elif self._excess >= max(EXCESS, 2 * self._at_once):
            lost = "more workers are lost before they have trained an epoch than train"
        else:
            return None
        return SearchError(f"{lost}; the last one: {reason}; mend that, and run the same command again to resume")


def last_words(problem: Exception | None, seconds: float, timeout: float | None) -> Report:
    """The report of a job whose process is gone after so many seconds, from Ray's error."""
    if isinstance(problem, RayTaskError) and isinstance(problem.cause, Retire):
        return Report.from_json(problem.cause.report)
    if isinstance(problem, OutOfMemoryError):
        reason = "the machine ran out of memory; Ray ended the worker"
        return Report(verdict=Verdict(State.OUT_OF_MEMORY, reason, retry=Retry.ALONE), seconds=seconds)
    if _node_lost(problem):
        verdict = Verdict(State.INTERRUPTED, NODE_LOST, retry=Retry.ELSEWHERE)
        return Report(verdict=verdict, seconds=seconds, node_lost=True)
    if _never_made(problem):
        host = re.search(r"\bip=([\w.:]+)", str(problem))
        where = f" on {host[1]}" if host else ""
        reason = f"its worker process could not be made{where}: {cause_of(problem)}"
        return Report(verdict=Verdict(State.INTERRUPTED, reason, retry=Retry.ELSEWHERE), seconds=seconds)
    if problem is None or isinstance(problem, RayActorError | WorkerCrashedError):  # the dead may leave no error behind
        # An alarm that is heard ends the trial, not its process. Our clock starts when the process is up, its own before.
        if timeout is not None and seconds >= timeout:
            reason = f"hung in native code for longer than {timeout:g} s; its worker process was ended"
            return Report(verdict=Verdict(State.TIMED_OUT, reason), seconds=seconds)
        # Whoever killed it, or whatever it ran out of, need not have to do with the network.
        reason = f"its worker process died ({cause_of(problem)})"
        return Report(verdict=Verdict(State.FAILED, reason, retry=Retry.ELSEWHERE), seconds=seconds)
    return Report(verdict=judge(problem), seconds=seconds)


def cause_of(problem: Exception | None) -> str:
    """What Ray says of the death of a process, in a line."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem or "")).strip()
    if _never_made(problem):
        return text.splitlines()[-1].strip()[:MOST_WORDS] if text else type(problem).__name__
    detail = text.partition("Worker exit detail:")[2].partition("\n")[0].partition(" Some common causes")[0]
    detail = detail.partition(" There are some potential root causes")[0].strip().rstrip(".")
    # A process that ends without a word is known by its closed connection; Ray lists the same guesses in forty words.
    if not detail or "connection error" in detail:
        return "crashed, killed, or out of memory"
    return detail[:MOST_WORDS]


def _node_lost(problem: Exception | None) -> bool:
    """Whether the machine is gone, or cannot be reached, or its Ray has died, rather than the process."""
    if isinstance(problem, ActorUnavailableError | NodeDiedError | LocalRayletDiedError):
        return True
    # Ray says it in words alone. "its owner": the driver, which reads this; so it is the raylet of its machine that died.
    return isinstance(problem, RayActorError) and any(words in str(problem) for words in NODE_DIED)


def _never_made(problem: Exception | None) -> bool:
    """Whether a process could not be brought to train anything: another version of the code there, a missing package."""
    if isinstance(problem, RuntimeEnvSetupError):
        return True
    return isinstance(problem, RayActorError) and problem.actor_init_failed
