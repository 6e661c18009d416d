"""Whether what a search records is what its networks are worth.

    python benchmarks/measuring.py [--data digits] [--data imagefolder:DIR ...] [--networks 20] [--steps 300] [--json]

The same random networks of attn_cnn (under limits on parameters and MACs) are trained as a search trains them, by the recipe
that it derives from the data. Of each data set:

moved    by how much an accuracy changes when the statistics of batch norm are measured anew over *all* training images after
         the training, in standard errors of the accuracy. At most one is wanted.
running  the same for the running averages that batch norm keeps, which is what was recorded before statistics were measured
         anew.
tau      Kendall's tau between the accuracies at the first rung of early stopping and at the end, of networks that learned.
cost     of measuring anew, as a share of the training.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from scipy.stats import kendalltau
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.architecture.cost import cost
from nas.config.recipe import Recipe
from nas.config.recipe_presets import described, fitted
from nas.data import Batches, Dataset, Task, load
from nas.data.sources import augmentation, source
from nas.errors import Infeasible
from nas.searches.early_stopping import rung_epochs
from nas.space.space import Space
from nas.states import State
from nas.statistics.proportion import standard_error
from nas.train import Diverged, Trainer, evaluate, seed_everything
from nas.train.averages import recalibrate
from nas.train.evaluation import measured_epochs


@dataclass(frozen=True)
class Trained:
    """One network after its training."""

    recorded: float
    again: float
    """With statistics over all training images."""
    running: float
    """With the running averages of batch norm."""
    first: float
    """At the first rung."""
    state: State


def networks(dataset: Dataset, count: int, seed: int) -> list[Architecture]:
    """Random networks of attn_cnn that a small computer trains in half a minute."""
    space = Space.load("attn_cnn").limit(parameters=100_000, macs=12e6)
    rng = random.Random(seed)
    found: list[Architecture] = []
    while len(found) < count:
        try:
            network = space.from_assignment(space.sample(rng), dataset.input, dataset.classes)
            price = cost(network, dataset.input, dataset.classes)
        except Infeasible:
            continue
        if space.violation(price) is None and price.parameters > 2_000:
            found.append(network)
    return found


def train(network: Architecture, dataset: Dataset, recipe: Recipe) -> Trained | None:
    """Trains as a trial of a search does; None for one that diverges."""
    seed_everything(0)
    rungs = rung_epochs(recipe.epochs)
    model = compile_model(network, dataset.input, dataset.classes)
    trainer = Trainer(model, dataset, recipe, measured=measured_epochs(recipe.epochs, rungs))
    try:
        while not trainer.finished:
            trainer.step()
    except Diverged:
        return None
    accuracy = {epoch.epoch: epoch.accuracy for epoch in trainer.epochs}
    running = stale(trainer)
    every = Batches(dataset.train, dataset, 512, memory_format=trainer.layout)
    recalibrate(trainer.network, every, trainer.one_step.autocast())
    again = evaluate(trainer.network, trainer.validation_batches, trainer.one_step.autocast())["accuracy"]
    return Trained(trainer.epochs[-1].accuracy, again, running, accuracy[rungs[0]], trainer.verdict().state)


def stale(trainer: Trainer) -> float:
    """Accuracy with the running averages of the model, whose weights are what they were before any was averaged."""
    model: nn.Module = copy.deepcopy(trainer.model)
    return evaluate(model, trainer.validation_batches, trainer.one_step.autocast())["accuracy"]


def share_of_measuring(network: Architecture, dataset: Dataset, recipe: Recipe) -> float:
    """Seconds of all measurements of statistics in a training, as a share of its seconds."""
    seed_everything(0)
    trainer = Trainer(compile_model(network, dataset.input, dataset.classes), dataset, recipe, measured=())
    start = time.perf_counter()
    trainer.step()
    trained = time.perf_counter() - start
    seconds = []
    for batches in (trainer.some_norm_batches, trainer.norm_batches):
        start = time.perf_counter()
        trainer.settle(batches)
        seconds.append(time.perf_counter() - start)
    times = len(measured_epochs(recipe.epochs, rung_epochs(recipe.epochs)))
    return ((times - 1) * seconds[0] + seconds[1]) / (trained * recipe.epochs)


def main() -> None:
    """Prints one block a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{environment_line()}; one thread")
    for data in options.data or ["digits"]:
        dataset = load(Task(data, validation=None))
        recipe = fitted(source(dataset.task).recipe, len(dataset.train), augmentation(dataset))
        if options.steps:
            recipe = recipe.replace(steps=options.steps).for_images(len(dataset.train))
        print(f"\n{data}: {described(recipe, len(dataset.train))}")
        found = []
        architectures = networks(dataset, options.networks, options.seed)
        for number, network in enumerate(architectures, 1):
            trained = train(network, dataset, recipe)
            print(f"  {number}/{len(architectures)} {trained}", file=sys.stderr, flush=True)
            if trained is not None:
                found.append(trained)
        share = statistics.median(share_of_measuring(network, dataset, recipe) for network in architectures[:5])
        report(found, len(architectures), len(dataset.validation), share, as_json=options.json)


def report(found: list[Trained], networks: int, images: int, share: float, *, as_json: bool) -> None:
    """One data set."""
    moved = [abs(item.again - item.recorded) / standard_error(item.recorded, images) for item in found]
    running = [abs(item.running - item.recorded) / standard_error(item.recorded, images) for item in found]
    learned = [item for item in found if item.state == State.COMPLETE]
    tau = kendalltau([item.first for item in learned], [item.recorded for item in learned]).statistic
    facts = {
        "networks": networks,
        "diverged": networks - len(found),
        "untrained": len(found) - len(learned),
        "moved_most": max(moved),
        "moved_median": statistics.median(moved),
        "running_most": max(running),
        "running_median": statistics.median(running),
        "running_points": max(abs(item.running - item.recorded) for item in found),
        "tau": float(tau),
        "share_of_measuring": share,
    }
    if as_json:
        print(json.dumps(facts))
        return
    print(f"  {networks} networks, {facts['diverged']} diverged, {facts['untrained']} untrained")
    print(f"  moved by statistics over all images: {facts['moved_median']:.2f} standard errors, most {max(moved):.2f}")
    print(
        f"  with running averages: {facts['running_median']:.2f}, most {max(running):.1f} ({facts['running_points']:.1%})"
    )
    print(f"  Kendall's tau between the first rung and the end: {tau:.2f}")
    print(f"  measuring statistics takes {share:.1%} of a training")


if __name__ == "__main__":
    main()
