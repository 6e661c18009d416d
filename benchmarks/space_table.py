"""A table of trained networks of attn_cnn: random and evolved ones on photos, with what each was worth after every epoch.

    python benchmarks/space_table.py --archive CIFAR10.zip [--networks 250] [--time 2h] [--output TABLE.csv.gz]

The recipe `modern` trains each network (of at most 1.5 M MACs at 16x16 pixels) in 1,000 steps on 3,000 CIFAR-10 photos; it is
measured on 1,000 others after every epoch (the last loss is kept too), and on 3,000 test images at the end. Four of five are
random, the fifth is a mutation of one of the front of those before. A fifth of all are trained with a second seed, when all have
been trained once. Each training is a line of --results; what stands there, or in the table, is not done again. --prior is written
anew of what is complete: the file that travels with attn_cnn, of which a search of small colour images learns (`nas search
--prior`).

    nas bench --space attn_cnn --table benchmarks/tables/attn_cnn.csv.gz --mapping benchmarks/tables/attn_cnn.yaml --incomplete
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import moocore
import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line
from _photo_sets import CLASSES, PhotoSet, draw, even

from nas.architecture.compile import compile_model
from nas.architecture.cost import Built
from nas.bench.table_files import Mapping, read_assignments, read_records
from nas.config.recipe import Recipe
from nas.config.recipe_presets import described, fitted
from nas.data import Dataset, Split, Task, load, load_test
from nas.data.sources import augmentation
from nas.errors import Infeasible
from nas.sampler.domain import SpaceDomain
from nas.searches.earlier_studies import IMAGES, shipped_trials
from nas.searches.options import parse_duration
from nas.space.space import Assignment, Space
from nas.store.export import write
from nas.train import Diverged, Trainer, seed_everything

PHOTOS = PhotoSet("space-table", CLASSES, even("space-table", CLASSES, 400).images, 300)
SIDE = 16
MACS = 1.5e6
FACTS = ("kind", "hash", "parameters", "macs", "activation_bytes")
STEPS = 1_000
TABLE = Path(__file__).resolve().parent / "tables" / "attn_cnn.csv.gz"


@dataclass(frozen=True)
class Network:
    """One network of the table."""

    kind: str
    assignment: Assignment
    built: Built

    @property
    def hash(self) -> str:
        """Names it."""
        return self.built.architecture.hash


class Networks:
    """Draws networks that fit, none of them twice. The same rows before give the same network."""

    def __init__(self, dataset: Dataset) -> None:
        self.space = Space.load("attn_cnn").limit(macs=MACS)
        self.dataset = dataset
        self.domain = SpaceDomain(self.space, dataset.input, dataset.classes, ["parameters"])
        self.met: set[str] = set()

    def network(self, kind: str, number: int, rows: list[dict[str, Any]]) -> Network:
        """The next one: a random one, or a mutation of one of the front of `rows`."""
        rng = random.Random(f"{kind}-{number - number // 5 if kind == 'random' else number}")
        while True:
            if kind == "random":
                assignment = self.space.sample(rng)
            else:
                parent = rng.choice(front(rows))["assignment"]
                assignment = self.domain.vary(rng, parent, parent, rng.choice((1, 1, 2)))
            built = self.build(assignment)
            if built is not None and built.architecture.hash not in self.met:
                self.met.add(built.architecture.hash)
                return Network(kind, assignment, built)

    def build(self, assignment: Assignment) -> Built | None:
        """None for one that cannot be, or is too dear."""
        try:
            built = self.space.resolve(self.space.plan(assignment), self.dataset.input, self.dataset.classes)
        except Infeasible:
            return None
        return built if self.space.violation(built.cost) is None else None


def front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of trainings with the first seed, by accuracy against parameters."""
    first = [row for row in rows if row["seed"] == 0]
    losses = np.array([(-row["curve"][-1], row["parameters"]) for row in first], dtype=np.float64)
    return [first[place] for place in np.flatnonzero(moocore.is_nondominated(losses))]


def train(network: Network, seed: int, dataset: Dataset, test: Split, recipe: Recipe) -> dict[str, Any]:
    """Trains as a trial of a search does."""
    seed_everything(seed)
    start = time.process_time()
    model = compile_model(network.built.architecture, dataset.input, dataset.classes)
    trainer = Trainer(model, dataset, recipe, seed=seed)
    try:
        while not trainer.finished:
            trainer.step()
        state, found = str(trainer.verdict().state), trainer.evaluate(test)["accuracy"]
    except Diverged as problem:
        print(f"  {network.hash[:8]}: {problem}", file=sys.stderr)
        state, found = "diverged", 1 / dataset.classes
    curve = [round(epoch.accuracy, 4) for epoch in trainer.epochs]
    cost = network.built.cost
    return {
        "kind": network.kind,
        "seed": seed,
        "hash": network.hash,
        "assignment": network.assignment,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "activation_bytes": cost.activation_bytes,
        "state": state,
        "curve": curve + [1 / dataset.classes] * (recipe.epochs - len(curve)),
        "loss": round(trainer.epochs[-1].loss, 4) if trainer.finished else None,
        "test_accuracy": round(found, 4),
        "seconds": round(time.process_time() - start, 1),
    }


