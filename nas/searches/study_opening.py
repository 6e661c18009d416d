"""The study of a search: a new one, or one that was begun and searches the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from nas.config.block_files import check_blocks, origins
from nas.config.own_functions import check_functions, noted, origins_of
from nas.config.recipe import ADDED_LATER, Recipe
from nas.config.task import FOUND, LoadedTask
from nas.data import Dataset, Task, source
from nas.data.metrics import KIND as METRIC
from nas.data.objects import KIND as MEMORY
from nas.errors import SearchError, StudyExists
from nas.searches.options import SearchOptions
from nas.space.outline import Outlines
from nas.space.space import Space

if TYPE_CHECKING:
    from nas.store import Store, StudyRow


def default_name(store: Store, space: Space, task: Task) -> str:
    """The name of a study that the user does not name: the space, and the data set or the folder."""
    kind, _, place = task.dataset.partition(":")
    before = f"{space.name}-{kind}"
    # As it was before folders had their own: such a study on the same data goes on.
    if not place or (store.has_study(before) and store.study(before).task.dataset == task.dataset):
        return before
    return f"{space.name}-{source(task).short_name(task)}"


def decoded_alike(store: Store, name: str, task: Task) -> Task:
    """The task, its images decoded as those of the study are, where it was begun by a version that decoded otherwise."""
    if not task.reduced or not store.has_study(name):
        return task
    return replace(task, reduced=store.study(name).task.reduced)


def open_study(
    store: Store, name: str, space: Space, dataset: Dataset, recipe: Recipe, options: SearchOptions
) -> StudyRow:
    """The study of that name, which must search the same; a new one when there is none."""
    task = replace(dataset.loaded_task, validation_images=len(dataset.measured_labels))
    metrics = origins_of(noted(METRIC, dataset.type.further))
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
                blocks={**origins(space.blocks), **metrics},
                outline=Outlines(space).parameters,
            )
    study = store.study(name)
    check_blocks(name, study.blocks)
    check_functions(name, study.blocks, metrics)
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
    of_none = {"pretrained": "of random weights", "loss": "of the task"}
    begun, now = ({**ADDED_LATER, **one.to_dict()} for one in (study.recipe, recipe))
    differences += [
        f"{key} {begun[key] or of_none[key]}, not {value or of_none[key]}"
        if key in of_none
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
