"""The search itself: everything is checked, then Ray Tune runs trials until the budget is spent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.config.recipe import Recipe
from nas.config.recipe_presets import check_recipe, described, fitted, sampling_for
from nas.data import Dataset, Task, TaskType, augmentation, load, skipped_files, source
from nas.errors import SearchError, StudyExists
from nas.execution.gpu_sharing import Packing
from nas.execution.session import Resources, ray_session, run_trials, stoppable
from nas.objectives import ACCURACY, learned
from nas.pareto import hypervolume, left_out, pareto
from nas.searches.early_stopping import Rungs, rung_epochs
from nas.searches.options import SearchOptions, parse_duration
from nas.searches.progress import Progress
from nas.searches.seed_points import SeedPoint, choose_seeds
from nas.space.space import Space
from nas.states import State
from nas.statistics.proportion import standard_error
from nas.text.formatting import shorten
from nas.text.sanitize import expanded, problem_of_name
from nas.train.evaluation import measured_epochs

FEW_IMAGES = 20
"""Of a class, up to which a measurement says little."""
FOUND = ("fingerprint", "input", "classes", "validation_images")
"""What a task says about its images: no option, but what came of reading them."""
LARGE_ERROR = 0.02
"""Standard error of an accuracy of 75 % from which cross-validation is offered."""
OFFERED_FOLDS = 4

if TYPE_CHECKING:
    # Every process that trains imports this package, and needs no database.
    import pandas as pd

    from nas.replays.jobs import Ran
    from nas.searches.final_network import Final
    from nas.searches.measuring import Measurer
    from nas.store import Reading, Store, StudyRow


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
    measured_on: int | None = None
    """Images on which an accuracy was measured."""
    retrained: tuple[Ran, ...] = ()
    """What came of the networks that were retrained at the end, the most accurate of the search first."""
    final: Final | None = None
    """The most accurate of them; None when none was."""


def search(options: SearchOptions, progress: Progress | None = None) -> SearchResult:
    """Runs or continues a study until it has `options.trials` finished trials. See `nas.search`.

    Raises a NasError before anything starts when an option cannot be met.
    """
    from nas.searches.samplers import check_sampler
    from nas.space.feasibility import check_feasible
    from nas.store import DEFAULT_URL, Store

    progress = progress or Progress()
    check_sampler(options.sampler)
    validation = 0.0 if options.folds > 1 else options.validation
    task = Task(options.data, options.data_root, validation, 0, options.image_size, options.folds)
    task_type = source(task).type
    check_reported(options.objectives, task, task_type)
    check_retraining(options.retrain, task_type)
    space = options.space if isinstance(options.space, Space) else Space.load(options.space, task_type.output)
    space = space.limit(parameters=options.max_parameters, macs=options.max_macs, **options.limits or {})
    check_recipe(options.recipe)  # a fault in it is told before data is read
    name = f"{space.name}-{task.dataset.partition(':')[0]}" if options.study is None else options.study
    with Store.open(options.storage or DEFAULT_URL, create=True) as store:
        if (problem := problem_of_name(name)) and not store.has_study(name):
            raise SearchError(f"study {shorten(name)}: {problem}; name it with --study")
        dataset = load(task)
        kind, _, folder = task.dataset.partition(":")
        if kind == "imagefolder" and (missed := skipped_files(expanded(folder))):
            progress.note(missed)
        recipe = _recipe(options, dataset)
        check_feasible(space, dataset.input, dataset.classes, note=progress.note)
        study = _open_study(store, name, space, dataset, recipe, options)
        _tell_protocol(dataset, recipe, progress, named=options.recipe is not None)
        store.patience.notify = progress.note
        with store.claim(name) as repaired:
            if repaired.interrupted:
                progress.note(f"{repaired.interrupted} trials of a search that was killed are marked as interrupted")
            past = store.trials(name)
            seeds = choose_seeds(space, dataset, options.trials, str(options.seed_points), progress)
            ended = _run(options, progress, store, study, space, dataset, recipe, past, seeds)
            trials = store.trials(name)
        result = SearchResult(
            name,
            store.shown_url,
            study.objectives,
            trials,
            pareto(trials, study.objectives),
            hypervolume(trials, study.objectives),
            dict(Counter(trials["state"])),
            ended,
            study.validation_images,
        )
    return _finished(result, options, space, progress) if options.retrain and ended != "interrupted" else result


def check_reported(objectives: Sequence[str], task: Task, task_type: TaskType) -> None:
    """Raises SearchError for an objective that a training on these data does not report."""
    for name in learned(objectives):
        if name not in task_type.reported():
            known = ", ".join(task_type.reported())
            raise SearchError(
                f"data '{task.dataset}': a training reports {known}, and no {name}; name other --objectives"
            )


def check_retraining(retrain: int, task_type: TaskType) -> None:
    """Raises SearchError where networks are to be retrained whose test set is not read: what is kept of one is accuracy."""
    if retrain and ACCURACY not in task_type.metrics:
        raise SearchError(f"retrain: chooses by accuracy, which a task of {task_type.name} does not have; leave it out")


def _finished(result: SearchResult, options: SearchOptions, space: Space, progress: Progress) -> SearchResult:
    """The result with its most accurate networks retrained; interrupted where the user stops that."""
    from nas.searches.final_network import final_network, finish, most_accurate

    chosen = most_accurate(result.trials, result.objectives, space, options.retrain)
    if chosen.empty:
        progress.note("no network to retrain: no trial inside the constraints is complete")
        return result
    try:
        rans = finish(options, result.study, chosen, progress)
    except KeyboardInterrupt:
        return replace(result, ended="interrupted")
    return replace(result, retrained=tuple(rans), final=final_network(rans))


def _recipe(options: SearchOptions, dataset: Dataset) -> Recipe:
    """The recipe of every trial, its steps as epochs of the training images."""
    images = dataset.trained_images
    known = source(dataset.task)
    recipe = fitted(options.recipe or known.recipe, images, augmentation(dataset))
    recipe = recipe.replace(seed=options.seed)
    if options.recipe is None:
        trained = dataset.type.counts(dataset.train.y, dataset.classes)
        if trained is not None:
            recipe = recipe.replace(sampling=sampling_for(trained.tolist(), known.count_test(dataset.task)))
    if options.epochs is not None:
        recipe = recipe.replace(epochs=options.epochs)
    if options.steps is not None:
        recipe = recipe.replace(steps=options.steps).for_images(images)
    if options.scheduler != "none":
        _check_rungs(recipe.epochs, options)
    return recipe


def _check_rungs(epochs: int, options: SearchOptions) -> None:
    """Raises SearchError where early stopping would never look at a trial."""
    if rung_epochs(epochs, options.min_epochs, options.reduction_factor):
        return
    possible = rung_epochs(epochs, 1, options.reduction_factor)
    if options.min_epochs is not None and possible:
        raise SearchError(
            f"min_epochs: must be at most {possible[-1]}, not {options.min_epochs}: --scheduler {options.scheduler} would never "
            f"stop one, because its last look is after {possible[-1]} of the {epochs} epochs of a training"
        )
    raise SearchError(
        f"a training of {epochs} epochs is too short for --scheduler {options.scheduler} with reduction factor "
        f"{options.reduction_factor:g}: it would never stop one; train longer, or leave the scheduler out"
    )


def _tell_protocol(dataset: Dataset, recipe: Recipe, progress: Progress, *, named: bool) -> None:
    """How networks are trained and measured, in words; and how sure a measurement is."""
    labels, folds = dataset.measured_labels, dataset.task.folds
    images, every = len(labels), len(dataset.train) + len(dataset.validation)
    progress.note(f"each trial: {described(recipe, dataset.trained_images)}")
    if recipe.sampling == "balanced" and not named:
        progress.note(
            "classes are drawn alike because the test images have other shares of them than the training images, and nearer "
            "to even ones (--recipe modern draws images alike)"
        )
    how = "" if folds == 1 else f", each once in {folds} trainings of a network, which take {folds} times as long"
    what = (
        f"the {images:,} validation images" if dataset.task.chosen else f"{images:,} of {every:,} training images{how}"
    )
    line = f"measured on {what}"
    error = standard_error(0.75, images) if ACCURACY in dataset.type.metrics else 0.0
    if error:
        line += f"; an accuracy of 75 % has a standard error of {error:.1%}"
    counts = dataset.type.counts(labels, dataset.classes)
    fewest = FEW_IMAGES + 1 if counts is None else int(counts.min())
    if fewest <= FEW_IMAGES:
        line += f"; of one class {fewest} images alone are measured on: small differences between networks are chance"
    if folds == 1 and error > LARGE_ERROR:
        line += (
            f" (--folds {OFFERED_FOLDS} measures all {every:,}, to {standard_error(0.75, every):.1%}, and takes {OFFERED_FOLDS} "
            "times as long)"
        )
    progress.note(line)


def _open_study(
    store: Store, name: str, space: Space, dataset: Dataset, recipe: Recipe, options: SearchOptions
) -> StudyRow:
    """The study of that name, which must search the same; a new one when there is none."""
    task = {**dataset.task.to_dict(), "fingerprint": dataset.fingerprint, "input": list(dataset.input)}
    task["classes"] = dataset.classes
    task["validation_images"] = len(dataset.measured_labels)
    constraints = {key: asdict(bounds) for key, bounds in space.constraints.items()}
    # Another driver may make it between the look and the write; then the claim on it decides who runs.
    with suppress(StudyExists):
        if not store.has_study(name):
            return store.create_study(
                name,
                space=space,
                task=task,
                recipe=recipe.to_dict(),
                objectives=list(options.objectives),
                seed=options.seed,
                constraints=constraints,
            )
    study = store.study(name)
    if "norm_images" not in study.recipe:
        raise SearchError(
            f"study '{name}' in {store.shown_url} was begun by an older version, which measured networks before their batch "
            "norm knew their weights; its trials do not compare with those of today, so name another --study"
        )
    if study.outdated_costs:
        raise SearchError(study.outdated_costs)
    differences = []
    if study.space_fingerprint != space.fingerprint:
        differences.append(f"another space or another version of it ('{study.space_name}')")
    differences += _other_data(study.task, task)
    differences += [
        f"{key} {study.recipe.get(key)}, not {value}"
        for key, value in recipe.to_dict().items()
        if study.recipe.get(key) != value
    ]
    if study.objectives != tuple(options.objectives):
        differences.append(f"objectives {', '.join(study.objectives)}")
    if differences:
        raise SearchError(
            f"study '{name}' in {store.shown_url} was begun with {'; '.join(differences[:4])}; "
            "use the same options to continue it, or name another --study"
        )
    return study


def _other_data(begun: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is another in the data: the options that say so, or else that the images themselves have changed."""
    options = [key for key in now if key not in FOUND]
    differences = [f"{key} {begun.get(key)}, not {now[key]}" for key in options if begun.get(key) != now[key]]
    if not differences and any(begun.get(key) != now.get(key) for key in FOUND):
        differences.append(f"other images or labels in {now['dataset']} than it has now")
    return differences


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
    guess = dataset.type.chance(dataset.measured_labels)
    if finished >= options.trials and (options.scheduler == "none" or left_out(past, study.objectives, guess).empty):
        progress.note(f"study '{study.name}' has {finished} finished trials already; --trials counts them all")
        return "done"
    from nas.searches.optuna_history import rows
    from nas.searches.proposer import Proposer
    from nas.searches.trial_searcher import Bridge, Plan

    measurer = _measurer(options, study, space, store, dataset)
    ray_options = replace(options.ray, timed=measurer is not None and measurer.on_gpu)
    proposer = Proposer(
        space,
        dataset.input,
        dataset.classes,
        objectives=study.objectives,
        sampler=options.sampler,
        seed=options.seed,
        past=rows(past),
        seeds=seeds,
        **({} if measurer is None else _asking(measurer, options, store)),
        epochs=recipe.epochs,
        measured_on=len(dataset.measured_labels) if ACCURACY.name in study.objectives else None,
    )
    timeout = parse_duration(options.trial_timeout, "trial_timeout")
    rungs = _rungs(options, study, store, recipe)
    measured = measured_epochs(recipe.epochs, rungs.epochs if rungs else ())
    plan = Plan(
        study.name,
        recipe,
        options.trials,
        trial_timeout=timeout,
        cache=options.cache,
        measured=tuple(sorted(measured)),
        chance=guess,
    )
    bridge = Bridge(proposer, store, plan, rungs, finished=finished, progress=progress)
    budget = parse_duration(options.time)
    with ExitStack() as session:
        resources = session.enter_context(ray_session(ray_options, progress.note))
        if measurer is not None:
            session.enter_context(measurer.ready(study.name, apart=resources.timed))
        session.enter_context(stoppable(bridge))
        deadline = None if budget is None else time.monotonic() + budget
        bridge.plan = replace(plan, deadline=deadline)
        bridge.packing = Packing(
            dataset,
            recipe,
            gpus=resources.gpus if resources.gpu is None else None,
            gpu=resources.gpu,
            observed=[(memory.predicted_bytes, memory.peak_bytes) for memory in store.memories(study.name)],
        )
        progress.begin(study.name, past, study.objectives, options.trials, deadline, len(dataset.measured_labels))
        try:
            run_trials(bridge, _trainable(dataset, resources), resources)
        finally:
            bridge.close()
            progress.end()
    if bridge.problem is not None:
        raise bridge.problem
    if bridge.exhausted:
        progress.note(f"every architecture of {space.name} inside the constraints has been evaluated")
    return bridge.stop_reason or ("exhausted" if bridge.exhausted else "done")


