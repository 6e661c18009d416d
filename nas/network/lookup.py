"""Which network a user means: a trial of a study, a published config, or an architecture in a file.

::

    23                     trial 23 of --study, which may be left out where the database holds only one
    attn_cnn-digits:23     trial 23 of that study
    best                   the most accurate trial of the study, or the final network where it was retrained;
                           attn_cnn-digits:best likewise
    attn_cnn-digits:resnet8  a reference that was trained beside that study (`nas compare`)
    09518401               the trial whose hash begins so (8 digits or more, as tables show them)
    kong_aim_cam           the published config of that name, or a config file
    network.json           an architecture, as `nas export --format state-dict` and the database hold it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost, cost
from nas.config.block_files import check_blocks
from nas.config.shipped_files import every
from nas.config.task import LoadedTask
from nas.errors import AssignmentError, Infeasible, NasError, StorageError, StudyError, nearest
from nas.limits import MAX_CLASSES, MAX_EXTENT
from nas.network.model_selection import final, of_study, references_of_study
from nas.objectives import metric_of
from nas.pareto import pareto
from nas.space.published import PublishedConfig
from nas.space.space import Space
from nas.store import DEFAULT_URL, Store, StudyRow
from nas.store.connection import parse
from nas.text.formatting import shorten
from nas.text.sanitize import expanded, file_stem, read_json

_HASH = re.compile(r"[0-9a-f]{8,32}")
_NUMBER = re.compile(r"[0-9]{1,18}")  # databases hold none with more
_DEFAULT_CLASSES = 10
BEST: Final = "best"


@dataclass(frozen=True)
class Network:
    """One network for one image shape, and where it came from."""

    title: str
    """Name for people: ``trial 23 of attn_cnn-digits``, ``kong_aim_cam``."""
    architecture: Architecture
    input: Shape
    classes: int
    cost: Cost
    study: str | None = None
    trial: int | None = None
    published: str | None = None
    """Name of the published config that it is."""
    metric: str = "accuracy"
    """What its study chooses by."""
    searched: float | None = None
    """Its value on validation images, after the training of the search."""
    task: LoadedTask | None = None
    """Task of the study; None for other networks."""
    assignment: Mapping[str, Scalar] | None = None

    @property
    def stem(self) -> str:
        """Stem for names of files: ``attn_cnn-digits-23``, ``kong_aim_cam``."""
        number = self.published if self.trial is None else self.trial
        name = self.title if self.study is None else f"{self.study}-{number}"
        return file_stem(name)

    def database(self, storage: str | None) -> str | None:
        """URL of the database that may know more of this network; None where no file is and none was named."""
        if self.study is None and storage is None and not Path(parse(DEFAULT_URL).database or "").is_file():
            return None
        return storage or DEFAULT_URL


def find_network(
    word: str,
    *,
    study: str | None = None,
    storage: str | None = None,
    input: Shape | None = None,
    classes: int | None = None,
) -> Network:
    """The network that `word` means (see the head of this file), for images of `input` instead of its own.

    Raises a NasError with the nearest name when there is none, or its shapes do not fit `input`.
    """
    owner, colon, number = word.rpartition(":")
    if colon and (_NUMBER.fullmatch(number) or number == BEST):
        return _of_store(number, owner, storage, input, classes)
    if colon and (network := _of_reference(number, owner, storage, input, classes)) is not None:
        return network
    if word == BEST or (_NUMBER.fullmatch(word) and len(word) < 8):
        return _of_store(word, study, storage, input, classes)
    path = expanded(word)
    if path.suffix == ".json" and path.is_file():
        return _of_json(path, input, classes)
    shipped = [file.stem for file in every("studies")]
    if path.is_file() or path.name.removesuffix(".yaml") in shipped:
        return _of_config(PublishedConfig.load(word), input, classes)
    if _HASH.fullmatch(word):
        return _of_hash(word, study, storage, input, classes)
    raise StudyError(
        f"'{word}' is neither the number or hash of a trial, nor '{BEST}', nor a published config (`nas replay --list`), "
        f"nor a file of one{nearest(word, shipped)}"
    )


def of_assignment(space: Space, assignment: Mapping[str, Scalar], input: Shape | None, classes: int | None) -> Network:
    """The network of an assignment of a space. Raises a NasError when there is none."""
    shape, count = input or space.input, classes or _DEFAULT_CLASSES
    try:
        architecture = space.from_assignment(assignment, shape, count)
    except Infeasible as problem:
        raise _unfit(space.name, shape, problem) from None
    title = f"{space.name}-{architecture.hash[:8]}"
    return _network(title, architecture, shape, count, assignment=assignment)


def study_name(store: Store, name: str | None) -> str:
    """`name`, or that of the only study. Raises StorageError that lists the studies."""
    if name is not None:
        return store.study(name).name
    names = [study["study"] for study in store.studies()]
    if len(names) != 1:
        raise StorageError(f"{store.shown_url}: name a study; there are: {', '.join(names) or 'none'}")
    return str(names[0])


def _of_store(word: str, study: str | None, storage: str | None, input: Shape | None, classes: int | None) -> Network:
    with Store.open(storage or DEFAULT_URL) as store:
        row = store.study(study_name(store, study))
        check_blocks(row.name, row.blocks)
        number = _best(store, row) if word == BEST else int(word)
        trial = store.trial(row.name, number)
        architecture = store.architecture(trial.hash)
    return _network(
        f"trial {number} of {row.name}",
        architecture,
        input or _task_input(row),
        classes or _task_classes(row),
        study=row.name,
        trial=number,
        published=trial.published,
        metric=metric_of(row.objectives).name,
        searched=trial.values.get(metric_of(row.objectives).name),
        task=row.task,
        assignment=trial.assignment,
    )


def _of_reference(
    name: str, study: str, storage: str | None, input: Shape | None, classes: int | None
) -> Network | None:
    """The reference of that name that was trained beside a study; None where there is no such study or reference."""
    if storage is None and not Path(parse(DEFAULT_URL).database or "").is_file():
        return None
    with Store.open(storage or DEFAULT_URL) as store:
        if not store.has_study(study):
            return None
        row = store.study(study)
        found = references_of_study(store.measurements(), study)
        if name not in found:
            return None
        architecture = store.architecture(found[name].hash)
    return _network(
        f"{name} of {study}",
        architecture,
        input or _task_input(row),
        classes or _task_classes(row),
        study=study,
        published=name,
        task=row.task,
    )


def _best(store: Store, row: StudyRow) -> int:
    """The final network of a study whose best trial was retrained, else that trial."""
    front = pareto(store.trials(row.name), row.objectives)
    if front.empty:
        raise StorageError(f"study '{row.name}' has no complete trial yet")
    metric = metric_of(row.objectives)
    most = front.loc[(metric.sign * front[metric.name]).idxmax()]
    retrained = of_study(store.measurements(), row.name)
    chosen = final(retrained) if most["hash"] in {one.hash for one in retrained} else None
    return int(most["trial"]) if chosen is None or chosen.trial is None else chosen.trial


def _of_hash(word: str, study: str | None, storage: str | None, input: Shape | None, classes: int | None) -> Network:
    with Store.open(storage or DEFAULT_URL) as store:
        found = [(name, number) for name, number in store.trials_of(word) if study in (None, name)]
        if not found:
            raise StorageError(f"storage '{store.shown_url}': no trial whose hash begins with '{word}'")
        hashes = {store.trial(name, number).hash for name, number in found}
        if len(hashes) > 1:
            raise StorageError(
                f"storage '{store.shown_url}': '{word}' begins the hashes of {len(hashes)} networks; give more digits"
            )
    name, number = found[0]
    return _of_store(str(number), name, storage, input, classes)


def _of_config(config: PublishedConfig, input: Shape | None, classes: int | None) -> Network:
    config.require_network()
    shape, count = input or config.input, classes or config.classes
    try:
        architecture = Space.load(config.space).from_assignment(config.assignment, shape, count)
    except Infeasible as problem:
        raise _unfit(config.name, shape, problem) from None
    return _network(
        config.name,
        architecture,
        shape,
        count,
        published=config.name,
        assignment=config.assignment,
    )


def _of_json(path: Path, input: Shape | None, classes: int | None) -> Network:
    import json

    try:
        text = path.read_text(encoding="utf-8")
        data = read_json(text)
    except (OSError, ValueError) as problem:
        raise StudyError(f"{path}: cannot be read as JSON: {problem}") from None
    own: dict[str, Any] = data if isinstance(data, dict) else {}
    # Beside `nodes` and `output` an exported file says which images the network is for.
    if isinstance(own.get("architecture"), dict):
        text = json.dumps(own["architecture"])
    shape = input or (tuple(own["input"]) if _is_shape(own.get("input")) else None)
    if shape is None:
        raise StudyError(f"{path}: an architecture knows no image size; give it with --input, such as 3,32,32")
    count = classes or own.get("classes", _DEFAULT_CLASSES)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_CLASSES:
        raise StudyError(f"{path}: classes must be a whole number up to {MAX_CLASSES:,}, not {shorten(count)}")
    try:
        architecture = Architecture.from_json(text)
    except AssignmentError as problem:
        raise StudyError(f"{path}: {problem}") from None
    return _network(path.stem, architecture, shape, count)


def _network(title: str, architecture: Architecture, input: Shape, classes: int, **rest: Any) -> Network:
    try:
        price = cost(architecture, input, classes)
    except Infeasible as problem:
        raise _unfit(title, input, problem) from None
    return Network(title, architecture, input, classes, price, **rest)


def _unfit(title: str, input: Shape, problem: Infeasible) -> NasError:
    return StudyError(f"{title}: cannot take images of {'×'.join(map(str, input))}: {problem}")


def _task_input(row: StudyRow) -> Shape:
    if row.task.input is None:
        raise StorageError(f"study '{row.name}': its task does not say the shape of an image; give it with --input")
    return row.task.input


def _task_classes(row: StudyRow) -> int:
    if row.task.classes is None:
        raise StorageError(f"study '{row.name}': its task does not say how many classes there are; give --classes")
    return row.task.classes


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= MAX_EXTENT for n in value)
    )
