"""Ray Tune without Ray: calls the searcher and the scheduler in Tune's order, with workers that are generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from nas.execution.gpu_sharing import Packing, Slot
from nas.execution.report import REPORT, Report
from nas.execution.scheduler import Scheduler
from nas.execution.stop import Stop
from nas.execution.tune_searcher import JobSearcher
from nas.searches.early_stopping import Rungs
from nas.searches.progress import Progress
from nas.searches.proposer import Proposer
from nas.searches.trial_checkpoints import TrialCheckpoints
from nas.searches.trial_source import TrialJob, TrialPlan, TrialSource
from nas.searches.trial_training import TrialSpec
from nas.space.space import Space
from nas.states import State
from nas.store import Store
from nas.train import Epoch, Retry, Verdict

INPUT = (1, 16, 16)


@dataclass(frozen=True)
class Config:
    """What a worker is told: the configuration of a trial of Tune."""

    spec: TrialSpec
    slot: Slot

    @property
    def network(self) -> Architecture:
        return Architecture.from_json(self.spec.architecture)


Worker = Callable[[Config], Iterator[Report]]


def quality(network: Architecture) -> float:
    """An invented final accuracy of a network."""
    return int(network.hash[:6], 16) / 0xFFFFFF


def epoch(number: int, accuracy: float) -> Epoch:
    return Epoch(number, 1.0, 1.0, accuracy, 1.0, 0.1, 1.0, 0.1, 0.9 * accuracy)


def report(epoch: Epoch | None, state: str | None = None, reason: str = "", **more: Any) -> Report:
    retry = Retry.ALONE if state == "out_of_memory" else Retry.NEVER
    verdict = None if state is None else Verdict(State(state), reason, retry=retry)
    return Report(epoch=epoch, verdict=verdict, seconds=1.0, device="none", environment={}, **more)


def learns(config: Config) -> Iterator[Report]:
    """A trial that goes well: its accuracy rises evenly to its quality."""
    epochs = config.spec.recipe.epochs
    for number in range(1, epochs + 1):
        accuracy = quality(config.network) * number / epochs
        yield report(epoch(number, accuracy), "complete" if number == epochs else None)


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
        packing: Packing | None = None,
        checkpoints: TrialCheckpoints | None = None,
        sampler: str = "random",
        **plan: Any,
    ) -> None:
        space = Space.load(space_file)
        recipe = Recipe(epochs=epochs)
        if not store.has_study(study):
            make_study(store, space, study, recipe)
        past, paused = store.trials(study), store.paused(study).to_dict("records")
        self.proposer = Proposer(
            space,
            INPUT,
            10,
            objectives=("accuracy", "parameters"),
            sampler=sampler,
            seed=0,
            past=[*past.to_dict("records"), *paused],
            seeds=seeds,
            epochs=epochs,
        )
        finished = int((past["state"] != "interrupted").sum()) + len(paused)
        self.stop = Stop()
        self.source = TrialSource(
            self.proposer,
            store,
            TrialPlan(study, recipe, trials, finished, **plan),
            self.stop,
            packing=packing,
            rungs=rungs,
            progress=progress or Progress(),
            checkpoints=checkpoints,
            paused=paused,
        )
        self.searcher: JobSearcher[TrialJob] = JobSearcher(self.source, self.stop)
        self.scheduler = Scheduler(self.searcher)
        self.worker = worker
        self.configs: list[Config] = []
        """Of every trial that was started on a worker."""

    def run(self, workers: int = 2, gpus: float = 0.0) -> None:
        """At most so many trials at once, on so many GPUs."""
        waiting: dict[str, Config] = {}
        running: dict[str, Iterator[Report]] = {}
        taken: dict[str, float] = {}
        finished = False
        number = 0
        while not self.stop.now():
            while len(waiting) + len(running) < workers and not finished:
                suggested = self.searcher.suggest(f"t{number}")
                finished = suggested == Searcher.FINISHED
                if not isinstance(suggested, dict):
                    break
                config = Config(**suggested)
                self.configs.append(config)
                waiting[f"t{number}"] = config
                number += 1
            # As with Ray, what has room starts, whoever came first: the small before the large.
            for trial_id, config in sorted(waiting.items(), key=lambda item: item[1].slot.gpus):
                if sum(taken.values()) + config.slot.gpus <= gpus:
                    taken[trial_id] = config.slot.gpus
                    running[trial_id] = self.worker(waiting.pop(trial_id))
                    self.searcher.on_worker(trial_id)
            if not running:
                assert not waiting, "what waits never has room"
                break
            for trial_id in list(running):
                if self._step(trial_id, running[trial_id]):
                    running.pop(trial_id).close()  # type: ignore[attr-defined]
                    del taken[trial_id]
        self.searcher.close()

    def _step(self, trial_id: str, worker: Iterator[Report]) -> bool:
        """One epoch. Returns whether the trial has ended."""
        try:
            said = next(worker)
        except RayError as problem:
            self.searcher.lost(trial_id, problem)
            self.searcher.on_trial_complete(trial_id, error=True)
            return True
        result = {REPORT: said.to_json()}
        trial = SimpleNamespace(trial_id=trial_id)
        if said.verdict is None and self.scheduler.on_trial_result(None, trial, result) == FIFOScheduler.CONTINUE:
            self.searcher.on_trial_result(trial_id, result)
            return False
        self.searcher.on_trial_complete(trial_id, result)
        return True


@pytest.fixture
def store(storage: str) -> Iterator[Store]:
    with Store.open(storage, create=True) as opened:
        yield opened


def run(store: Store, space_file: Path, study: str = "tiny", **options: Any) -> SimulatedTune:
    tune = SimulatedTune(store, space_file, study=study, **options)
    with store.claim(study):
        tune.run()
    tune.stop.check()
    return tune


@pytest.fixture
def studies(store: Store, space_file: Path) -> None:
    """Studies must exist before they are claimed."""
    for name in ("tiny", "other", "third"):
        SimulatedTune(store, space_file, study=name)
