"""The search itself: everything is checked, then Ray Tune runs trials until the budget is spent."""

from __future__ import annotations

import logging
import math
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nas.cost import Cost
from nas.data import Dataset, Task, load, source
from nas.driver.options import SearchOptions, parse_duration
from nas.driver.progress import Progress
from nas.driver.seeds import choose_seeds
from nas.driver.timing import Clock, with_latency
from nas.errors import SearchError
from nas.front import hypervolume, pareto
from nas.recipe import Recipe
from nas.rungs import Rungs
from nas.space import Space
from nas.store import DEFAULT_URL, Store, StudyRow
from nas.study import SeedPoint
from nas.train import State

if TYPE_CHECKING:
    import pandas as pd

    from nas.driver.bridge import Bridge


@dataclass(frozen=True)
class SearchResult:
    """What a search found, with everything that its study found before."""

    study: str
    storage: str
    """URL of the database, password masked."""
    objectives: tuple[str, ...]
    trials: pd.DataFrame
    front: pd.DataFrame
    hypervolume: float
    states: dict[str, int]
    ended: str
    """Why: ``done``, ``time is up``, ``interrupted`` or ``exhausted``."""


def search(options: SearchOptions, progress: Progress | None = None) -> SearchResult:
    """Runs or continues a study until it has `options.trials` finished trials. See `nas.search`.

    Raises a NasError before anything starts when an option cannot be met.
    """
    from nas.driver.sampling import check_feasible, check_sampler

    progress = progress or Progress()
    check_sampler(options.sampler)
    space = options.space if isinstance(options.space, Space) else Space.load(options.space)
    space = space.limit(parameters=options.max_parameters, macs=options.max_macs)
    task = Task(options.data, options.data_root, options.validation, 0, options.image_size)
    recipe = _recipe(options, task)
    name = options.study or f"{space.name}-{task.dataset.partition(':')[0]}"
    with Store.open(options.storage or DEFAULT_URL, create=True) as store:
        dataset = load(task)
        check_feasible(space, dataset.input, dataset.classes)
        study = _open_study(store, name, space, dataset, recipe, options)
        store.patience.notify = progress.note
        with store.claim(name) as repaired:
            if repaired.interrupted:
                progress.note(f"{repaired.interrupted} trials of a search that was killed are marked as interrupted")
            past = store.trials(name)
            seeds = choose_seeds(space, dataset, options.trials, progress) if options.seed_points else []
            ended = _run(options, progress, store, study, space, dataset, recipe, past, seeds)
            trials = store.trials(name)
        return SearchResult(
            name,
            store.shown_url,
            study.objectives,
            trials,
            pareto(trials, study.objectives),
            hypervolume(trials, study.objectives),
            dict(Counter(trials["state"])),
            ended,
        )


def _recipe(options: SearchOptions, task: Task) -> Recipe:
    recipe = options.recipe
    if recipe is None:
        recipe = Recipe(augment=source(task).augment)
    elif not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe)
    changes: dict[str, Any] = {"seed": options.seed}
    if options.epochs is not None:
        changes["epochs"] = options.epochs
    return recipe.replace(**changes)


def _open_study(
    store: Store, name: str, space: Space, dataset: Dataset, recipe: Recipe, options: SearchOptions
) -> StudyRow:
    """The study of that name, which must search the same; a new one when there is none."""
    task = {**dataset.task.to_dict(), "fingerprint": dataset.fingerprint, "input": list(dataset.input)}
    task["classes"] = dataset.classes
    constraints = {key: asdict(bounds) for key, bounds in space.constraints.items()}
    if not store.has_study(name):
        return store.create_study(
            name,
            space_name=space.name,
            space_text=space.text,
            space_fingerprint=space.fingerprint,
            task=task,
            recipe=recipe.to_dict(),
            objectives=list(options.objectives),
            seed=options.seed,
            constraints=constraints,
        )
    study = store.study(name)
    differences = []
    if study.space_fingerprint != space.fingerprint:
        differences.append(f"space ('{study.space_name}', another version of it or another one)")
    differences += [f"{key} of the data" for key, value in task.items() if study.task.get(key) != value]
    differences += [f"{key} of the recipe" for key, value in recipe.to_dict().items() if study.recipe.get(key) != value]
    if study.objectives != tuple(options.objectives):
        differences.append(f"objectives ({', '.join(study.objectives)})")
    if differences:
        raise SearchError(
            f"study '{name}' in {store.shown_url} was begun with another {', '.join(differences[:4])}; "
            "use the same options to continue it, or name another --study"
        )
    return study


def _run(
    options: SearchOptions,
    progress: Progress,
    store: Store,
    study: StudyRow,
    space: Space,
    dataset: Dataset,
    recipe: Recipe,
    past: pd.DataFrame,
    seeds: list[SeedPoint],
) -> str:
    """Trains until the budget is spent. Returns why it ended."""
    finished = int((past["state"] != "interrupted").sum())
    if finished >= options.trials:
        progress.note(f"study '{study.name}' has {finished} finished trials already; --trials counts them all")
        return "done"
    from nas.driver.bridge import Bridge, Plan
    from nas.driver.sampling import Proposer

    clock = _clock(options, study, store, dataset)
    proposer = Proposer(
        space,
        dataset.input,
        dataset.classes,
        objectives=study.objectives,
        sampler=options.sampler,
        seed=options.seed,
        past=past.to_dict("records"),
        seeds=seeds,
        clock=clock,
        epochs=recipe.epochs,
    )
    timeout = parse_duration(options.trial_timeout, "trial_timeout")
    plan = Plan(study.name, recipe, options.trials, trial_timeout=timeout, cache=options.cache)
    bridge = Bridge(proposer, store, plan, _rungs(options, study, store, recipe), finished=finished, progress=progress)
    budget = parse_duration(options.time)
    with _ray(options) as resources, _stoppable(bridge):
        deadline = None if budget is None else time.monotonic() + budget
        bridge.plan = replace(plan, deadline=deadline)
        progress.begin(study.name, past, study.objectives, options.trials, deadline)
        try:
            _tune(bridge, dataset, resources, options)
        finally:
            bridge.close()
            progress.end()
    if bridge.problem is not None:
        raise bridge.problem
    if bridge.exhausted:
        progress.note(f"every architecture of {space.name} inside the constraints has been evaluated")
    return bridge.stop_reason or ("exhausted" if bridge.exhausted else "done")


