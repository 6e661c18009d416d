"""Runs plans: seed after seed in this process, every result in the study database at once; nothing is done twice."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from nas.data import Split, load_test
from nas.errors import NasError, SearchError
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.replays.recording import RESULTS, of_plan
from nas.replays.training import Files, train_seed
from nas.store import Store
from nas.train import State

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
    """Of weights, tables and pictures."""
    test: Split | None
    """The test images, when this call has read them."""


def run_plan(plan: Plan, options: TrainingOptions, store: Store, progress: Progress) -> Ran:
    """Trains every seed of the plan that has no result yet, or all of them with `options.again`.

    A training that was killed goes on from its last epoch. A seed that fails or exhausts memory ends the plan: the
    others would as well.
    """
    device = choose_device(options.device)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    folder = Path(options.output).expanduser() / f"{plan.title}-{plan.key[:8]}"
    seeds = [plan.recipe.seed + place for place in range(options.seeds)]
    read: list[Split] = []

    def test() -> Split:
        if not read:
            read.append(load_test(plan.dataset.task))
        return read[0]

    trained = []
    with _alone(folder):
        for seed in seeds:
            past = of_plan(store, plan)
            known = past[(past["seed"] == seed) & past["state"].isin(RESULTS)]
            files = Files.of(folder, seed)
            if len(known) and not options.again:
                files.checkpoint.unlink(missing_ok=True)  # of a process that was killed after its last step
                progress.note(f"{plan.title} seed {seed}: measured before ({known.iloc[-1]['finished_at']:%Y-%m-%d})")
                continue
            measured = train_seed(plan, seed, device, folder, test, progress)
            store.add_measurement(measured)
            trained.append(seed)
            if measured.state in RESULTS:
                files.checkpoint.unlink(missing_ok=True)
            else:
                remedy = "; try a smaller --batch-size" if measured.state == State.OUT_OF_MEMORY else ""
                progress.note(f"{plan.title} seed {seed}: {measured.state}: {measured.reason}{remedy}")
                break
    rows = of_plan(store, plan)
    return Ran(plan, rows[rows["seed"].isin(seeds)], tuple(trained), folder, read[0] if read else None)


def choose_device(name: str) -> torch.device:
    """The device of that name; auto is CUDA where there is one. Raises SearchError."""
    if name == "cuda" and not torch.cuda.is_available():
        raise SearchError("device cuda: PyTorch sees no CUDA device here; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
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
