"""What exactly is to be trained, and in what it differs from what the paper, or the search, did."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost, cost
from nas.config.losses import same_loss
from nas.config.recipe import OPTIMIZERS, Augment, Recipe
from nas.config.recipe_presets import FINE_TUNING, fitted
from nas.config.task import LoadedTask
from nas.data import DATASETS, Dataset, Task, augmentation, fraction_of, load, source
from nas.data.task import Tell, Told, regrouped, silent
from nas.errors import DataError, Infeasible, RecipeError, StudyError
from nas.objectives import ACCURACY, BALANCED_ACCURACY, learned, metric_of
from nas.replays.options import TrainingOptions
from nas.space.published import Claim, PublishedConfig
from nas.space.space import Space
from nas.store import StudyRow, TrialRow
from nas.store.deviations import Deviation, Value
from nas.store.schema import dump

if TYPE_CHECKING:
    from nas.network.pretrained import Carried
    from nas.network.teacher import Teacher

LONGER: Final = 8
"""Times the steps of the search that a network is retrained for: what was good enough to compare is not yet to be used. A
ResNet-8 on 2,000 photos of ten classes: 64.4 % in 4,000 steps, 66.4 % in 8,000; on 1,000 of five: 82.2 and 83.5 % (one seed)."""
LONGER_FINE_TUNED: Final = 2
"""The same where networks start from trained weights: they have less to learn."""
HELD_OUT: Final = 0.1
"""Share of all training images that a retraining does not train on, or that of the search where it held out fewer."""


@dataclass(frozen=True)
class Plan:
    """One network to be trained in one way, with any number of seeds."""

    kind: Literal["replay", "retrain", "reference"]
    title: str
    """Name for people and for files."""
    architecture: Architecture
    cost: Cost
    dataset: Dataset
    recipe: Recipe
    """Its seed is that of the first training; the others count on from there."""
    fraction: float
    """Share of the training images."""
    deviations: tuple[Deviation, ...]
    pretrained: str | None = None
    published: str | None = None
    """Name of the published config, or of the reference."""
    study: str | None = None
    trial: int | None = None
    claims: tuple[Claim, ...] = ()
    """Claims of the paper, for its own data set `claimed_on`."""
    claimed_on: str = ""
    paper: str = ""
    """Whose network it is; empty for a member of a front."""
    precision: str | None = None
    """What the paper trains in; None for a member of a front."""
    teacher: Teacher | None = None
    """The network whose answers are learned too; the recipe has its fingerprint."""
    metric: str = ACCURACY.name
    """What seeds and networks are chosen by."""

    @property
    def on_claimed_data(self) -> bool:
        """Whether the claims can be held against what is measured: on their data set, or on a folder that may hold it."""
        task = self.dataset.task
        return task.dataset == self.claimed_on or bool(source(task).place)

    def deviations_in(self, precision: str) -> tuple[Deviation, ...]:
        """The deviations of a training that came to this precision: what `auto` comes to is known on its device."""
        theirs = self.precision
        if theirs is None or self.recipe.precision != "auto" or precision in ("auto", theirs):
            return self.deviations
        return (*self.deviations, Deviation("precision", precision, theirs))

    @property
    def carried(self) -> Carried | None:
        """What of the network begins with trained weights, where the recipe names some of its space."""
        if not self.recipe.pretrained:
            return None
        from nas.network.pretrained import carried, start_of

        start = start_of(self.recipe.pretrained)
        return carried(self.architecture, self.dataset.input, self.dataset.classes, start)

    @property
    def task(self) -> LoadedTask:
        """The task, with the fingerprint of the images that are trained on."""
        return self.dataset.loaded_task

    @property
    def key(self) -> str:
        """Equal for plans that do the same; seeds do not count."""
        recipe = self.recipe.to_dict()
        del recipe["seed"]
        parts = {
            "kind": self.kind,
            "name": [self.published, self.study, self.trial],
            "architecture": self.architecture.hash,
            "task": self.task.to_dict(),
            "recipe": recipe,
            "fraction": self.fraction,
            "pretrained": self.pretrained,
        }
        return hashlib.sha256(dump(parts).encode()).hexdigest()[:32]


class Shelf:
    """Data sets that several plans share: read once, and sent to a GPU once."""

    def __init__(self, tell: Tell = silent) -> None:
        """`tell` hears where images are kept."""
        self._tell = tell
        self._read: dict[tuple[Task, float], Dataset] = {}

    def take(self, task: Task, fraction: float = 1.0) -> Dataset:
        """This share of the task's training images, the same of every class, always the same ones."""
        if (task, fraction) not in self._read:
            whole = fraction == 1
            self._read[task, fraction] = (
                load(task, Told(self._tell)) if whole else fraction_of(self.take(task), fraction)
            )
        return self._read[task, fraction]


