"""Studies whose results follow a known rule, on real networks of a shipped space, without a database."""

from __future__ import annotations

import datetime
import random

import numpy as np
import pandas as pd

from blocks.counting import COUNTING_RULES
from nas.analysis.evidence import Evidence
from nas.architecture.cost import cost
from nas.space.space import Space
from nas.store import StudyRow
from tests.store.filling import INPUT, draw

CULPRIT = ("stage1.first.layer", "identity")
"""Networks with it diverge half of the time."""
GOOD = ("stage2.first.layer", "mb5_e6")
"""Networks with it have 10 points more."""


def planted(count: int = 150, *, seed: int = 0, culprit: bool = True, good: bool = True, epochs: int = 4) -> Evidence:
    rng = random.Random(seed)
    space = Space.load("nas_bench_macro")
    rows, networks, curves = [], {}, []
    for number in range(count):
        assignment, _, architecture = draw(space, rng)
        price = cost(architecture, INPUT, 10)
        networks[architecture.hash] = architecture.to_json()
        bad = culprit and assignment[CULPRIT[0]] == CULPRIT[1] and rng.random() < 0.5
        accuracy = 0.5 + 0.05 * np.log10(price.parameters / 1e5) + rng.gauss(0, 0.005)
        accuracy += 0.1 * (good and assignment[GOOD[0]] == GOOD[1])
        for epoch in range(1, epochs + 1):
            noise = rng.gauss(0, 0.2 * (epochs - epoch) / epochs)
            curves.append((number, architecture.hash, epoch, accuracy * epoch / epochs + noise))
        rows.append(
            {
                "trial": number,
                "hash": architecture.hash,
                "state": "diverged" if bad else "complete",
                "reason": f"training loss is nan at iteration {number} of epoch 1" if bad else None,
                "accuracy": np.nan if bad else accuracy,
                "parameters": price.parameters,
                "macs": price.macs,
                "activation_bytes": price.activation_bytes,
                "seconds": 2.0,
                "device": "cpu: test",
                "published": None,
                "assignment": assignment,
                "source": None,
            }
        )
    trials = pd.DataFrame(rows).astype(dict.fromkeys(("reason", "device", "published"), "string"))
    trials["source"] = trials["source"].astype("Int64")
    study = StudyRow(
        1,
        "planted",
        space.name,
        space.text,
        space.fingerprint,
        {"dataset": "digits", "input": list(INPUT), "classes": 10},
        {"epochs": epochs},
        ("accuracy", "parameters"),
        {},
        0,
        datetime.datetime(2026, 1, 1),
        COUNTING_RULES,
    )
    learned = pd.DataFrame(curves, columns=["trial", "hash", "epoch", "accuracy"])
    return Evidence(study, trials, learned, (), None, networks)
