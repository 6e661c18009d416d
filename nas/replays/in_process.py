"""Replays of published networks and retrainings of front members, from names to results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from nas.config.block_files import check_blocks
from nas.data.task import Tell, silent
from nas.errors import NasError, SearchError, StorageError
from nas.execution.gpu_sharing import Slot
from nas.execution.runner import run_here
from nas.objectives import metric_of
from nas.pareto import pareto
from nas.replays.jobs import Ran, Series, alone, choose_device, read_test
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan, Shelf, plan_replay, plan_retraining, study_data
from nas.replays.progress import Progress
from nas.replays.seed_source import SeedSource, SeedTrainings
from nas.space.published import PublishedConfig
from nas.store import DEFAULT_URL, Store
from nas.train.environment import use_threads


def replay_plans(configs: Sequence[PublishedConfig], options: TrainingOptions, tell: Tell = silent) -> list[Plan]:
    """How published networks are to be trained; `tell` hears where images are kept. Raises a NasError when one cannot be."""
    if not configs:
        raise SearchError("name a published config; `nas replay --list` shows them")
    shelf = Shelf(tell)
    return [plan_replay(config, options, shelf) for config in configs]


def retrain_plans(
    study: str, options: TrainingOptions, tell: Tell = silent, *, trials: Sequence[int] = (), top: int | None = None
) -> list[Plan]:
    """How front members of a study are to be trained again. Raises a NasError when they cannot be.

    `trials` names finished trials, of the front or not; `top` takes the best of the front; neither: the front.
    """
    if options.data is not None or options.image_size is not None:
        raise SearchError(f"study '{study}': is retrained on its own data; --data and --image-size belong to a replay")
    if top is not None and top < 1:
        raise SearchError(f"top: must be at least 1, not {top}")
    with Store.open(options.storage or DEFAULT_URL) as store:
        row = store.study(study)
        check_blocks(row.name, row.blocks)
        numbers = list(dict.fromkeys(trials)) or _members(store, study, top)
        members = [store.trial(study, number) for number in numbers]
        networks = [store.architecture(member.hash) for member in members]
    data = study_data(row, options, tell)
    return [
        plan_retraining(row, member, network, data, options) for member, network in zip(members, networks, strict=True)
    ]


def run(plans: Sequence[Plan], options: TrainingOptions, progress: Progress) -> Iterator[Ran]:
    """Trains one plan after the other in this process, and gives what came of each as soon as it is there.

    A plan that cannot be run does not keep the others from it; its NasError is raised at the end.
    """
    choose_device(options.device)
    broken: list[NasError] = []
    with Store.open(options.storage or DEFAULT_URL, create=True) as store:
        for plan in plans:
            try:
                ran = _run_plan(plan, options, store, progress)
            except StorageError:
                raise
            except NasError as problem:
                if len(plans) > 1:
                    progress.note(f"{plan.title}: {problem}")
                broken.append(problem)
            else:
                yield ran
    if broken:
        raise broken[0]


def _members(store: Store, study: str, top: int | None) -> list[int]:
    objectives = store.study(study).objectives
    front, metric = pareto(store.trials(study, assignments=False), objectives), metric_of(objectives)
    if front.empty:
        raise StorageError(f"study '{study}': no complete trial, so no front to retrain")
    if top is not None:
        front = front.sort_values([metric.name, "trial"], ascending=[not metric.is_maximized, True]).head(top)
    return [int(number) for number in front["trial"]]


def _run_plan(plan: Plan, options: TrainingOptions, store: Store, progress: Progress) -> Ran:
    """Trains every seed of the plan that has no result yet, or all of them with `options.again`.

    A training that was killed goes on from its last epoch. A seed that fails or exhausts memory ends the plan: the
    others would as well.
    """
    device = choose_device(options.device)
    use_threads(options.threads)
    series = Series(plan, options, store, progress)
    with alone(series.folder):
        waiting = series.waiting(again=options.again)
        trainings = SeedTrainings([plan], [series.folder], [partial(read_test, plan.dataset.task, progress)])
        run_here(SeedSource([series], [waiting], Slot(0.0), progress, tells=False), trainings, device)
    return series.ran()
