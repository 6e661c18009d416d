"""Studies with trials whose results are invented, on real architectures of shipped spaces."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Built
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.errors import Infeasible
from nas.space.outline import Outlines
from nas.space.space import Space
from nas.statistics.scores import Estimate, Score
from nas.store import Measured, Store, TrialResult

ENVIRONMENT = {"device": "test device", "torch": "2.0", "nas": "0.1.0", "commit": None}
INPUT: Shape = (3, 32, 32)


def make_study(store: Store, name: str = "first", space: str = "nas_bench_macro", **changes: Any) -> str:
    """Without outlines of its networks, unless `outlined` is among the changes."""
    values: dict[str, Any] = {
        "space": Space.load(space),
        "task": {"dataset": "digits", "root": None, "validation": 0.2, "seed": 0, "image_size": 32},
        "recipe": {"epochs": 3, "seed": 0, "lr": 0.1},
        "objectives": ["accuracy", "parameters"],
    }
    if changes.pop("outlined", False):
        values["outline"] = Outlines(values["space"]).parameters
    values |= changes
    store.create_study(name, **values | _typed(values["task"], values["recipe"]))
    return name


def _typed(task: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {"task": LoadedTask.from_dict(task), "recipe": Recipe.from_dict(recipe)}


def draw(space: Space, rng: random.Random) -> tuple[dict[str, Scalar], dict[str, Sequence[Scalar]], Architecture]:
    """An assignment, the options of its choices, and its architecture."""
    assignment, options, built = draw_built(space, rng)
    return assignment, options, built.architecture


def draw_built(space: Space, rng: random.Random) -> tuple[dict[str, Scalar], dict[str, Sequence[Scalar]], Built]:
    """The same with all that is known of the network."""
    while True:
        options: dict[str, Sequence[Scalar]] = {}

        def choose(name: str, choices: Sequence[Scalar], options: dict[str, Sequence[Scalar]] = options) -> Scalar:
            options[name] = tuple(choices)
            return rng.choice(choices)

        plan = space.walk(choose)
        try:
            return plan.assignment, options, space.resolve(plan, INPUT, 10)
        except Infeasible:
            continue


def start(store: Store, study: str, rng: random.Random, space: str = "nas_bench_macro", **changes: Any) -> int:
    assignment, options, built = draw_built(Space.load(space), rng)
    return store.start_trial(
        study,
        assignment=assignment,
        options=options,
        architecture=built.architecture,
        cost=built.cost,
        **{"outline": Outlines(Space.load(space)).of(built, assignment), **changes},
    )


def curve(accuracy: float, epochs: int = 3) -> list[Mapping[str, object]]:
    return [
        {
            "epoch": epoch,
            "train_loss": 2.0 / epoch,
            "loss": 2.1 / epoch,
            "accuracy": accuracy * epoch / epochs,
            "top5": 0.99,
            "seconds": 0.5,
            "images_per_second": 1000.0,
            "lr": 0.1,
            "train_accuracy": 0.9 * accuracy * epoch / epochs,
        }
        for epoch in range(1, epochs + 1)
    ]


def finish(store: Store, trial_id: int, accuracy: float | None = 0.5, state: str = "complete", **changes: Any) -> int:
    epochs = changes.pop("epochs", curve(accuracy) if accuracy is not None else [])
    learned = {"accuracy": accuracy, "loss": changes.pop("loss", 1.0), "top5": changes.pop("top5", 0.99)}
    learned |= changes.pop("values", {})
    facts: dict[str, Any] = {"seconds": 1.5, "device": "cpu", "environment": ENVIRONMENT, **changes}
    return store.finish_trial(trial_id, state, TrialResult(values=learned, **facts), epochs)


def fill(store: Store, study: str, trials: int, seed: int = 0, space: str = "nas_bench_macro") -> None:
    """Adds finished trials, one in six of which did not complete. Claims the study."""
    rng = random.Random(seed)
    with store.claim(study):
        for number in range(trials):
            trial_id = start(store, study, rng, space)
            if number % 6 == 5:
                finish(store, trial_id, None, "diverged", reason="the loss was nan in epoch 2")
            else:
                finish(store, trial_id, round(rng.uniform(0.3, 0.95), 4))


def measure(store: Store, study: str, number: int, kind: Literal["replay", "retrain"], **changes: Any) -> None:
    """Adds a test accuracy of the network of a trial: of that trial retrained, or of a published network replayed."""
    row = store.trial(study, number)
    values: dict[str, Any] = {
        "kind": kind,
        "architecture": store.architecture(row.hash),
        "key": f"{kind} {number}",
        "seed": 0,
        "state": "complete",
        "reason": "",
        "parameters": row.parameters,
        "macs": row.macs,
        "task": {"dataset": "digits"},
        "recipe": {"epochs": 30},
        "fraction": 1.0,
        "curve": [],
        "deviations": [],
        "seconds": 3.0,
        "device": "cpu",
        "environment": ENVIRONMENT,
        "started_at": datetime.datetime(2026, 1, 1),
    }
    if kind == "retrain":
        values |= {"study": study, "trial": number}
    tested = {"accuracy": 0.8765, "top5": 0.99, "loss": 0.5}
    tested |= {name: changes.pop(name) for name in tuple(tested) if name in changes}
    if None not in tested.values():
        values["scores"] = {"test": Score({name: Estimate(value) for name, value in tested.items()})}
    values |= changes
    store.add_measurement(Measured(**values | _typed(values["task"], values["recipe"])))
