"""The search itself: everything is checked, then Ray Tune runs trials until the budget is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.architecture.architecture import Architecture
from nas.config.block_files import own_blocks
from nas.config.losses import functions_of
from nas.config.own_functions import noted, with_functions
from nas.config.recipe import Recipe
from nas.config.recipe_presets import check_recipe
from nas.data import Dataset, Task, TaskType, load, source
from nas.data.images import left_out_line
from nas.data.metrics import KIND as METRIC
from nas.data.objects import hand_over
from nas.data.task import Told
from nas.errors import SearchError
from nas.execution.gpu_sharing import Packing
from nas.execution.session import ray_session, run_jobs, stoppable
from nas.execution.stop import Stop
from nas.objectives import ACCURACY, LATENCY, OBJECTIVES, learned
from nas.pareto import hypervolume, left_out, pareto
from nas.replays.options import TrainingOptions
from nas.replays.plan import teacher_of
from nas.searches.checks import check_functions, check_reported
from nas.searches.early_stopping import SCHEDULERS, Advised, EarlyStopping, Promoting, StoppingOptions
from nas.searches.options import SearchOptions, parse_duration
from nas.searches.progress import Progress
from nas.searches.protocol import find_start_of, recipe_of, start_line, tell_protocol
from nas.searches.seed_points import SeedPoint, choose_seeds
from nas.searches.study_opening import decoded_alike, default_name, open_study
from nas.searches.tracking import tracked
from nas.searches.trial_checkpoints import TrialCheckpoints, open_checkpoints
from nas.space.space import Space
from nas.states import State
from nas.text.formatting import shorten
from nas.text.sanitize import problem_of_name
from nas.train.evaluation import measured_epochs

if TYPE_CHECKING:
    # Every process that trains imports this package, and needs no database.
    import pandas as pd

    from nas.replays.jobs import Ran
    from nas.sampler.foresight import Foresight
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

    def __repr__(self) -> str:
        return f"<search of study {self.study}: {self._summary}, {len(self.front)} on the front>"

    @property
    def _summary(self) -> str:
        counts = ", ".join(f"{number} {state}" for state, number in sorted(self.states.items())) or "no trials"
        return f"{counts}; hypervolume {self.hypervolume:.4f}; ended: {self.ended}"

    def _repr_html_(self) -> str:
        """The front for a notebook."""
        from nas.front.notebook import front_html
        from nas.front.view import view_of

        view = view_of(self.trials, self.objectives, title=self.study, images=self.measured_on)
        found = [] if self.final is None else [f"final network: trial {self.final.network.trial}"]
        return front_html(view, f"Search of study {self.study}", [self._summary, *found])


def search(options: SearchOptions, progress: Progress | None = None) -> SearchResult:
    """Runs or continues a study until it has `options.trials` finished trials. See `nas.search`.

    Raises a NasError before anything starts when an option cannot be met.
    """
    from nas.searches.samplers import SAMPLERS
    from nas.space.feasibility import check_feasible
    from nas.store import DEFAULT_URL, Patience, Store

    progress = progress or Progress()
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
        cached=options.data_cache,
        memory=None if options.data_memory is None else int(options.data_memory),
    )
    # Whatever else is read has no files that are larger than its images.
    task = replace(task, reduced=options.image_size is not None and bool(source(task).place))
    wanted = (*learned(options.objectives), *options.metrics)
    task_type = source(task).type.reporting(wanted)
    check_reported(wanted, task, task_type)
    space = _space(options.space, task_type)
    space = space.limit(parameters=options.max_parameters, macs=options.max_macs, **options.limits or {})
    check_recipe(options.recipe)  # a fault in it is told before data is read
    start = find_start_of(space, options.pretrained)
    stop = Stop()
    patience = Patience(notify=progress.note, hurried=stop.asked)
    with Store.open(options.storage or DEFAULT_URL, create=True, patience=patience) as store:
        name = default_name(store, space, task) if options.study is None else options.study
        if (problem := problem_of_name(name)) and not store.has_study(name):
            raise SearchError(f"study {shorten(name)}: {problem}; name it with --study")
        progress = tracked(progress, options.track, name)
        dataset = load(decoded_alike(store, name, task), Told(progress.note))
        dataset = replace(dataset, type=dataset.type.reporting(wanted))
        if (remark := source(task).remark(task)) is not None:
            progress.note(remark)
        if dataset.left_out:
            files = len(dataset.left_out) + len(dataset.train) + len(dataset.validation)
            progress.note(left_out_line(dataset.left_out, files))
        if start is not None:
            dataset = start.seen(dataset)
            progress.note(start_line(start))
        if options.teacher is not None:  # what does not fit is told before anything is trained
            training = TrainingOptions(teacher=options.teacher, storage=options.storage)
            teacher_of(training, dataset)
        recipe = recipe_of(options, dataset, start)
        check_functions(recipe, dataset)
        _stopping(options, recipe)  # refuses a training that is too short
        check_feasible(space, dataset.input, dataset.classes, note=progress.note)
        study = open_study(store, name, space, dataset, recipe, options)
        _keep_run(options, name, store, progress)
        tell_protocol(dataset, recipe, progress, named=options.recipe is not None)
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
    if not options.retrain or ended == "interrupted":
        return result
    return _finished(result, options, space, progress, dataset.classes)


def _space(given: str | Path | Space | Mapping[str, object], task_type: TaskType) -> Space:
    if isinstance(given, Space):
        return given
    if isinstance(given, Mapping):
        return Space.from_dict(given, task_type.output)
    return Space.load(given, task_type.output)


def _trials(number: int) -> str:
    return "1 trial is" if number == 1 else f"{number} trials are"


def _finished(
    result: SearchResult, options: SearchOptions, space: Space, progress: Progress, classes: int
) -> SearchResult:
    """The result with its most promising networks retrained; interrupted where the user stops that."""
    from nas.searches.final_network import final_network, finish, most_promising

    chosen = most_promising(result.trials, result.objectives, space, options.retrain, result.measured_on, classes)
    if chosen.empty:
        progress.note("no network to retrain: no trial inside the constraints is complete")
        return result
    try:
        rans = finish(options, result.study, chosen, progress)
    except KeyboardInterrupt:
        return replace(result, ended="interrupted")
    return replace(result, retrained=tuple(rans), final=final_network(rans))


def _keep_run(options: SearchOptions, name: str, store: Store, progress: Progress) -> None:
    """Writes the search as a file beside the study; that it cannot be written is said and no more."""
    from nas.searches.run_file import write_run

    try:
        write_run(options, name, store)
    except OSError as problem:
        progress.note(f"the search is not kept as a file: {problem.strerror or problem}: {problem.filename}")


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
    from nas.searches.earlier_studies import NONE, earlier_studies, shipped_line
    from nas.searches.optuna_history import rows
    from nas.searches.proposer import Proposer
    from nas.searches.trial_source import TrialPlan, TrialSource
    from nas.searches.trial_training import TrialTraining

    measurer = _measurer(options, study, space, store, dataset, progress)
    foresight = _foresight(options, study, space, store, dataset, past)
    ray_options = replace(options.ray, timed=measurer is not None and measurer.on_gpu)
    earlier = earlier_studies(options.prior, store, study, space, progress.note)
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
        foresight=foresight,
        epochs=recipe.epochs,
        measured_on=len(dataset.measured_labels) if ACCURACY.name in study.objectives else None,
        budget_scale=options.weighing(study.objectives),
        timed=options.time is not None,
        earlier=earlier,
    )
    if isinstance(rungs, Advised) and not proposer.advises:
        raise SearchError(
            f"scheduler {options.scheduler}: asks the sampler which trial goes on, and {options.sampler} cannot say; pareto can"
        )
    if set(options.prior) - {NONE} and not proposer.recalls:
        raise SearchError(f"prior: the sampler {options.sampler} learns nothing of earlier studies; pareto does")
    if earlier and not options.prior and proposer.recalls:
        progress.note(shipped_line(earlier, space))
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
            functions = [*noted(METRIC, dataset.type.further), *functions_of(recipe.loss)]
            own = with_functions(own_blocks(space.blocks), functions)
            run_jobs(source, trainings, resources, stop, timeout=timeout, blocks=own)
        finally:
            progress.end()
    if foresight is not None:
        progress.note(foresight.summary())
    stop.check()
    if source.exhausted:
        progress.note(f"every architecture of {space.name} inside the constraints has been evaluated")
    return stop.reason or ("exhausted" if source.exhausted else "done")


def _measurer(
    options: SearchOptions, study: StudyRow, space: Space, store: Store, dataset: Dataset, progress: Progress
) -> Measurer | None:
    """What measures networks, where something has to be measured before they are trained."""
    from nas.network.latency import find_device
    from nas.network.probes import probes_of
    from nas.searches.measuring import Measurer

    probes = probes_of((*study.objectives, *space.constraints, *options.features))
    if not probes:
        return None
    timing, blocks = options.timing, own_blocks(space.blocks)
    if any(probe.objective.name == LATENCY.name for probe in probes):
        progress.note(timing.remark(find_device(timing.place).type))
    probes = [timing.probe() if probe.objective.name == LATENCY.name else probe for probe in probes]
    return Measurer(probes, store, dataset.input, dataset.classes, timing.place, blocks, progress.note)


def _foresight(
    options: SearchOptions, study: StudyRow, space: Space, store: Store, dataset: Dataset, past: pd.DataFrame
) -> Foresight | None:
    """What learns the values that have to be measured and are limited, from those of earlier runs too."""
    limits = {name: bounds for name, bounds in space.constraints.items() if OBJECTIVES[name].known == "measured"}
    if not options.latency_model:
        return None
    if not limits:
        raise SearchError(
            f"latency_model: spares measurements of what would break a limit, and none is measured; name one, such as --limits "
            f"{LATENCY.name}=5"
        )
    from nas.sampler.foresight import Foresight

    foresight = Foresight(limits)
    names = [name for name in limits if name in past]
    known = past.dropna(subset=names).drop_duplicates("hash") if names else past.head(0)
    networks = store.networks(study.name) if len(known) else {}
    foresight.recall(
        (
            (Architecture.from_json(networks[row["hash"]]), {name: row[name] for name in names})
            for row in known.to_dict("records")
        ),
        dataset.input,
        dataset.classes,
    )
    return foresight


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
