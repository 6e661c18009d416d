"""Processor seconds a suggestion of the sampler `pareto` with so many trials behind it, on one core.

    python benchmarks/sampler.py [--space attn_cnn] [--trials 1000,10000] [--suggestions 50] [--json]

A hundred trials are searched one by one. Then studies of so many random networks are continued; the sampler reads them by and
by, so that `--read` suggestions are not counted before so many that are, each told before the next. The accuracy
is made up: a random linear function of the features that the model sees, with noise, which costs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

from nas.architecture.architecture import Architecture
from nas.architecture.cost import cost, facts
from nas.errors import Infeasible
from nas.sampler.features import describe
from nas.searches.proposer import Proposer
from nas.space.space import Space

CLASSES = 10


def made_up_accuracy(space: Space, architecture: Architecture) -> float:
    """Between 0 and 1, and the same for the same network."""
    known = facts(architecture, space.input, CLASSES)
    total = 0.0
    for name, value in describe(architecture, known, cost(architecture, space.input, CLASSES)).items():
        total += random.Random(name).gauss(0, 1) * value
    return float(1 / (1 + np.exp(-total / 50))) * 0.98 + 0.01 * random.Random(architecture.hash).random()


def step(proposer: Proposer) -> float:
    """Proposes a network and tells its accuracy. Returns the seconds of the proposal."""
    start = time.process_time()
    proposal = proposer.propose()
    seconds = time.process_time() - start
    if proposal is None:
        raise SystemExit("the space has no more networks")
    proposer.finish(proposal, made_up_accuracy(proposer.space, proposal.architecture))
    return seconds


def random_trials(space: Space, count: int) -> list[dict[str, object]]:
    """Finished trials of random networks, as a study has them."""
    rng = random.Random(1)
    rows: list[dict[str, object]] = []
    seen: set[str] = set()
    while len(rows) < count:
        assignment = space.sample(rng)
        try:
            architecture = space.from_assignment(assignment)
        except Infeasible:
            continue
        if architecture.hash in seen:
            continue
        seen.add(architecture.hash)
        price = cost(architecture, space.input, CLASSES)
        rows.append(
            {
                "trial": len(rows),
                "assignment": assignment,
                "hash": architecture.hash,
                "state": "complete",
                "accuracy": made_up_accuracy(space, architecture),
                "parameters": price.parameters,
                "macs": price.macs,
                "activation_bytes": price.activation_bytes,
            }
        )
    return rows


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="attn_cnn")
    parser.add_argument("--trials", default="1000,10000")
    parser.add_argument("--suggestions", type=int, default=50)
    parser.add_argument("--read", type=int, default=100)
    parser.add_argument("--sampler", default="pareto")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    space = Space.load(arguments.space)
    counts = [int(word) for word in arguments.trials.split(",")]

    def proposer(past: list[dict[str, object]]) -> Proposer:
        goals = ("accuracy", "parameters")
        return Proposer(space, space.input, CLASSES, objectives=goals, sampler=arguments.sampler, seed=0, past=past)

    search = proposer([])
    rows = {"the first": [step(search)]}
    rows["from 2 to 100"] = [step(search) for _ in range(99)]
    for count in counts:
        search = proposer(random_trials(space, count))
        rows[f"the first after {count:,} in the past"] = [step(search)]
        for _ in range(arguments.read):
            step(search)
        rows[f"after {count + arguments.read:,}"] = [step(search) for _ in range(arguments.suggestions)]
    if arguments.json:
        print(json.dumps({"space": space.name, "sampler": arguments.sampler, "seconds": rows}))
        return
    print(f"{arguments.sampler}: processor seconds a suggestion on {space.name}, one thread")
    for name, seconds in rows.items():
        median, mean, most = statistics.median(seconds), statistics.mean(seconds), max(seconds)
        print(f"  {name:<34}  median {median:.3f}  mean {mean:.3f}  most {most:.3f}  n = {len(seconds)}")
    print(f"  {environment_line()}")


if __name__ == "__main__":
    main()