def obstacle(config: PublishedConfig) -> str | None:
    """Why a published config cannot be trained as it is shipped, in one line; None where it can."""
    if config.without_network is not None:
        return f"no network is built for these claims: {config.without_network}"
    if config.data not in DATASETS:
        return (
            f"the paper's data set '{config.data}' is none that can be downloaded; name a folder of its images by --data "
            "imagefolder:PATH (train/<class>/… and val/<class>/…)"
        )
    return None


def plan_replay(config: PublishedConfig, options: TrainingOptions, shelf: Shelf) -> Plan:
    """How a published network is trained again: by the paper's recipe on the paper's data, unless `options` say otherwise.

    Raises DataError, RecipeError or StudyError when it cannot be.
    """
    config.require_network()
    data = options.data or config.data
    why = obstacle(config) if options.data is None else None
    if why is not None:
        raise DataError(f"{config.name}: {why}")
    square = config.input[1] if config.input[1] == config.input[2] else None
    task = Task(
        data,
        options.data_root,
        options.validation or 0.0,
        0,
        options.image_size or square,
        cached=options.data_cache,
        memory=options.memory,
    )
    fraction = config.fraction if options.fraction is None else options.fraction
    whole, held = len(shelf.take(task).train), len(shelf.take(task).validation)
    dataset = shelf.take(task, fraction)
    space = Space.load(config.space)
    try:
        architecture = space.from_assignment(config.assignment, dataset.input, dataset.classes)
    except Infeasible as problem:
        size = "×".join(map(str, dataset.input))
        raise StudyError(f"{config.name}: cannot take images of {size} ({problem}); try --image-size") from None
    price = cost(architecture, dataset.input, dataset.classes)
    theirs_recipe = config.recipe.for_images(len(dataset.train))
    recipe = _changed(_replay_recipe(theirs_recipe, architecture, dataset, options), options, len(dataset.train))
    deviations = []
    if data != config.data:
        deviations.append(Deviation("data", data, config.data))
    if dataset.input != tuple(config.input):
        deviations.append(Deviation("images", dataset.input, tuple(config.input)))
    if dataset.classes != config.classes:
        deviations.append(Deviation("classes", dataset.classes, config.classes))
    if dataset.input != tuple(config.input) or dataset.classes != config.classes:
        theirs = cost(config.architecture(), config.input, config.classes)
        if theirs.parameters != price.parameters:
            deviations.append(Deviation("parameters", price.parameters, theirs.parameters))
    known = recipe.replace(precision=theirs_recipe.precision) if recipe.precision == "auto" else recipe
    deviations += recipe_differences(known, theirs_recipe)
    if held:
        deviations.append(Deviation("images held out", held, of=whole + held))
    if fraction != config.fraction:
        theirs_share = None if config.fraction == 1 else config.fraction
        deviations.append(Deviation("training images", len(dataset.train), theirs_share, of=whole))
    pretrained = config.pretrained if options.pretrained else None
    if pretrained and len(config.mean) == dataset.input[0]:
        dataset = replace(dataset, mean=config.mean, std=config.std)
    if pretrained != config.pretrained:
        deviations.append(Deviation("initial weights", "random", config.pretrained))
    return Plan(
        "replay",
        config.name,
        architecture,
        price,
        dataset,
        recipe,
        fraction,
        tuple(deviations),
        pretrained,
        published=config.name,
        claims=config.claims,
        claimed_on=config.data,
        paper=config.paper,
        precision=config.recipe.precision,
        metric=dataset.type.metrics[0].name,
    )


@dataclass(frozen=True)
class StudyData:
    """The images of a study, as its networks are retrained on them."""

    dataset: Dataset
    """Its validation part is a part of the search's, so that what the search trained on is trained on again; of all images where
    the search measured on all by cross-validation."""
    searched_on: int
    """Images that the search trained on."""