def _measurer(options: SearchOptions, study: StudyRow, space: Space, store: Store, dataset: Dataset) -> Measurer | None:
    """What measures networks, where something has to be measured before they are trained."""
    from nas.network.probes import probes_of
    from nas.searches.measuring import Measurer

    probes = probes_of((*study.objectives, *space.constraints, *options.features))
    return Measurer(probes, store, dataset.input, dataset.classes, options.probe_device) if probes else None


def _asking(measurer: Measurer, options: SearchOptions, store: Store) -> dict[str, Any]:
    """How a proposer asks for what is measured."""

    def keep(readings: Sequence[Reading]) -> None:
        for reading in readings:
            store.add_reading(replace(reading, trial_id=None))

    return {
        "measure": measurer,
        "refused": keep,
        "features": {name: partial(measurer.value, name) for name in options.features},
    }


def _rungs(options: SearchOptions, study: StudyRow, store: Store, recipe: Recipe) -> Rungs | None:
    """The rungs of early stopping, with the trials that reached them in earlier runs; None when nothing is stopped."""
    if options.scheduler == "none":
        return None
    rungs = Rungs(study.objectives, recipe.epochs, options.min_epochs, options.reduction_factor)
    reached = store.accuracies(study.name, rungs.epochs)
    rungs.recall(reached[reached["state"] != State.INTERRUPTED])  # those are evaluated again, and entered then
    return rungs


def _trainable(dataset: Dataset, resources: Resources) -> Any:
    from ray import tune

    from nas.searches.trial_worker import TrialWorker

    threads = max(1, int(resources.cpus))
    return tune.with_parameters(TrialWorker, dataset=dataset, threads=threads, device=resources.device)
