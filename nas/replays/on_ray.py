"""Replays and retrainings side by side: one Ray Tune trial for each network and seed, every result in the database at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.config.block_files import own_blocks
from nas.errors import NasError
from nas.execution.options import RayOptions
from nas.execution.session import Resources, ray_session, run_trials, stoppable
from nas.replays.jobs import Job, Ran, alone, test_images
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.store import DEFAULT_URL, Store

if TYPE_CHECKING:
    from nas.replays.training_searcher import ReplayLink


def run_on_ray(
    plans: Sequence[Plan], options: TrainingOptions, ray_options: RayOptions, progress: Progress
) -> Iterator[Ran]:
    """Trains what has no result yet, and gives what came of each plan when all are done.

    What was trained when the user stops it is given too, before KeyboardInterrupt is raised. Results are kept in any case;
    the same call resumes from the last epochs.
    """
    ray_options = replace(ray_options, device=options.device)
    with Store.open(options.storage or DEFAULT_URL, create=True) as store, ExitStack() as locks:
        store.patience.notify = progress.note
        jobs: list[Job] = []
        broken: list[NasError] = []
        for plan in plans:
            job = Job(plan, options, store, progress)
            try:
                locks.enter_context(alone(job.folder))
            except NasError as problem:
                progress.note(f"{plan.title}: {problem}")
                broken.append(problem)
            else:
                jobs.append(job)
        trainings = [(place, seed) for place, job in enumerate(jobs) for seed in job.waiting(again=options.again)]
        stopped = _train(jobs, trainings, options, ray_options, progress, broken) if trainings else None
        waiting = {place for place, _ in trainings}
        for place, job in enumerate(jobs):
            if job.trained or place not in waiting:
                yield job.ran()
    if stopped is not None:
        raise KeyboardInterrupt
    if broken:
        raise broken[0]


def _train(
    jobs: list[Job],
    trainings: list[tuple[int, int]],
    options: TrainingOptions,
    ray_options: RayOptions,
    progress: Progress,
    broken: list[NasError],
) -> str | None:
    """Trains `trainings`, places in `jobs` and seeds, and adds to `broken` what kept one from it. Returns why it ended early."""
    from nas.replays.training_searcher import ReplayLink

    link = ReplayLink(jobs, trainings, progress)
    with ray_session(ray_options, progress.note) as resources, stoppable(link):
        try:
            run_trials(link, _trainable(link, options, resources), resources)
        finally:
            link.close()
    if link.problem is not None:
        raise link.problem
    broken += link.broken
    return link.stop_reason


def _trainable(link: ReplayLink, options: TrainingOptions, resources: Resources) -> Any:
    import ray
    from ray import tune

    from nas.replays.training_worker import ReplayWorker

    plans = [job.plan for job in link.jobs]
    tests = {task: ray.put(test_images(task)) for task in dict.fromkeys(plan.dataset.task for plan in plans)}
    return tune.with_parameters(
        ReplayWorker,
        plans=plans,
        tests=[tests[plan.dataset.task] for plan in plans],
        folders=[Path(job.folder) for job in link.jobs],
        blocks=own_blocks(name for plan in plans for name in plan.architecture.blocks),
        threads=options.threads or max(1, int(resources.cpus)),
        device=resources.device,
    )
