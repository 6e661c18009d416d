"""`nas fit`: look at the photos, search, retrain, train references beside, choose, and write a model to use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nas.data import Task, source
from nas.data.overview import Overview, overview_of
from nas.errors import ExportError, NasError
from nas.execution.options import RayOptions
from nas.export import EXPORTERS, export
from nas.export.int8 import Quantized, export_int8, keep
from nas.fits import caption_of
from nas.fits.choice import Candidate, Choice, Limits, candidates, choose, timer
from nas.fits.options import FitOptions, data_of
from nas.fits.references import reference_plans, study_of
from nas.network.load import build
from nas.network.lookup import find_network
from nas.replays.options import SEEDS, TrainingOptions
from nas.searches.options import SearchOptions
from nas.searches.progress import Progress
from nas.store import DEFAULT_URL, Store

if TYPE_CHECKING:
    from nas.replays.jobs import Ran
    from nas.searches.search import SearchResult

SMALL: Final = 96
"""Side up to which images of one size are taken as they are."""
SIDE_ON_CPU: Final = 64
SIDE_ON_GPU: Final = 128
SIDE_OF_PRETRAINED: Final = 96
"""Least side where networks start from trained weights: they halve the map five times, and know larger images."""


@dataclass(frozen=True)
class Fitted:
    """What came of a fit."""

    study: str
    storage: str
    seen: Overview
    result: SearchResult
    references: tuple[Ran, ...] = ()
    offered: tuple[Candidate, ...] = ()
    choice: Choice | None = None
    """None where the search was interrupted, or found nothing."""
    files: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()
    int8: Quantized | None = None
    """What the chosen network is worth in 8-bit integers, where that was asked for."""


def see(options: FitOptions) -> Overview:
    """What is in the folder or the table. Raises DataError that names all that is wrong with it."""
    skip_bad = options.search.skip_bad
    task = Task(data_of(options.photos), skip_bad=skip_bad)
    listing = source(task).list_files(task)
    assert listing is not None, "its images lie in files"
    return overview_of(listing, skip_bad=skip_bad)


def side_for(seen: Overview, device: str, *, pretrained: bool = False) -> int | None:
    """The side that images are made squares of; None where they are small, and all of one size.

    Where networks start from trained weights (`pretrained`), small images are made larger.
    """
    if not pretrained and seen.size is not None and max(seen.size) <= SMALL:
        return None
    on_cpu = SIDE_OF_PRETRAINED if pretrained else SIDE_ON_CPU
    if device == "cpu":
        return on_cpu
    import torch

    return SIDE_ON_GPU if torch.cuda.is_available() else on_cpu


def fit(options: FitOptions, seen: Overview, progress: Progress) -> Fitted:
    """Searches, retrains, trains the references, chooses and exports. The same call resumes whatever was interrupted.

    `seen` is what `see` gives. Raises a NasError before anything starts when an option cannot be met.
    """
    from nas.searches.search import search

    asked = options.search
    side = asked.image_size or side_for(seen, asked.device, pretrained=options.starts_trained)
    options = replace(options, search=replace(asked, image_size=side))
    make_folder(options.output)
    result = search(options.search, progress)
    storage = options.search.storage or DEFAULT_URL
    done = Fitted(result.study, result.storage, seen, result)
    if result.ended == "interrupted" or result.final is None:
        return done
    try:
        rans, remarks = train_references(
            result.study,
            options.references,
            training_options(options.search),
            options.search.ray,
            progress,
            named=options.named,
        )
    except KeyboardInterrupt:
        return replace(done, result=replace(result, ended="interrupted"))
    with Store.open(storage) as store:
        study = store.study(result.study)
        offered = candidates(store, study)
        trained = [one for one in offered if one.retrained is not None]
        limits = Limits(options.search.max_parameters, options.search.max_macs, options.max_milliseconds)
        timed = None if limits.milliseconds is None else timer(store, storage, options.search.timing)
        choice = choose(trained, limits, timed)
        if timed is not None:  # whom the choice had no need to time is timed for the verdict
            trained = [replace(one, milliseconds=timed(one)) if limits.hold(one) else one for one in trained]
    files, more = write(choice.chosen, options.formats, options.output, storage)
    int8 = write_quantized(choice.chosen, options.output / "model-int8.onnx", storage) if options.int8 else None
    if int8 is not None:
        files = (*files, options.output / "model-int8.onnx")
        more = [int8.sentence(), *more]
    return Fitted(
        result.study, result.storage, seen, result, tuple(rans), tuple(trained), choice, files, (*remarks, *more), int8
    )


def training_options(search: SearchOptions) -> TrainingOptions:
    """How references are trained beside the search's networks: with the seeds of its retrainings."""
    return TrainingOptions(
        data_root=search.data_root,
        data_cache=search.data_cache,
        data_memory=search.data_memory,
        seeds=SEEDS,
        device=search.ray.device,
        storage=search.storage,
    )


def train_references(
    study: str,
    names: Sequence[str],
    training: TrainingOptions,
    ray: RayOptions,
    progress: Progress,
    *,
    named: bool = False,
) -> tuple[list[Ran], list[str]]:
    """Trains the references that have no result yet. Returns what came of them, and remarks on what was left out.

    Raises KeyboardInterrupt when the user stops it; the same call resumes from the last epochs.
    """
    from nas.replays.on_ray import run_on_ray

    row = study_of(training.storage, study)
    planned, missing = reference_plans(row, names, row.constraints, training, named=named, tell=progress.note)
    remarks = [f"no {caption_of(name)} is inside the limits" for name in missing]
    for reference, plan in planned:
        steps = plan.recipe.epochs * plan.recipe.steps_per_epoch(len(plan.dataset.train))
        progress.note(
            f"reference {reference.caption}: {plan.cost.parameters:,} parameters, {steps:,} steps with {training.seeds} seeds"
        )
    return list(run_on_ray([plan for _, plan in planned], training, ray, progress.of_trainings())), remarks


def write(chosen: Candidate, formats: Sequence[str], folder: Path, storage: str) -> tuple[tuple[Path, ...], list[str]]:
    """The chosen network with its weights in files of these formats, and remarks on those that cannot be written here."""
    network = find_network(chosen.word, storage=storage)
    trained = build(network, storage=storage)
    files: list[Path] = []
    remarks = []
    for name in formats:
        try:
            files += export(network, trained, name, folder / f"model{EXPORTERS.find(name).ending}").files
        except ExportError as problem:
            remarks.append(str(problem))
    return tuple(dict.fromkeys(files)), remarks


def write_quantized(chosen: Candidate, path: Path, storage: str) -> Quantized:
    """The chosen network in 8-bit integers, and what it is worth so, which the database keeps."""
    network = find_network(chosen.word, storage=storage)
    trained = build(network, storage=storage)
    _, found = export_int8(network, trained, path)
    keep(found, network, trained, storage)
    return found


def make_folder(folder: Path) -> Path:
    """The folder, made where it is not there. Raises NasError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise NasError(f"{folder}: cannot be written: {problem.strerror or problem}") from None
    return folder
