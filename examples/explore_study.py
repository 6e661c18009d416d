"""Explore a study from Python: its front, one network of it, and files to take away.

::

    nas search --space attn_cnn --trials 16           # makes nas.db
    nas retrain --study attn_cnn-digits --top 1       # gives its best network weights
    python examples/explore_study.py

"""

from __future__ import annotations

import argparse

import torch

import nas
from nas.data import Batches, load


def main() -> None:
    """Prints what the study found, tries its most accurate network on validation images, and exports it."""
    parser = argparse.ArgumentParser(description="Explore a study.")
    parser.add_argument("study", nargs="?", help="name of the study; may be left out where there is only one")
    parser.add_argument("--storage", help="URL of the study database (default: sqlite:///nas.db)")
    options = parser.parse_args()

    # A study gives pandas frames.
    study = nas.load_study(options.study, options.storage)
    trials = study.trials(choices=True)
    print(f"{study.name}: {len(trials)} trials, {trials['state'].value_counts().to_dict()}")
    front = study.pareto()
    print(front[["trial", *study.objectives, "hash"]].to_string(index=False))

    # Which values of a choice do well? Every choice of the space is a column.
    complete = trials[trials["state"] == "complete"]
    for name in [column for column in complete if column.startswith("choice.")][:3]:
        print(complete.groupby(name)["accuracy"].agg(["count", "mean", "max"]).round(4))

    # The most accurate network, as a module. Without a checkpoint its weights are random, and a warning says so.
    best = int(front["trial"].iloc[-1])
    trained = study.trained(best)
    print(trained.note)
    network = study.network(best)
    data = load(network.task.unread())
    correct = 0
    with torch.inference_mode():
        for images, labels in Batches(data.validation, data, 256):
            correct += int((trained.model(images).argmax(1) == labels).sum())
    print(f"trial {best}: {correct} of {len(data.validation)} validation images right")

    # Files to take away, each checked against the module when it is written.
    done = study.export(best, "network.py")
    print(f"wrote {', '.join(map(str, done.files))}: {done.check}")


if __name__ == "__main__":
    main()
