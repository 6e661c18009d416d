"""Ray Tune without Ray: calls the bridge and the scheduler in Tune's order, with workers that are generators."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayError
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from nas.architecture.architecture import Architecture
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.execution.protocol import REPORT
from nas.execution.scheduler import Scheduler, last_words
from nas.searches.early_stopping import Rungs
from nas.searches.progress import Progress
from nas.searches.proposer import Proposer
from nas.searches.trial_searcher import Bridge, Plan
from nas.space.space import Space
from nas.store import Store

INPUT = (1, 16, 16)
Worker = Callable[[dict[str, Any]], Iterator[Mapping[str, Any]]]


def quality(config: Mapping[str, Any]) -> float:
    """An invented final accuracy of a network."""
    return int(Architecture.from_json(config["architecture"]).hash[:6], 16) / 0xFFFFFF


def epoch(number: int, accuracy: float) -> dict[str, Any]:
    values = {"epoch": number, "train_loss": 1.0, "loss": 1.0, "accuracy": accuracy, "top5": 1.0, "seconds": 0.1}
    return {**values, "images_per_second": 1.0, "lr": 0.1}


def report(values: Mapping[str, Any] | None, state: str | None = None, reason: str = "") -> dict[str, Any]:
    retry = "alone" if state == "out_of_memory" else "never"
    said = {"epoch": values, "state": state, "reason": reason, "retry": retry}
    return {**said, "seconds": 1.0, "device": "none", "environment": {}}


def learns(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A trial that goes well: its accuracy rises evenly to its quality."""
    epochs = config["recipe"]["epochs"]
    for number in range(1, epochs + 1):
        yield report(epoch(number, quality(config) * number / epochs), "complete" if number == epochs else None)


def make_study(store: Store, space: Space, name: str, recipe: Recipe) -> None:
    store.create_study(
        name,
        space=space,
        task=LoadedTask("invented", fingerprint="x"),
        recipe=recipe,
        objectives=["accuracy", "parameters"],
    )


class SimulatedTune:
    """A search on a study, which it makes when it is not there."""

    def __init__(
        self,
        store: Store,
        space_file: Path,
        *,
        study: str = "tiny",
        trials: int = 6,
        epochs: int = 3,
        worker: Worker = learns,
        rungs: Rungs | None = None,
        progress: Progress | None = None,
        seeds: Any = (),
        **plan: Any,
    ) -> None:
        space = Space.load(space_file)
        recipe = Recipe(epochs=epochs)
        if not store.has_study(study):
            make_study(store, space, study, recipe)
        past = store.trials(study)
        self.proposer = Proposer(
            space,
            INPUT,
            10,
            objectives=("accuracy", "parameters"),
            sampler="random",
            seed=0,
            past=past.to_dict("records"),
            seeds=seeds,
        )
        finished = int((past["state"] != "interrupted").sum())
        self.bridge = Bridge(
            self.proposer,
            store,
            Plan(study, recipe, trials, **plan),
            rungs,
            finished=finished,
            progress=progress or Progress(),
        )
        self.scheduler = Scheduler(self.bridge)
        self.worker = worker
        self.configs: list[dict[str, Any]] = []
        """Of every trial that was started on a worker."""

    def run(self, workers: int = 2, gpus: float = 0.0) -> Bridge:
        """At most so many trials at once, on so many GPUs."""
        waiting: dict[str, dict[str, Any]] = {}
        running: dict[str, Iterator[Mapping[str, Any]]] = {}
        taken: dict[str, float] = {}
        finished = False
        number = 0
        while not self.bridge.ended():
            while len(waiting) + len(running) < workers and not finished:
                config = self.bridge.suggest(f"t{number}")
                finished = config == Searcher.FINISHED
                if not isinstance(config, dict):
                    break
                self.configs.append(config)
                waiting[f"t{number}"] = config
                number += 1
            # As with Ray, what has room starts, whoever came first: the small before the large.
            for trial_id, config in sorted(waiting.items(), key=lambda item: item[1]["gpus"]):
                if sum(taken.values()) + config["gpus"] <= gpus:
                    taken[trial_id] = config["gpus"]
                    running[trial_id] = self.worker(waiting.pop(trial_id))
                    self.bridge.on_worker(trial_id)
            if not running:
                assert not waiting, "what waits never has room"
                break
            for trial_id in list(running):
                if self._step(trial_id, running[trial_id]):
                    running.pop(trial_id).close()  # type: ignore[attr-defined]
                    del taken[trial_id]
        self.bridge.close()
        return self.bridge

    def _step(self, trial_id: str, worker: Iterator[Mapping[str, Any]]) -> bool:
        """One epoch. Returns whether the trial has ended."""
        try:
            said = next(worker)
        except RayError as problem:
            self.bridge.lost(trial_id, partial(last_words, problem, timeout=None))
            self.bridge.on_trial_complete(trial_id, error=True)
            return True
        result = {REPORT: json.dumps(said)}
        trial = SimpleNamespace(trial_id=trial_id)
        if said["state"] is None and self.scheduler.on_trial_result(None, trial, result) == FIFOScheduler.CONTINUE:
            self.bridge.on_trial_result(trial_id, result)
            return False
        self.bridge.on_trial_complete(trial_id, result)
        return True


@pytest.fixture
def store(storage: str) -> Iterator[Store]:
    with Store.open(storage, create=True) as opened:
        yield opened


def run(store: Store, space_file: Path, study: str = "tiny", **options: Any) -> SimulatedTune:
    tune = SimulatedTune(store, space_file, study=study, **options)
    with store.claim(study):
        tune.run()
    if tune.bridge.problem is not None:
        raise tune.bridge.problem
    return tune


@pytest.fixture
def studies(store: Store, space_file: Path) -> None:
    """Studies must exist before they are claimed."""
    for name in ("tiny", "other", "third"):
        SimulatedTune(store, space_file, study=name)
