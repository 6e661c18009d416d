"""Replays and retrainings side by side: one job of Ray for each network and seed, every result in the database at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from nas.config.block_files import own_blocks
from nas.config.losses import functions_of
from nas.config.own_functions import noted, with_functions
from nas.data.metrics import KIND as METRIC
from nas.errors import NasError
from nas.execution.gpu_sharing import Slot
from nas.execution.options import RayOptions
from nas.execution.session import ray_session, run_jobs, stoppable
from nas.execution.stop import Stop
from nas.replays.jobs import Ran, Series, alone, read_test
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.replays.seed_source import SeedSource, SeedTrainings
from nas.store import DEFAULT_URL, Patience, Store


def run_on_ray(
    plans: Sequence[Plan], options: TrainingOptions, ray_options: RayOptions, progress: Progress
) -> Iterator[Ran]:
    """Trains what has no result yet, and gives what came of each plan when all are done.

    What was trained when the user stops it is given too, before KeyboardInterrupt is raised. Results are kept in any case;
    the same call resumes from the last epochs.
    """
    ray_options = replace(ray_options, device=options.device)
    stop = Stop()
    patience = Patience(notify=progress.note, hurried=stop.asked)
    with Store.open(options.storage or DEFAULT_URL, create=True, patience=patience) as store, ExitStack() as locks:
        series: list[Series] = []
        broken: list[NasError] = []
        for plan in plans:
            some = Series(plan, options, store, progress)
            try:
                locks.enter_context(alone(some.folder))
            except NasError as problem:
                progress.note(f"{plan.title}: {problem}")
                broken.append(problem)
            else:
                series.append(some)
        seeds = [some.waiting(again=options.again) for some in series]
        if any(seeds):
            broken += _train(series, seeds, options, ray_options, progress, stop)
        for some, waited in zip(series, seeds, strict=True):
            if some.trained or not waited:
                yield some.ran()
    if stop.asked():
        raise KeyboardInterrupt
    if broken:
        raise broken[0]


def _train(
    series: list[Series],
    seeds: list[list[int]],
    options: TrainingOptions,
    ray_options: RayOptions,
    progress: Progress,
    stop: Stop,
) -> list[NasError]:
    """Trains those `seeds` of each of `series`. Returns what kept something from it."""
    with ray_session(ray_options, progress.note) as resources, stoppable(stop):
        import ray

        plans = [some.plan for some in series]
        images = {
            task: ray.put(read_test(task, progress)) for task in dict.fromkeys(plan.dataset.task for plan in plans)
        }
        tests = [partial(ray.get, images[plan.dataset.task]) for plan in plans]
        source = SeedSource(series, seeds, Slot(resources.gpus), progress, tells=True)
        trainings = SeedTrainings(plans, [some.folder for some in series], tests)
        networks = [plan.architecture for plan in plans]
        networks += [plan.teacher.architecture for plan in plans if plan.teacher is not None]
        blocks = own_blocks(name for network in networks for name in network.blocks)
        losses = dict.fromkeys(plan.recipe.loss for plan in plans)
        further = dict.fromkeys(name for plan in plans for name in plan.dataset.type.further)
        functions = [*noted(METRIC, further), *(function for loss in losses for function in functions_of(loss))]
        blocks = with_functions(blocks, functions)
        run_jobs(source, trainings, resources, stop, threads=options.threads, blocks=blocks)
    stop.check()
    return source.broken
