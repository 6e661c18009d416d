"""A study of digits with two trained trials, one of which was retrained: its weights are in a file that the database names."""

from __future__ import annotations

import datetime
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nas.architecture.compile import compile_model
from nas.architecture.cost import cost
from nas.config.recipe import Recipe
from nas.data import Dataset, Task, augmentation, load
from nas.network.weights import Card, save_weights
from nas.space.space import Space
from nas.statistics.scores import Estimate, Score
from nas.store import Store, TrialResult
from nas.store.measurements import Measured
from nas.train import Trainer, environment

SPACE = """\
name: little
input: [1, 16, 16]
graph:
  stem: {block: conv, channels: {choose: [8, 16]}, stride: 2}
  body: {block: {choose: [conv, se, identity]}}
  head: {block: classifier, pool: flatten}
"""
STUDY = "little-digits"


def make_trained_study(folder: Path) -> str:
    """Makes the database in `folder` and gives its URL. Trial 0 has weights, trial 1 has none, trial 2 did not end well."""
    (folder / "little.yaml").write_text(SPACE)
    space = Space.load(folder / "little.yaml")
    data = load(Task("digits"))
    recipe = Recipe(epochs=4, lr=0.1, batch_size=32, augment=augmentation(data))
    url = f"sqlite:///{folder / 'nas.db'}"
    with Store.open(url, create=True) as store:
        store.create_study(
            STUDY,
            space=space,
            task=data.loaded_task,
            recipe=recipe,
            objectives=["accuracy", "parameters"],
        )
        with store.claim(STUDY):
            for number, (channels, body) in enumerate(((16, "conv"), (8, "se"), (8, "identity"))):
                assignment = {"stem.channels": channels, "body.block": body}
                architecture = space.from_assignment(assignment, data.input, data.classes)
                row = store.start_trial(
                    STUDY,
                    assignment=assignment,
                    options={"stem.channels": (8, 16), "body.block": ("conv", "se", "identity")},
                    architecture=architecture,
                    cost=cost(architecture, data.input, data.classes),
                )
                if number == 2:
                    store.finish_trial(row, "diverged", TrialResult("the loss was nan", environment=environment()))
                    continue
                trainer = trained(architecture, data, recipe)
                last = trainer.epochs[-1]
                store.finish_trial(
                    row,
                    "complete",
                    TrialResult(
                        values={"accuracy": last.accuracy, "loss": last.loss, "top5": last.top5},
                        seconds=sum(epoch.seconds for epoch in trainer.epochs),
                        device="cpu",
                        environment=environment(),
                    ),
                    [asdict(epoch) for epoch in trainer.epochs],
                )
                if number:
                    continue
                weights = folder / "trial-0.safetensors"
                facts = {"kind": "retrain", "study": STUDY, "trial": 0, "test_accuracy": last.accuracy}
                card = Card(architecture, data.input, data.classes, data.class_names, data.mean, data.std, facts)
                save_weights(weights, trainer.network, card)
                price = cost(architecture, data.input, data.classes)
                now = datetime.datetime(2026, 1, 1)
                store.add_measurement(
                    Measured(
                        kind="retrain",
                        architecture=architecture,
                        key="k",
                        seed=0,
                        state="complete",
                        reason="",
                        parameters=price.parameters,
                        macs=price.macs,
                        task=data.loaded_task,
                        recipe=recipe,
                        fraction=1.0,
                        curve=[asdict(epoch) for epoch in trainer.epochs],
                        deviations=[],
                        seconds=1.0,
                        device="cpu",
                        environment=environment(),
                        started_at=now,
                        study=STUDY,
                        trial=0,
                        weights=str(weights),
                        scores={"test": Score({"accuracy": Estimate(last.accuracy), "loss": Estimate(last.loss)})},
                    )
                )
    return url


def trained(architecture: object, data: Dataset, recipe: Recipe) -> Trainer:
    torch.manual_seed(0)
    model = compile_model(architecture, data.input, data.classes)  # type: ignore[arg-type]
    trainer = Trainer(model, data, recipe, torch.device("cpu"))
    while not trainer.finished:
        trainer.step()
    return trainer


def save_digits(folder: Path, number: int) -> list[tuple[Path, int]]:
    """The first validation images as PNG files, with their labels."""
    data = load(Task("digits"))
    files = []
    for place in range(number):
        path = folder / f"digit_{place}.png"
        Image.fromarray(np.asarray(data.validation.x[place, 0])).save(path)
        files.append((path, int(data.validation.y[place])))
    return files