def _clock(options: SearchOptions, study: StudyRow, store: Store, dataset: Dataset) -> Clock | None:
    """What times networks, where latency is an objective. Raises SearchError when earlier ones were timed elsewhere."""
    if "latency" not in study.objectives:
        return None
    clock = Clock(store, dataset.input, dataset.classes, options.latency_device)
    clock.check_study(study.name)
    return clock


def _rungs(options: SearchOptions, study: StudyRow, store: Store, recipe: Recipe) -> Rungs | None:
    """The rungs of early stopping, with the trials that reached them in earlier runs; None when nothing is stopped."""
    if options.scheduler == "none":
        return None
    rungs = Rungs(study.objectives, recipe.epochs, options.min_epochs, options.reduction_factor)
    for row in store.accuracies(study.name, rungs.epochs).to_dict("records"):
        if row["state"] != State.INTERRUPTED:  # evaluated again, and entered then
            price = Cost(row["parameters"], row["macs"], row["activation_bytes"])
            if "latency" in study.objectives:
                price = with_latency(price, row["latency"])
            rungs.enter(row["hash"], row["epoch"], row["accuracy"], price)
    return rungs


@dataclass(frozen=True)
class _Resources:
    cpus: float
    gpus: float
    concurrent: int


def _tune(bridge: Bridge, dataset: Dataset, resources: _Resources, options: SearchOptions) -> None:
    import ray
    from ray import tune

    from nas.driver.scheduler import EndOfSearch, Scheduler
    from nas.driver.trainable import TrialWorker

    threads = max(1, int(options.cpus_per_trial))
    trainable = tune.with_resources(
        tune.with_parameters(TrialWorker, dataset=dataset, threads=threads, device="cuda" if resources.gpus else "cpu"),
        {"cpu": resources.cpus, "gpu": resources.gpus},
    )
    with tempfile.TemporaryDirectory(prefix="nas-") as scratch:  # Tune insists on a folder; ours is the database
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=bridge,
                scheduler=Scheduler(bridge),
                num_samples=-1,
                max_concurrent_trials=resources.concurrent,
                reuse_actors=True,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,
                verbose=0,
                stop=EndOfSearch(bridge),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except ray.exceptions.RayError as problem:
            reason = str(problem).strip().splitlines()[0]
            raise SearchError(f"Ray stopped the search: {reason}; run the same command again to continue") from problem


@contextmanager
def _ray(options: SearchOptions) -> Iterator[_Resources]:
    """A local Ray, or the cluster at `--ray-address`; and what a trial may take of it."""
    # What Tune writes beside the database costs more than a small trial does: see benchmarks/turnover.py.
    os.environ.update(
        TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
        TUNE_GLOBAL_CHECKPOINT_S="100000000",
        TUNE_PRINT_ALL_TRIAL_ERRORS="0",
        TUNE_DISABLE_SIGINT_HANDLER="1",
        TUNE_DISABLE_STRICT_METRIC_CHECKING="1",
        TUNE_FORCE_TRIAL_CLEANUP_S="1",
        TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="0",
        RAY_AIR_NEW_OUTPUT="0",
        RAY_DEDUP_LOGS="1",
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(
                # "local": without it Ray joins whatever cluster runs on this machine, and dies with it.
                address=options.ray_address or "local",
                include_dashboard=None if options.ray_address else False,
                configure_logging=True,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except (ConnectionError, ValueError, RuntimeError) as problem:
            reason = str(problem).strip().splitlines()[0]
            raise SearchError(f"Ray at {options.ray_address or 'this machine'} cannot be reached: {reason}") from None
    try:
        yield _resources(options, ray.cluster_resources())
    finally:
        if ours:
            ray.shutdown()


def _resources(options: SearchOptions, available: dict[str, float]) -> _Resources:
    """What one trial takes and how many run at once. Raises SearchError for what would wait for ever."""
    cpus, gpus = available.get("CPU", 0.0), available.get("GPU", 0.0)
    gpu = options.gpus_per_trial
    if gpu is None:
        gpu = 1.0 if gpus >= 1 else 0.0
    for name, wanted, there in (("cpus", options.cpus_per_trial, cpus), ("gpus", gpu, gpus)):
        if wanted > there:
            raise SearchError(f"{name}_per_trial: {wanted:g} wanted, but Ray has {there:g}")
    if gpu > 1 and gpu != int(gpu):
        raise SearchError(f"gpus_per_trial: above 1 it must be whole, not {gpu:g}")
    fits = int(cpus // options.cpus_per_trial)
    if gpu:
        # 1e-9: three trials of 0.333 share a device, whatever the last digit says
        fits = min(fits, math.floor(gpus / gpu + 1e-9))
    return _Resources(options.cpus_per_trial, gpu, min(options.max_concurrent or fits, max(1, fits)))


@contextmanager
def _stoppable(bridge: Bridge) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the search in good order; a second Ctrl-C ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        if bridge.stop_reason == "interrupted":
            raise KeyboardInterrupt
        bridge.stop_reason = "interrupted"

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
