"""Replays and retrainings side by side: one Ray Tune trial for each network and seed, every result in the database at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.driver.options import RayOptions
from nas.driver.tuning import Resources, ray_session, run_trials, stoppable
from nas.errors import NasError, SearchError
from nas.replays.engine import Ran, Shop, alone, test_images
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.store import DEFAULT_URL, Store

if TYPE_CHECKING:
    from nas.driver.replay_link import ReplayLink


def run_on_ray(
    plans: Sequence[Plan], options: TrainingOptions, ray_options: RayOptions, progress: Progress
) -> Iterator[Ran]:
    """Trains what has no result yet, and gives what came of each plan when all are done.

    What was trained when the run is interrupted or fails is kept and given too, before the error is raised; the same
    command goes on from the last epochs.
    """
    with Store.open(options.storage or DEFAULT_URL, create=True) as store, ExitStack() as locks:
        store.patience.notify = progress.note
        shops: list[Shop] = []
        broken: list[NasError] = []
        for plan in plans:
            shop = Shop(plan, options, store, progress)
            try:
                locks.enter_context(alone(shop.folder))
            except NasError as problem:
                progress.note(f"{plan.title}: {problem}")
                broken.append(problem)
            else:
                shops.append(shop)
        jobs = [(place, seed) for place, shop in enumerate(shops) for seed in shop.waiting(again=options.again)]
        stopped = _train(shops, jobs, options, ray_options, progress, broken) if jobs else None
        waiting = {place for place, _ in jobs}
        for place, shop in enumerate(shops):
            if shop.trained or place not in waiting:
                yield shop.ran()
    if stopped is not None:
        raise KeyboardInterrupt
    if broken:
        raise broken[0]


def _train(
    shops: list[Shop],
    jobs: list[tuple[int, int]],
    options: TrainingOptions,
    ray_options: RayOptions,
    progress: Progress,
    broken: list[NasError],
) -> str | None:
    """Trains `jobs`, places in `shops` and seeds, and adds to `broken` what kept one from it. Returns why it ended early."""
    from nas.driver.replay_link import ReplayLink

    link = ReplayLink(shops, jobs, progress)
    with ray_session(ray_options) as resources, stoppable(link):
        _check_device(options, resources)
        try:
            run_trials(link, _trainable(link, options, resources), resources)
        finally:
            link.close()
    if link.problem is not None:
        raise link.problem
    broken += link.broken
    return link.stop_reason


def _check_device(options: TrainingOptions, resources: Resources) -> None:
    if options.device != "auto" and options.device != resources.device:
        there = "no GPU for a trial" if options.device == "cuda" else "a GPU for each trial"
        remedy = "--device cpu" if options.device == "cuda" else "--gpus-per-trial 0"
        raise SearchError(f"device {options.device}: Ray has {there}; use {remedy}")


def _trainable(link: ReplayLink, options: TrainingOptions, resources: Resources) -> Any:
    import ray
    from ray import tune

    from nas.driver.replay_worker import ReplayWorker

    plans = [shop.plan for shop in link.shops]
    tests = {task: ray.put(test_images(task)) for task in dict.fromkeys(plan.dataset.task for plan in plans)}
    return tune.with_parameters(
        ReplayWorker,
        plans=plans,
        tests=[tests[plan.dataset.task] for plan in plans],
        folders=[Path(shop.folder) for shop in link.shops],
        threads=options.threads or max(1, int(resources.cpus)),
        device=resources.device,
    )