def wanted(count: int, networks: Networks, rows: list[dict[str, Any]]) -> Iterator[tuple[Network, int, int]]:
    """The trainings of the table in their order, those that are done too: networks with number and seed. `rows` grow meanwhile."""
    again: list[tuple[Network, int]] = []
    for number in range(count):
        kind = "evolved" if number % 5 == 4 else "random"
        network = networks.network(kind, number, [row for row in rows if row["number"] < number])
        again += [(network, number)] if number % 5 == 2 + number // 5 % 3 else []
        yield network, number, 0
    yield from ((network, number, 1) for network, number in again)


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row a network: its choices, costs, and what its trainings gave, one column a seed."""
    records: dict[str, dict[str, Any]] = {}
    for row in rows:
        record = records.setdefault(row["hash"], {name: row[name] for name in ("number", *FACTS)} | row["assignment"])
        seed = row["seed"]
        record |= {f"accuracy_{seed}": row["curve"][-1], f"test_{seed}": row["test_accuracy"]}
        record |= {f"seconds_{seed}": row["seconds"], f"state_{seed}": row["state"]}
        record |= {} if row.get("loss") is None else {f"loss_{seed}": row["loss"]}
        record |= {f"epoch_{epoch}_{seed}": value for epoch, value in enumerate(row["curve"][:-1], 1)}
    # numbers of a column with empty cells are floats, and whole ones are to be read as they were
    names = dict.fromkeys(name for record in records.values() for name in record)
    return pd.DataFrame(
        {name: pd.Series([record.get(name) for record in records.values()], dtype=object) for name in names}
    )


def write_prior(rows: list[dict[str, Any]], images: int, path: Path) -> int:
    """Writes what the complete networks reached with the first seed, on so many images, and their choices. Returns how many."""
    complete = [row for row in rows if row["seed"] == 0 and row["state"] == "complete"]
    frame = pd.DataFrame(
        {
            "accuracy": [row["curve"][-1] for row in complete],
            IMAGES: images,
            "assignment": [row["assignment"] for row in complete],
        }
    )
    with TemporaryDirectory() as folder:
        plain = Path(folder) / "trials.csv"
        write(frame, plain)
        path.parent.mkdir(parents=True, exist_ok=True)
        # without the time of writing, so that the same rows make the same file
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    return len(complete)


def read_table(path: Path, networks: Networks) -> list[dict[str, Any]]:
    """The trainings of a table that `table` made."""
    records = read_records(path)
    rows = []
    for record, assignment in zip(records, read_assignments(path, records, networks.space, Mapping()), strict=True):
        for seed in (0, 1):
            if record.get(f"state_{seed}") not in ("complete", "untrained", "diverged"):
                continue
            epochs = sum(f"epoch_{epoch}_{seed}" in record for epoch in range(1, 1_000))
            curve = [record[f"epoch_{epoch}_{seed}"] for epoch in range(1, epochs + 1)]
            rows.append(
                {name: record[name] for name in ("number", *FACTS)}
                | {"seed": seed, "assignment": assignment, "curve": [*curve, record[f"accuracy_{seed}"]]}
                | {"test_accuracy": record[f"test_{seed}"], "seconds": record[f"seconds_{seed}"]}
                | {"state": record[f"state_{seed}"], "loss": record.get(f"loss_{seed}")}
            )
    return rows


def main() -> None:
    """Trains what is not trained yet, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="zip of CIFAR-10 images")
    parser.add_argument("--networks", type=int, default=250)
    parser.add_argument("--time", default="3h", help="start no training after this")
    parser.add_argument("--results", type=Path, default=Path("runs/space_table.jsonl"))
    parser.add_argument("--output", type=Path, default=TABLE)
    parser.add_argument("--prior", type=Path, default=shipped_trials(Space.load("attn_cnn")))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cache = Path(gettempdir()) / "nas-photos"
    draw(PHOTOS, 0, options.archive, cache)
    dataset = load(Task(f"imagefolder:{PHOTOS.folder(cache, 0)}", validation=None, image_size=SIDE))
    test = load_test(dataset.task)
    recipe = fitted("modern", len(dataset.train), augmentation(dataset)).replace(steps=STEPS)
    recipe = recipe.for_images(len(dataset.train))
    print(f"{environment_line()}; one thread\n{described(recipe, len(dataset.train))}", file=sys.stderr)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    networks = Networks(dataset)
    rows = read_table(options.output, networks) if options.output.exists() else []
    done = {(row["hash"], row["seed"]) for row in rows}
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    rows += [row for row in map(json.loads, lines) if (row["hash"], row["seed"]) not in done]
    done |= {(row["hash"], row["seed"]) for row in rows}
    end = time.monotonic() + (parse_duration(options.time) or 0.0)
    for network, number, seed in wanted(options.networks, networks, rows):
        if (network.hash, seed) in done:
            continue
        if time.monotonic() > end:
            break
        row = {"number": number, **train(network, seed, dataset, test, recipe)}
        rows.append(row)
        with options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{len(rows)}: {network.kind} {row['parameters']:,} parameters {row['macs']:,} MACs: {row['curve'][-1]:.1%}, "
            f"test {row['test_accuracy']:.1%}, {row['seconds']:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    table(rows).to_csv(options.output, index=False, compression={"method": "gzip", "mtime": 0})
    print(f"{options.output}: {len(table(rows))} networks, {len(rows)} trainings")
    complete = write_prior(rows, len(dataset.validation), options.prior)
    print(f"{options.prior}: {complete} complete networks")


if __name__ == "__main__":
    main()