def study_data(study: StudyRow, options: TrainingOptions, tell: Tell = silent) -> StudyData:
    """The images of a study's data, with a part held out to choose among seeds, or a fraction of the others.

    `tell` hears where they are kept.

    Raises DataError when they are not the images that the study was made with.
    """
    task = study.task.unread(options.data_root, cached=options.data_cache, memory=options.memory)
    dataset = load(task, Told(tell))
    # What is chosen by is measured, and each class alike, which costs nothing.
    wanted = (*learned(study.objectives), *study.metrics, BALANCED_ACCURACY.name)
    dataset = replace(dataset, type=dataset.type.reporting(wanted))
    if dataset.fingerprint != study.task.fingerprint:
        raise DataError(
            f"study '{study.name}': {task.dataset} holds other images than those it was made with; "
            "name the right folder with --data-root"
        )
    measured_on = dataset.task.validation if task.folds == 1 else 1.0
    share = min(HELD_OUT, measured_on or 0.0) if options.validation is None else options.validation
    again = fraction_of(regrouped(dataset, share), 1.0 if options.fraction is None else options.fraction)
    return StudyData(again, dataset.trained_images)


def plan_retraining(
    study: StudyRow, trial: TrialRow, architecture: Architecture, data: StudyData, options: TrainingOptions
) -> Plan:
    """How a member of a front is trained again: by the study's recipe in `LONGER` times its steps, unless `options` say
    otherwise. `data` is what `study_data` gives.
    """
    return _of_study(
        study,
        data,
        options,
        kind="retrain",
        title=f"{study.name}-{trial.number}",
        architecture=architecture,
        published=trial.published,
        trial=trial.number,
    )


def plan_reference(
    study: StudyRow,
    name: str,
    architecture: Architecture,
    data: StudyData,
    options: TrainingOptions,
    pretrained: str = "",
) -> Plan:
    """How the reference network `name` is trained beside those of a study: as `plan_retraining` has it, from the weights
    `pretrained`, or from random ones.

    Where the networks of the study start otherwise, each has the recipe that is good for its own start: `finetune` or `modern`.
    """
    begun = study.recipe
    if bool(begun.pretrained) != bool(pretrained):
        own = FINE_TUNING if pretrained else source(study.task).recipe
        recipe = fitted(own, data.searched_on, augmentation(data.dataset))
        begun = recipe.replace(seed=begun.seed, sampling=begun.sampling, precision=begun.precision)
    return _of_study(
        replace(study, recipe=begun.replace(pretrained=pretrained)),
        data,
        options,
        kind="reference",
        title=f"{study.name}-{name}",
        architecture=architecture,
        published=name,
    )


def _of_study(
    study: StudyRow, data: StudyData, options: TrainingOptions, *, architecture: Architecture, **facts: Any
) -> Plan:
    """A training on the images of a study, by its recipe in `longer` times its steps unless `options` say otherwise."""
    dataset = as_trained(data.dataset, study.recipe)
    if study.recipe.loss:
        same_loss(study.recipe.loss)  # a fault is told before anything is trained
    metric = metric_of(study.objectives).name
    if metric not in dataset.type.reported():
        raise DataError(
            f"data '{dataset.task.dataset}': study '{study.name}' chooses by {metric}, and a training reports "
            f"{', '.join(dataset.type.reported())}; --blocks names the file in which it stands"
        )
    images = len(dataset.train)
    theirs = study.recipe
    searched = theirs.epochs * theirs.steps_per_epoch(data.searched_on)
    recipe = _retraining_recipe(theirs, searched, dataset, options)
    teacher = teacher_of(options, dataset)
    if teacher is not None:
        recipe = recipe.replace(teacher=teacher.text)
    steps = recipe.epochs * recipe.steps_per_epoch(images)
    deviations = [Deviation("steps", steps, searched)] if steps != searched else []
    deviations += recipe_differences(recipe, shortened(theirs, recipe.epochs))
    deviations = [replace(deviation, searched=True) for deviation in deviations]
    fraction = 1.0 if options.fraction is None else options.fraction
    if fraction < 1:
        deviations.append(Deviation("share of the images", fraction, of=images))
    return Plan(
        architecture=architecture,
        cost=cost(architecture, dataset.input, dataset.classes),
        dataset=dataset,
        recipe=recipe,
        fraction=fraction,
        deviations=tuple(deviations),
        study=study.name,
        teacher=teacher,
        metric=metric,
        **facts,
    )


