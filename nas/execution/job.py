"""What is trained side by side: jobs, and who supplies them. A search supplies trials, a replay networks and seeds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from nas.execution.checkpoint import Checkpoint
from nas.execution.gpu_sharing import Slot
from nas.execution.report import Begun, Environment, Evaluated, Report
from nas.states import State
from nas.text.formatting import shorten
from nas.train import Epoch, Verdict

if TYPE_CHECKING:
    import torch


class Training(Protocol):
    """One training, in the process that does it. Whatever it raises becomes a state: see `nas.execution.runner`."""

    checkpoint: Checkpoint | None
    """What it goes on from in another process; None where nothing is kept, or it has not begun."""

    @property
    def circumstances(self) -> Mapping[str, str]:
        """What its result was measured under beside the device and the versions of its process; nothing before it has begun."""

    def begin(self) -> Begun:
        """Builds the network."""

    def step(self) -> Epoch:
        """Trains until there is an epoch to report."""

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""

    def finish(self) -> tuple[Verdict, Evaluated | None]:
        """What came of it, after the last epoch."""

    def close(self) -> None:
        """Lets go of the network."""


Trainings = Callable[[Any, "torch.device"], Training]
"""Makes the training of a job's `spec`; sent to each process once."""


@dataclass(frozen=True, eq=False)
class Job:
    """A training that is to be done. Who supplies jobs derives from it to remember what each is for."""

    spec: object
    """What a process is told of it, plain data."""
    slot: Slot
    """What it has of a device."""

    @property
    def name(self) -> str:
        """As the log of a run calls it."""
        return shorten(self.spec)


J = TypeVar("J", bound=Job)


@dataclass(frozen=True)
class Outcome:
    """How a job ended, whichever processes tried it."""

    state: State
    reason: str | None
    mend: bool
    """Whether the user has to mend something before it can be trained, and `reason` says what."""
    cut_off: bool
    """Whether the run ended first: nothing is known of the network, and a later run begins it again."""
    begun: Begun | None
    epochs: tuple[Epoch, ...]
    """Those before a kill too."""
    tested: Evaluated | None
    seconds: float
    device: str
    """Empty when no process came so far as to say it, like `environment`."""
    environment: Environment


class JobSource(ABC, Generic[J]):
    """Supplies jobs, and hears what becomes of them; in the process that writes to the database. A NasError ends the run."""

    brings_more = False
    """Whether there may be more jobs once one that runs has ended."""

    @abstractmethod
    def next(self, running: int) -> J | None:
        """The next job, while so many run; None when there is none now."""

    @abstractmethod
    def heard(self, job: J, report: Report, *, last: bool) -> None:
        """A worker has reported; `ended` or `again` follows on the `last` report."""

    @abstractmethod
    def again(self, job: J, verdict: Verdict) -> None:
        """A job that ended so is tried once more."""

    @abstractmethod
    def ended(self, job: J, outcome: Outcome, running: int) -> None:
        """A job is over; so many run now."""

    def tick(self) -> None:
        """Called a few times a second while jobs run."""

    def started(self, job: J, running: int) -> None:
        """A job waits for a worker; so many do, or have one."""

    def stops(self, job: J, report: Report) -> str | None:
        """Why a job that reports an epoch is not worth its next one; None when it is."""
        return None

    def took(self, job: J, slot: Slot, peak: int) -> None:
        """So many bytes of a GPU were taken in this slot."""
