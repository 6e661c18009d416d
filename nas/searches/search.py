"""The search itself: everything is checked, then Ray Tune runs trials until the budget is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nas.config.block_files import check_blocks, load_blocks, origins, own_blocks
from nas.config.recipe import ADDED_LATER, Recipe
from nas.config.recipe_presets import FINE_TUNING, check_recipe, described, fitted, sampling_for
from nas.config.task import FOUND, LoadedTask
from nas.data import Dataset, Task, TaskType, augmentation, load, source
from nas.data.images import left_out_line
from nas.data.objects import KIND as MEMORY
from nas.data.objects import hand_over
from nas.errors import SearchError, StudyExists
from nas.execution.gpu_sharing import Packing
from nas.execution.session import ray_session, run_jobs, stoppable
from nas.execution.stop import Stop
from nas.objectives import ACCURACY, learned
from nas.pareto import hypervolume, left_out, pareto
from nas.searches.early_stopping import SCHEDULERS, EarlyStopping, Promoting, StoppingOptions
from nas.searches.options import RANDOM, SearchOptions, parse_duration
from nas.searches.progress import Progress
from nas.searches.seed_points import SeedPoint, choose_seeds
from nas.searches.trial_checkpoints import TrialCheckpoints, open_checkpoints
from nas.space.published import whole_of
from nas.space.space import Space
from nas.states import State
from nas.statistics.proportion import standard_error
from nas.text.formatting import shorten
from nas.text.sanitize import problem_of_name
from nas.train.evaluation import measured_epochs

FEW_IMAGES = 20
"""Images of a class up to which a measurement says little."""
LARGE_ERROR = 0.02
"""Standard error of an accuracy of 75 % from which cross-validation is offered."""
OFFERED_FOLDS = 4

if TYPE_CHECKING:
    # Every process that trains imports this package, and needs no database.
    import pandas as pd

    from nas.network.pretrained import Start
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
    """How many trials are in each; those that are ``paused`` have no row in `trials` before they end."""
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
    from nas.searches.samplers import SAMPLERS
    from nas.space.feasibility import check_feasible
    from nas.store import DEFAULT_URL, Patience, Store

    progress = progress or Progress()
    load_blocks(*options.blocks)
    SAMPLERS.find(options.sampler)
    validation = 0.0 if options.folds > 1 else options.validation
    data = options.data
    task = Task(
        data if isinstance(data, str) else hand_over(data, options.image_size, skip_bad=options.skip_bad),
        options.data_root,
        validation,
        image_size=options.image_size,
        folds=options.folds,
        skip_bad=options.skip_bad,
    )
    # Whatever else is read has no files that are larger than its images.
    task = replace(task, reduced=options.image_size is not None and bool(source(task).place))
    wanted = (*learned(options.objectives), *options.metrics)
    task_type = source(task).type.reporting(wanted)
    check_reported(wanted, task, task_type)
    check_retraining(options.retrain, task_type)
    space = options.space if isinstance(options.space, Space) else Space.load(options.space, task_type.output)
    space = space.limit(parameters=options.max_parameters, macs=options.max_macs, **options.limits or {})
    check_recipe(options.recipe)  # a fault in it is told before data is read
    start = find_start_of(space, options.pretrained)
    stop = Stop()
    patience = Patience(notify=progress.note, hurried=stop.asked)
    with Store.open(options.storage or DEFAULT_URL, create=True, patience=patience) as store:
        name = _default_name(store, space, task) if options.study is None else options.study
        if (problem := problem_of_name(name)) and not store.has_study(name):
            raise SearchError(f"study {shorten(name)}: {problem}; name it with --study")
        dataset = load(_decoded_alike(store, name, task))
        dataset = replace(dataset, type=dataset.type.reporting(wanted))
        if (remark := source(task).remark(task)) is not None:
            progress.note(remark)
        if dataset.left_out:
            files = len(dataset.left_out) + len(dataset.train) + len(dataset.validation)
            progress.note(left_out_line(dataset.left_out, files))
        if start is not None:
            dataset = start.seen(dataset)
            progress.note(_start_line(start))
        recipe = _recipe(options, dataset, start)
        check_feasible(space, dataset.input, dataset.classes, note=progress.note)
        study = _open_study(store, name, space, dataset, recipe, options)
        _keep_run(options, name, store, progress)
        _tell_protocol(dataset, recipe, progress, named=options.recipe is not None)
        checkpoints = open_checkpoints(options, store, study, progress.note)
        with store.claim(name, lambda row: checkpoints is not None) as repaired:
            if repaired.interrupted:
                progress.note(f"{repaired.interrupted} trials of a search that was killed are marked as interrupted")
            past = store.trials(name)
            seeds = choose_seeds(space, dataset, options.trials, str(options.seed_points), progress)
            ended = _run(options, progress, store, stop, study, space, dataset, recipe, past, seeds, checkpoints)
            trials, paused = store.trials(name), store.paused(name)
            if checkpoints is not None:
                checkpoints.sweep(paused["id"])
            if len(paused):
                progress.note(f"{_trials(len(paused))} paused: the same command goes on from there")
        result = SearchResult(
            name,
            store.shown_url,
            study.objectives,
            trials,
            pareto(trials, study.objectives),
            hypervolume(trials, study.objectives),
            dict(Counter([*trials["state"], *paused["state"]])),
            ended,
            study.validation_images,
        )
    return _finished(result, options, space, progress) if options.retrain and ended != "interrupted" else result


def _trials(number: int) -> str:
    return "1 trial is" if number == 1 else f"{number} trials are"


def _default_name(store: Store, space: Space, task: Task) -> str:
    """The name of a study that the user does not name: the space, and the data set or the folder."""
    kind, _, place = task.dataset.partition(":")
    before = f"{space.name}-{kind}"
    # As it was before folders had their own: such a study on the same data goes on.
    if not place or (store.has_study(before) and store.study(before).task.dataset == task.dataset):
        return before
    return f"{space.name}-{source(task).short_name(task)}"


def _decoded_alike(store: Store, name: str, task: Task) -> Task:
    """The task, its images decoded as those of the study are, where it was begun by a version that decoded otherwise."""
    if not task.reduced or not store.has_study(name):
        return task
    return replace(task, reduced=store.study(name).task.reduced)


def check_reported(objectives: Sequence[str], task: Task, task_type: TaskType) -> None:
    """Raises SearchError for an objective that a training on these data does not report."""
    for name in learned(objectives):
        if name not in task_type.reported():
            known = ", ".join(task_type.reported())
            raise SearchError(
                f"data '{task.dataset}': a training reports {known}, and no {name}; name other --objectives, such as by "
                f"--metric {task_type.metrics[0].name}"
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


def find_start_of(space: Space, pretrained: str | None) -> Start | None:
    """The trained weights that networks of the space start from; None: random ones. `pretrained` is the user's word.

    Raises SearchError where the space says nothing of whose weights these are, otherwise as `find_start` does.
    """
    if pretrained == RANDOM or (pretrained is None and space.pretrained is None):
        return None
    if space.pretrained is None:
        raise SearchError(
            f"pretrained: the space '{space.name}' names no published network whose weights its networks could take; "
            "pretrained_mobile and pretrained_resnet do, and any space with the key 'pretrained'"
        )
    from nas.network.pretrained import find_start

    whole_of(space)
    return find_start(space.pretrained, pretrained)


def _start_line(start: Start) -> str:
    scale = "as theirs were" if start.mean else "by their own mean, since these weights do not say"
    return (
        f"networks start from the weights of {start.network} ({start.weights}): {len(start.state)} tensors of "
        f"{start.parameters:,} numbers, of which each takes those of the layers that it has; images are normalized {scale}"
    )


def _recipe(options: SearchOptions, dataset: Dataset, start: Start | None) -> Recipe:
    """The recipe of every trial, its steps as epochs of the training images."""
    images = dataset.trained_images
    known = source(dataset.task)
    default = known.recipe if start is None else FINE_TUNING
    recipe = fitted(options.recipe or default, images, augmentation(dataset))
    recipe = recipe.replace(seed=options.seed, pretrained="" if start is None else start.text)
    if options.recipe is None:
        trained = dataset.type.counts(dataset.train.y, dataset.classes)
        if trained is not None:
            recipe = recipe.replace(sampling=sampling_for(trained.tolist(), known.count_test(dataset.task)))
    if options.epochs is not None:
        recipe = recipe.replace(epochs=options.epochs)
    if options.steps is not None:
        recipe = recipe.replace(steps=options.steps).for_images(images)
    _stopping(options, recipe)  # refuses a training that is too short
    return recipe


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
    task = replace(dataset.loaded_task, validation_images=len(dataset.measured_labels))
    # Another driver may make it between the look and the write; then the claim on it decides who runs.
    with suppress(StudyExists):
        if not store.has_study(name):
            return store.create_study(
                name,
                space=space,
                task=task,
                recipe=recipe,
                objectives=list(options.objectives),
                seed=options.seed,
                constraints=space.constraints,
                blocks=origins(space.blocks),
            )
    study = store.study(name)
    check_blocks(name, study.blocks)
    if recipe.norm_images and not study.recipe.norm_images:
        raise SearchError(
            f"study '{name}' in {store.shown_url} was begun with norm_images 0, as every study of an older version: its "
            "networks were measured before their batch norm knew their weights; its trials do not compare with those of "
            f"norm_images {recipe.norm_images}, so name another --study"
        )
    if study.outdated_costs:
        raise SearchError(study.outdated_costs)
    differences = []
    if study.space_fingerprint != space.fingerprint:
        differences.append(f"another space or another version of it ('{study.space_name}')")
    differences += _other_data(study.task, task)
    begun, now = ({**ADDED_LATER, **one.to_dict()} for one in (study.recipe, recipe))
    differences += [
        f"{key} {begun[key] or 'of random weights'}, not {value or 'of random weights'}"
        if key == "pretrained"
        else f"{key} {begun[key]}, not {value}"
        for key, value in now.items()
        if begun[key] != value
    ]
    if study.objectives != tuple(options.objectives):
        differences.append(f"objectives {', '.join(study.objectives)}")
    if differences:
        raise SearchError(
            f"study '{name}' in {store.shown_url} was begun with {'; '.join(differences[:4])}; "
            "use the same options to continue it, or name another --study"
        )
    return study


def _keep_run(options: SearchOptions, name: str, store: Store, progress: Progress) -> None:
    """Writes the search as a file beside the study; that it cannot be written is said and no more."""
    from nas.searches.run_file import write_run

    try:
        write_run(options, name, store)
    except OSError as problem:
        progress.note(f"the search is not kept as a file: {problem.strerror or problem}: {problem.filename}")


def _other_data(begun: LoadedTask, now: LoadedTask) -> list[str]:
    """What is another in the data: the options that say so, or else that the images themselves have changed."""
    theirs, ours = asdict(begun.unread()), asdict(now.unread())
    if all(one["dataset"].startswith(f"{MEMORY}:") for one in (theirs, ours)) and theirs["dataset"] != ours["dataset"]:
        return [
            f"other images or labels ({theirs['dataset']}) than those that were handed over now ({ours['dataset']})"
        ]
    differences = [f"{key} {theirs[key]}, not {value}" for key, value in ours.items() if theirs[key] != value]
    known = replace(now, validation_images=begun.validation_images and now.validation_images)
    if not differences and any(getattr(begun, key) != getattr(known, key) for key in FOUND):
        differences.append(f"other images or labels in {now.dataset} than it has now")
    return differences


def _run(
    options: SearchOptions,
    progress: Progress,
    store: Store,
    stop: Stop,
    study: StudyRow,
    space: Space,
    dataset: Dataset,
    recipe: Recipe,
    past: pd.DataFrame,
    seeds: list[SeedPoint],
    checkpoints: TrialCheckpoints | None,
) -> str:
    """Trains until the budget is spent. Returns why it ended."""
    paused = store.paused(study.name)
    if checkpoints is not None:
        checkpoints.sweep(paused["id"])  # what an end that nobody saw has left
        checkpoints.make_folder()
    finished = int((past["state"] != "interrupted").sum()) + len(paused)
    guess = dataset.type.chance(dataset.measured_labels)
    rungs = _rungs(options, study, store, recipe, checkpoints is not None, progress.note)
    if finished >= options.trials and paused.empty and (rungs is None or left_out(past, study.objectives, guess).empty):
        progress.note(f"study '{study.name}' has {finished} finished trials already; --trials counts them all")
        return "done"
    from nas.searches.optuna_history import rows
    from nas.searches.proposer import Proposer
    from nas.searches.trial_source import TrialPlan, TrialSource
    from nas.searches.trial_training import TrialTraining

    measurer = _measurer(options, study, space, store, dataset)
    ray_options = replace(options.ray, timed=measurer is not None and measurer.on_gpu)
    proposer = Proposer(
        space,
        dataset.input,
        dataset.classes,
        objectives=study.objectives,
        sampler=options.sampler,
        seed=options.seed,
        past=[*rows(past), *rows(paused)],
        seeds=seeds,
        **({} if measurer is None else _asking(measurer, options, store)),
        epochs=recipe.epochs,
        measured_on=len(dataset.measured_labels) if ACCURACY.name in study.objectives else None,
    )
    timeout = parse_duration(options.trial_timeout, "trial_timeout")
    measured = measured_epochs(recipe.epochs, rungs.epochs if rungs else ())
    plan = TrialPlan(
        study.name,
        recipe,
        options.trials,
        finished,
        cache=options.cache,
        measured=tuple(sorted(measured)),
        chance=guess,
    )
    budget = parse_duration(options.time)
    with ExitStack() as session:
        resources = session.enter_context(ray_session(ray_options, progress.note))
        if measurer is not None:
            session.enter_context(measurer.ready(study.name, apart=resources.timed))
        session.enter_context(stoppable(stop))
        packing = Packing(
            dataset,
            recipe,
            gpus=resources.gpus if resources.gpu is None else None,
            gpu=resources.gpu,
            observed=[(memory.predicted_bytes, memory.peak_bytes) for memory in store.memories(study.name)],
        )
        if len(paused):
            progress.note(f"{_trials(len(paused))} paused, and gone on with")
        source = TrialSource(
            proposer,
            store,
            plan,
            stop,
            packing=packing,
            rungs=rungs,
            progress=progress,
            checkpoints=checkpoints,
            paused=paused.to_dict("records"),
        )
        deadline = stop.in_seconds(budget)
        progress.begin(study.name, past, study.objectives, options.trials, deadline, len(dataset.measured_labels))
        try:
            trainings = partial(TrialTraining, dataset)
            run_jobs(source, trainings, resources, stop, timeout=timeout, blocks=own_blocks(space.blocks))
        finally:
            progress.end()
    stop.check()
    if source.exhausted:
        progress.note(f"every architecture of {space.name} inside the constraints has been evaluated")
    return stop.reason or ("exhausted" if source.exhausted else "done")


def _measurer(options: SearchOptions, study: StudyRow, space: Space, store: Store, dataset: Dataset) -> Measurer | None:
    """What measures networks, where something has to be measured before they are trained."""
    from nas.network.probes import probes_of
    from nas.searches.measuring import Measurer

    probes = probes_of((*study.objectives, *space.constraints, *options.features))
    if not probes:
        return None
    blocks = own_blocks(space.blocks)
    return Measurer(probes, store, dataset.input, dataset.classes, options.probe_device, blocks)


def _asking(measurer: Measurer, options: SearchOptions, store: Store) -> dict[str, Any]:
    """How a proposer asks for what is measured."""

    def keep(readings: Sequence[Reading]) -> None:
        for reading in readings:
            store.add_reading(replace(reading, row=None))

    return {
        "measure": measurer,
        "refused": keep,
        "features": {name: partial(measurer.value, name) for name in options.features},
    }


def _stopping(options: SearchOptions, recipe: Recipe) -> EarlyStopping | None:
    """What ends trials early; None when nothing does."""
    known = StoppingOptions(
        options.scheduler, tuple(options.objectives), recipe.epochs, options.min_epochs, options.reduction_factor
    )
    return SCHEDULERS.find(options.scheduler)(known)


def _rungs(
    options: SearchOptions,
    study: StudyRow,
    store: Store,
    recipe: Recipe,
    kept: bool,
    note: Callable[[str], None],
) -> EarlyStopping | None:
    """What ends trials early, with those that earlier runs have brought there; `kept`: whether there are checkpoints."""
    rungs = _stopping(options, recipe)
    if isinstance(rungs, Promoting) and not kept:
        note(f"without checkpoints --scheduler {options.scheduler} stops trials rather than letting them wait")
    if rungs is not None:
        reached = store.accuracies(study.name, rungs.epochs, paused=True)
        rungs.recall(reached[reached["state"] != State.INTERRUPTED])  # those are evaluated again, and entered then
    return rungs