def teacher_of(options: TrainingOptions, dataset: Dataset) -> Teacher | None:
    """The teacher that a user names, which fits these images. Raises a NasError where it does not, or is not trained."""
    if options.teacher is None:
        return None
    from nas.network.teacher import find_teacher

    shape = dataset.input, dataset.classes
    teacher = find_teacher(options.teacher, storage=options.storage, dataset_shape=shape)
    teacher.check(dataset.class_names, dataset.input)
    return teacher


def shortened(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe over another number of epochs: what its schedule says in epochs keeps its share of them."""
    if epochs == recipe.epochs:
        return recipe
    shares = (milestone if milestone < 1 else milestone / recipe.epochs for milestone in recipe.milestones)
    return recipe.replace(
        epochs=epochs,
        warmup_epochs=recipe.warmup_epochs * epochs / recipe.epochs,
        milestones=tuple(share for share in shares if share < 1),  # one at the end or later changes nothing
    )


def recipe_differences(ours: Recipe, theirs: Recipe) -> list[Deviation]:
    """What `ours` does otherwise; a schedule that keeps its shares over other epochs is no difference."""
    found = [] if ours.epochs == theirs.epochs else [Deviation("epochs", ours.epochs, theirs.epochs)]
    base = _flat(shortened(theirs, ours.epochs))
    steps = "step" in (ours.schedule, theirs.schedule)
    for name, value in _flat(ours).items():
        unused = name in ("milestones", "gamma") and not steps
        if name not in ("seed", "epochs") and not unused and value != base[name]:
            found.append(Deviation(name, value, base[name]))
    return found


def _replay_recipe(theirs: Recipe, architecture: Architecture, dataset: Dataset, options: TrainingOptions) -> Recipe:
    """The recipe that a user names, or the paper's, in which statistics of batch norm are measured before the test set is read."""
    if options.recipe is not None:
        return fitted(options.recipe, len(dataset.train), augmentation(dataset))
    from nas.train.averages import has_batch_norm  # PyTorch takes a second to import, and a list of networks needs none

    if theirs.norm_images or not has_batch_norm(architecture, dataset.input, dataset.classes):
        return theirs
    return theirs.replace(norm_images=Recipe().norm_images)


def _retraining_recipe(theirs: Recipe, searched: int, dataset: Dataset, options: TrainingOptions) -> Recipe:
    """The recipe that a user names, or the search's of `searched` steps over more of them."""
    images = len(dataset.train)
    if options.recipe is not None:
        recipe = fitted(options.recipe, images, augmentation(dataset)).replace(pretrained=theirs.pretrained)
    else:
        recipe = _stretched(theirs, longer(theirs) * searched, images)
    return _changed(recipe, options, images)


def longer(recipe: Recipe) -> int:
    """Times the steps of a search by this recipe that its networks are retrained for."""
    return LONGER_FINE_TUNED if recipe.pretrained else LONGER


def as_trained(dataset: Dataset, recipe: Recipe) -> Dataset:
    """The data set with its images normalized as the recipe's trained weights need them."""
    if not recipe.pretrained:
        return dataset
    from nas.network.pretrained import start_of

    return start_of(recipe.pretrained).seen(dataset)


def _changed(recipe: Recipe, options: TrainingOptions, images: int) -> Recipe:
    """The recipe for so many training images, with what a user wants otherwise."""
    OPTIMIZERS.find(recipe.optimizer)
    if options.batch_size is not None:
        recipe = recipe.replace(batch_size=options.batch_size)
    if options.precision is not None:
        recipe = recipe.replace(precision=options.precision)
    if options.epochs is not None:
        recipe = shortened(recipe, options.epochs)
    if options.steps is not None:
        recipe = _stretched(recipe, options.steps, images)
    if recipe.seed + options.seeds > 2**31:
        raise RecipeError(f"seed: must be below 2^31, not {recipe.seed}")
    return recipe


def _stretched(recipe: Recipe, steps: int, images: int) -> Recipe:
    """The recipe over so many steps, to the nearest epoch; its schedule keeps its shares."""
    return shortened(recipe, max(1, round(steps / recipe.steps_per_epoch(images))))


def _flat(recipe: Recipe) -> dict[str, Value]:
    """The fields of a recipe, those of its augmentation too, by name."""
    flat: dict[str, Value] = {}
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if isinstance(value, Augment):
            flat |= {f"{field.name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)}
        else:
            flat[field.name] = value
    return flat
