"""What is to be trained of a plan, and where: every result is in the study database at once, and nothing is done twice."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nas.data import Split, Task, load_test
from nas.data.images import left_out_line
from nas.data.task import Tell, Told, silent
from nas.errors import NasError, SearchError
from nas.execution.job import Outcome
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.replays.results import RESULTS, has_metric, of_plan
from nas.replays.training import Files, measured
from nas.states import State
from nas.store import Store
from nas.text.sanitize import expanded
from nas.train import why_unusable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Ran:
    """What came of a plan."""

    plan: Plan
    measured: pd.DataFrame
    """The rows of `Store.measurements` of the seeds asked for."""
    trained: tuple[int, ...]
    """Seeds that were trained by this call."""
    folder: Path
    """Folder of weights, tables and pictures."""


class Series:
    """The trainings of one plan, seed by seed: their folder, which no other process uses meanwhile, and what is still to do."""

    def __init__(self, plan: Plan, options: TrainingOptions, store: Store, progress: Progress) -> None:
        self.plan, self.store, self.progress = plan, store, progress
        self.folder = folder_of(plan, options)
        self.seeds = [plan.recipe.seed + place for place in range(options.seeds)]
        self.trained: list[int] = []

    def waiting(self, *, again: bool) -> list[int]:
        """The seeds that have no result yet, or all of them with `again`; the others are told of."""
        past = of_plan(self.store, self.plan)
        results = past[past["state"].isin(RESULTS) & has_metric(past, self.plan.metric)].set_index("seed")
        if again:
            return list(self.seeds)
        for seed in self.seeds:
            if seed in results.index:
                self._files(seed).checkpoint.unlink(missing_ok=True)  # of a process killed after its last step
                when = results.loc[[seed]].iloc[-1]["finished_at"]
                self.progress.note(f"{self.plan.title} seed {seed}: measured before ({when:%Y-%m-%d})")
        missing = [seed for seed in self.seeds if seed not in results.index]
        if missing and (carried := self.plan.carried) is not None:
            self.progress.note(f"{self.plan.title}: {carried}")
        return missing

    def record(self, seed: int, outcome: Outcome, started_at: str) -> bool:
        """Writes what came of a seed. Returns whether other seeds are worth a try: what fails would fail with them too."""
        self.store.add_measurement(measured(self.plan, seed, outcome, started_at))
        self.trained.append(seed)
        if outcome.state in RESULTS:
            self._files(seed).checkpoint.unlink(missing_ok=True)
            return True
        remedy = "; try a smaller --batch-size" if outcome.state == State.OUT_OF_MEMORY else ""
        self.progress.note(f"{self.plan.title} seed {seed}: {outcome.state}: {outcome.reason}{remedy}")
        return False

    def ran(self) -> Ran:
        """What came of the plan."""
        rows = of_plan(self.store, self.plan).sort_values("seed", kind="stable")
        return Ran(self.plan, rows[rows["seed"].isin(self.seeds)], tuple(sorted(self.trained)), self.folder)

    def _files(self, seed: int) -> Files:
        return Files.of(self.folder, seed)


def folder_of(plan: Plan, options: TrainingOptions) -> Path:
    """The folder of weights, checkpoints, tables and pictures."""
    return expanded(options.output).absolute() / f"{plan.title}-{plan.key[:8]}"


_tests: dict[Task, Split] = {}


def load_test_images(task: Task, tell: Tell = silent) -> Split:
    """The test images of a task, kept for the next plan of the same task and for pictures; `tell` hears where they come from."""
    if task not in _tests:
        split = load_test(task, Told(tell))
        _tests.clear()  # one set of images is enough memory
        _tests[task] = split
    return _tests[task]


def read_test(task: Task, progress: Progress) -> Split:
    """The same; says how many could not be read, where the task lets them be skipped."""
    split = load_test_images(task, progress.note)
    if split.left_out:
        progress.note(f"test images: {left_out_line(split.left_out, len(split) + len(split.left_out))}")
    return split


def choose_device(name: str) -> torch.device:
    """The device of that name; auto is CUDA where there is one. Raises SearchError for one that trains nothing."""
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda")
    problem = why_unusable(device)
    if problem is not None:
        raise SearchError(f"device cuda: PyTorch {torch.__version__} cannot use it: {problem}; use --device cpu")
    return device


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps other processes from training in it; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as problem:
        raise NasError(f"{folder}: cannot be written: {problem.strerror or problem}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NasError(
                f"{folder}: another process is training this at the moment; wait for it or stop it"
            ) from None
        yield
