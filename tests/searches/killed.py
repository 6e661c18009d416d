"""Drivers as processes that may be killed at any instant: a program, see `main`.

Python, PyTorch and Ray are imported once and each driver is a fork, so that twenty of them take seconds. The driver is
real (searcher, sampler, database), Ray Tune is simulated.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from nas.config.recipe import Recipe
from nas.errors import NasError, StudyExists
from nas.execution.report import Report
from nas.searches.trial_checkpoints import TrialCheckpoints
from nas.space.space import Space
from nas.store import Store
from tests.searches.simulated import Config, SimulatedTune, epoch, make_study, quality, report

SPACE = """\
name: tiny
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [2, 3, 4, 6, 8]}, kernel_size: {choose: [3, 5]}, stride: 2}
  body: {block: {choose: [conv, identity, depthwise_separable]}}
  more: {block: conv, channels: {choose: [4, 6, 8, 10]}}
  head: {block: classifier, pool: {choose: [average, flatten]}}
"""
EPOCHS = 3
SECONDS = 0.003
"""That an epoch takes."""


def main() -> None:
    """Answers each line of standard input, a JSON list, with a line of JSON.

    ``[STORAGE, FOLDER, TRIALS, "kill", KILLS]``: kills so many drivers, lets the last one end. The finished trials after each.
    ``[STORAGE, FOLDER, TRIALS, "kept", KILLS]``: the same with checkpoints, which are the last epoch of each trial.
    ``[STORAGE, FOLDER, TRIALS, "race", ROUNDS]``: two drivers at once on a new study, so many times. How they ended.
    ``[STORAGE, FOLDER, TRIALS, "full", BYTES]``: a driver that may write no larger file, then one that may. How they ended.
    """
    for line in sys.stdin:
        storage, folder, trials, how, number = json.loads(line)
        space = Path(folder) / "tiny.yaml"
        space.write_text(SPACE)
        run = partial(_drive, storage, space, trials)
        if how == "race":
            seen: Any = [_race(run, f"round{count}", Path(folder)) for count in range(number)]
        elif how == "full":
            seen = _full(run, Path(folder), number)
        else:
            run = partial(run, kept=how == "kept")
            seen = _kill(run, storage, Path(folder), number, random.Random(1))
        print(json.dumps(seen), flush=True)


def _kill(
    run: Callable[..., None], storage: str, folder: Path, kills: int, rng: random.Random
) -> list[list[dict[str, Any]]]:
    """The finished trials after each kill."""
    seen = []
    for kill in range(kills):
        reading, writing = os.pipe()
        child = _fork(run, "tiny", folder, writing)
        os.close(writing)
        if kill < 3:  # while the database is made or opened
            time.sleep(rng.uniform(0, 0.4))
        else:
            for _ in range(rng.randint(1, 3 * EPOCHS)):
                os.read(reading, 1)
            time.sleep(rng.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        seen.append(_finished(storage))
    os.waitpid(_fork(run, "tiny", folder, None), 0)
    return seen


def _race(run: Callable[..., None], study: str, folder: Path) -> list[str]:
    """How each of two drivers ended."""
    begin, go = os.pipe()
    said = [folder / f"{study}-{driver}" for driver in "ab"]
    children = [_fork(run, study, folder, None, begin=begin, said=file) for file in said]
    os.close(begin)
    time.sleep(0.05)
    os.write(go, b"go")
    for child in children:
        os.waitpid(child, 0)
    os.close(go)
    return [file.read_text() for file in said]


def _full(run: Callable[..., None], folder: Path, size: int) -> list[str]:
    said = folder / "said"
    texts = []
    for most in (size, None):
        os.waitpid(_fork(run, "tiny", folder, None, said=said, most=most), 0)
        texts.append(said.read_text())
    return texts


def _fork(run: Callable[..., None], *arguments: Any, **more: Any) -> int:
    """A process that does only this. Returns its number."""
    child = os.fork()
    if child == 0:
        try:
            run(*arguments, **more)
        finally:
            os._exit(0)
    return child


def _drive(
    storage: str,
    file: Path,
    trials: int,
    study: str,
    folder: Path,
    alive: int | None,
    *,
    begin: int | None = None,
    said: Path | None = None,
    most: int | None = None,
    kept: bool = False,
) -> None:
    """What `nas search` does. Writes a byte to `alive` after each epoch, and how it ended to `said`."""
    if most is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if begin is not None:
        os.read(begin, 1)

    checkpoints = TrialCheckpoints(folder / "kept", {}) if kept else None

    def learns(config: Config) -> Iterator[Report]:
        file = config.spec.kept.path if config.spec.kept is not None else folder / "none"
        done = int(file.read_text()) if file.exists() else 0
        for number in range(max(1, done), EPOCHS + 1):
            time.sleep(SECONDS)
            if config.spec.kept is not None and number > done:
                with (folder / "trained").open("a") as log:
                    log.write(f"{config.network.hash} {number}\n")
                beside = file.with_suffix(f".{os.getpid()}")
                beside.write_text(str(number))
                beside.replace(file)
            if number == EPOCHS:
                with (folder / "evaluated").open("a") as log:
                    log.write(config.network.hash + "\n")
            yield report(
                epoch(number, quality(config.network) * number / EPOCHS), "complete" if number == EPOCHS else None
            )
            if alive is not None:
                os.write(alive, b".")

    try:
        with Store.open(storage, create=True) as store:
            with suppress(StudyExists):
                if not store.has_study(study):
                    make_study(store, Space.load(file), study, Recipe(epochs=EPOCHS))
            with store.claim(study, None if checkpoints is None else lambda row: True):
                if checkpoints is not None:
                    checkpoints.sweep(store.paused(study)["id"])  # a kill may come between the end of a trial and this
                    checkpoints.make_folder()
                tune = SimulatedTune(
                    store, file, study=study, trials=trials, epochs=EPOCHS, worker=learns, checkpoints=checkpoints
                )
                tune.run(workers=3)
        tune.stop.check()
        ended = "done"
    except NasError as problem:
        ended = str(problem)
    if said is not None:
        said.write_text(ended)


def _finished(storage: str) -> list[dict[str, Any]]:
    try:
        with Store.open(storage) as store:
            if not store.has_study("tiny"):
                return []
            frame = store.trials("tiny")
    except NasError:  # killed before the tables were there
        return []
    columns = frame[["trial", "id", "hash", "state", "accuracy"]]
    records: list[dict[str, Any]] = json.loads(columns.to_json(orient="records", double_precision=15))
    return records


if __name__ == "__main__":
    main()
