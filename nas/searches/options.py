"""What a search can be told, checked before anything starts.

`SearchOptions` is the one place where an option of a search stands, with its default and its help: `nas search` makes its
command-line options of the fields, and a test holds the signature of `nas.search` to them. Nothing heavy is imported here.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from nas.config.block_files import load_blocks
from nas.errors import SearchError, nearest
from nas.execution.options import AUTO, RayOptions
from nas.limits import MAX_VALIDATION
from nas.network.runtime import EAGER
from nas.objectives import ACCURACY, LATENCY, OBJECTIVES, before_training, learned
from nas.text.formatting import shorten

if TYPE_CHECKING:
    from nas.config.recipe import Recipe
    from nas.device.timing import Timing
    from nas.space.space import Space


ONE_IN = 6
"""Share of published networks with `auto`: one in so many trials at most, because a search is for what nobody has published."""

SEED_POINTS: dict[str, Callable[[int, int], int] | None] = {
    "auto": lambda firsts, trials: max(firsts, trials // ONE_IN, 1),
    "all": lambda firsts, trials: sys.maxsize,
    "none": None,
}
"""How many published networks of the space are the first trials at most, by those that every search starts with and the trials of
the study; None: nobody looks for them."""

WEIGHINGS = ("linear", "log", "mixed")
"""How budgets between the cheapest and the dearest network can be weighed."""
BUDGET_SCALES = ("auto", *WEIGHINGS)
"""The same as a user says it: `SearchOptions.weighing` says what auto is."""

DEFAULT_TRIALS = 32
UNTIL_TIME = 1_000_000
"""Trials of a search that the clock ends."""

RANDOM = "none"
"""The word for a start from random weights, where the space names trained ones."""


def _option(default: Any, help: str | Callable[[], str]) -> Any:
    return field(default=default, metadata={"help": help})


def help_of(option: Field[Any]) -> str:
    """The help of a field of `SearchOptions`, with the names that there are now."""
    text: str | Callable[[], str] = option.metadata["help"]
    return text if isinstance(text, str) else text()


def _data_sets() -> str:
    from nas.data.sources import dataset_names

    *names, last = dataset_names()
    return f"{', '.join(names)} or {last}."


def _metrics() -> str:
    return (
        f"What is learned, in the place of accuracy: {', '.join(learned(OBJECTIVES))}. Of several with commas between, the first; "
        "the others are measured too.  [default: accuracy]"
    )


def _losses() -> str:
    from nas.config.losses import LOSSES

    there = f": {', '.join(LOSSES)}" if LOSSES else ""
    return f"Loss of your own that networks are trained by, by its name{there}.  [default: that of the task]"


def _runtimes() -> str:
    from nas.device.runtimes import RUNTIMES

    return f"What runs networks when {LATENCY.name} is measured: {', '.join(RUNTIMES)}.  [default: {EAGER.name}]"


def _formats() -> str:
    from nas.export.formats import EXPORTERS

    return ", ".join(EXPORTERS)


def _other_samplers() -> str:
    from nas.searches.samplers import SAMPLERS

    return f"Also {', '.join(name for name in SAMPLERS if name != SearchOptions.sampler)}."


def _other_schedulers() -> str:
    from nas.searches.early_stopping import SCHEDULERS

    others = [name for name in SCHEDULERS if name != SearchOptions.scheduler]
    return f"Stops trials early that are not among the best so far: {', '.join(others)}."


def _trackers() -> str:
    from nas.searches.trackers import TRACKERS

    return (
        f"Tell each training's curve and end to {', '.join(TRACKERS)}; such as tensorboard:FOLDER or mlflow:URI, with commas "
        "between several."
    )


@dataclass(frozen=True)
class SearchOptions:
    """Everything that `nas search` and `nas.search` take."""

    space: str | Path | Space | Mapping[str, object] = field(
        metadata={"help": "Space file, or name of a shipped space."}
    )
    blocks: Sequence[str] = _option((), "Python file of blocks of your own; may be given several times.")
    pretrained: str | None = _option(
        None,
        "Trained weights of the network that the space names: torchvision:NAME, timm:NAME, pip:PACKAGE or file:PATH; none: random "
        "ones.  [default: those that the network's file names]",
    )
    data: str | object = _option("digits", _data_sets)
    data_root: str | None = _option(None, "Folder of downloaded data sets (also NAS_DATA).  [default: ~/.cache/nas]")
    data_cache: bool = _option(
        True,
        "Keep many image files decoded on disk, in the folder NAS_CACHE; `nas cache` lists it.  [folder: ~/.cache/nas]",
    )
    data_memory: float | None = _option(
        None, "Most bytes of memory for images, such as 4G; more are read in blocks.  [default: half of the machine's]"
    )
    image_size: int | None = _option(None, "Make squares of images, with sides of so many pixels.")
    skip_bad: bool = _option(False, "Leave out images that cannot be read, and say how many they are.")
    validation: float | None = _option(
        None, "Share of training images to measure on.  [default: 1,000 images, from a tenth to a quarter]"
    )
    folds: int = _option(1, "Cross-validation in so many parts: as many trainings a trial.")
    trials: int = _option(DEFAULT_TRIALS, "Finished trials of the study in all.")
    time: str | float | None = _option(
        None, "Stop after this long, such as 30m or 1h30m; the sampler pareto then prefers networks that train fast."
    )
    retrain: int = _option(
        0,
        "At the end, after the time limit too, train the K most promising networks again for long enough to be used, with 2 "
        "seeds and 8 times the steps, and name the final network.",
    )
    teacher: str | Path | None = _option(  # noqa: RUF009  Path is immutable
        None,
        "Trained network whose answers those that are retrained learn too, of the same classes and size of images: a trial or "
        "reference such as STUDY:23, a published network that was trained on these images, or a .safetensors file.",
    )
    steps: int | None = _option(None, "Steps of the optimizer in a trial.  [default: the recipe's]")
    epochs: int | None = _option(None, "The same in epochs.")
    objectives: Sequence[str] = _option(("accuracy", "parameters"), f"Of {', '.join(OBJECTIVES)}.")
    metric: str | Callable[..., Any] | None = _option(None, _metrics)  # noqa: RUF009  it is a frozen field
    loss: str | Callable[..., Any] | None = _option(None, _losses)  # noqa: RUF009  it is a frozen field
    probe_device: str | None = _option(
        None, f"Where {LATENCY.name} and the like are measured: cpu or cuda.  [default: cuda, if any]"
    )
    latency_runtime: str | None = _option(None, _runtimes)
    latency_command: str | None = _option(
        None,
        "Command of yours that measures latency: takes the file of a network, {file}, and prints milliseconds. No shell reads it.",
    )
    latency_format: str = _option("onnx", lambda: f"Of the file that the command takes: {_formats()}.")
    latency_timeout: str | float = _option("5m", "Longest that the command may take for one network.")
    latency_model: bool = _option(
        False,
        "Learn from each measurement what the others will be, and leave out unmeasured what would surely break a limit, such as "
        "--limits latency=5.",
    )
    max_parameters: float | None = _option(None, "Most parameters, such as 500k or 2M.")
    max_macs: float | None = _option(None, "Most multiply-accumulates for one image.")
    limits: Mapping[str, float] | None = _option(
        None, f"Most of whatever is known before a training, such as activation_bytes=2M,{LATENCY.name}=5."
    )
    features: Sequence[str] = _option(
        (), "What is measured of every candidate for the sampler pareto, such as a zero-cost proxy of your own."
    )
    sampler: str = _option("pareto", _other_samplers)
    budget_scale: str = _option(
        "auto",
        "How the sampler pareto weighs budgets: linear, log, or mixed, half and half; auto: linear up to a limit of yours on a "
        "cost that is an objective, mixed without one.",
    )
    prior: Sequence[str] = _option(
        (),
        "Earlier study over the same space, such as on other images, or the .csv that `nas study export` has written of one: the "
        "sampler pareto learns of it; may stand several times. none: of nothing.  [default: what is shipped with the space, for "
        "colour images of at most 64 pixels]",
    )
    seed: int = _option(0, "Of the sampler, of the split of the data, and of the trainings.")
    study: str | None = _option(None, "Name of the study.  [default: SPACE-DATA]")
    storage: str | None = _option(None, "Study database (also NAS_STORAGE).  [default: sqlite:///nas.db]")
    cpus_per_trial: float = _option(1, "CPU cores of a trial, and its threads.")
    gpus_per_trial: float | str | None = _option(
        None,
        "At most 1; auto: as many trials share a GPU as have room there.  [default: 1 where there are GPUs]",
    )
    device: str = _option(
        AUTO,
        "What trials train on. auto: CUDA where there is a GPU, else CPUs, never Apple's GPU (MPS); cuda waits for a GPU of a "
        "cluster, and takes no CPU instead.",
    )
    max_concurrent: int | None = _option(None, "Most trials at once.  [default: as many as fit]")
    ray_address: str | None = _option(None, "Join a Ray cluster, such as auto or host:6379.")
    recipe: str | Path | Recipe | None = _option(  # noqa: RUF009  it is a frozen field
        None,
        "How networks are trained: fast (300 steps), modern (1,000 and more), paper-like (160 epochs), finetune (from trained "
        "weights), or a YAML file.  [default: modern; digits: fast; from trained weights: finetune]",
    )
    seed_points: str | bool = _option(
        "auto",
        "Published networks that are trained first; auto: Kong's and, up to a sixth of the trials, what papers propose.",
    )
    cache: bool = _option(True, "Take over results of the same network.")
    scheduler: str = _option("none", _other_schedulers)
    min_epochs: int | None = _option(None, "First epoch at which a trial may stop.  [default: a quarter of them]")
    reduction_factor: float = _option(3.0, "N: the top 1/N of the trials continue at each rung.")
    checkpoints: str | Path | None = _option(  # noqa: RUF009  Path is immutable
        None,
        "Folder of checkpoints, from which interrupted trials go on; on a cluster one that all machines share.  "
        "[default: beside an SQLite database]",
    )
    trial_timeout: str | float | None = _option(None, "End a trial that takes longer, such as 10m.")
    track: Sequence[str] = _option((), _trackers)

    def __post_init__(self) -> None:
        """Raises SearchError for a value that cannot be."""
        from nas.searches.early_stopping import SCHEDULERS
        from nas.searches.trackers import check_trackers

        _check_types(self)
        for name in ("trials", "epochs", "steps", "min_epochs", "folds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SearchError(f"{name}: must be at least 1, not {value}")
        if self.retrain < 0:
            raise SearchError(f"retrain: must be at least 0, not {self.retrain}")
        if self.teacher is not None and not self.retrain:
            raise SearchError("teacher: teaches networks that are retrained; say how many with --retrain")
        for name in ("max_parameters", "max_macs", "data_memory"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SearchError(f"{name}: must be a number above 0, not {value}")
        if self.folds > 1 and self.validation is not None:
            raise SearchError(
                "folds and validation share: one or the other; with folds every training image is measured once"
            )
        if self.epochs is not None and self.steps is not None:
            raise SearchError("epochs and steps: one or the other")
        if self.validation is not None and not 0 < self.validation <= MAX_VALIDATION:
            raise SearchError(f"validation share: must be above 0 and at most {MAX_VALIDATION}, not {self.validation}")
        if isinstance(self.seed_points, bool):
            object.__setattr__(self, "seed_points", "auto" if self.seed_points else "none")
        if self.seed_points not in SEED_POINTS:
            known = ", ".join(SEED_POINTS)
            hint = nearest(self.seed_points, SEED_POINTS)
            raise SearchError(f"seed_points: must be one of {known}, not '{self.seed_points}'{hint}")
        SCHEDULERS.find(self.scheduler)
        check_trackers(self.track)
        if not self.reduction_factor > 1:
            raise SearchError(f"reduction_factor: must be above 1, not {self.reduction_factor:g}")
        load_blocks(*self.blocks)  # metrics, losses and objectives may stand in them
        self._take_functions()
        self._take_metric()
        if not self.objectives:
            raise SearchError(f"objectives: name at least one of {', '.join(OBJECTIVES)}")
        broken = self._know_objectives()
        for objective in self.objectives:
            if objective not in OBJECTIVES:
                raise SearchError(
                    f"no objective '{objective}'; known: {', '.join(OBJECTIVES)}{nearest(objective, OBJECTIVES)}{broken}"
                )
        if len(set(self.objectives)) < len(self.objectives):
            raise SearchError(f"objectives: each may stand once, not {', '.join(self.objectives)}")
        if not learned(self.objectives):
            raise SearchError("objectives: accuracy must be one of them; costs alone need no training")
        for name, value in (self.limits or {}).items():
            if name not in before_training():
                raise SearchError(
                    f"limits: nothing is known of '{name}' before a training; known: {', '.join(before_training())}"
                    f"{nearest(name, before_training())}"
                )
            if not 0 < value < math.inf:
                raise SearchError(f"limits: {name} must be a number above 0, not {value}")
        for name in self.features:
            if name not in OBJECTIVES or OBJECTIVES[name].known != "measured":
                there = [name for name, row in OBJECTIVES.items() if row.known == "measured"]
                raise SearchError(f"features: must be of {', '.join(there)}, not '{name}'{nearest(name, there)}")
        if self.budget_scale not in BUDGET_SCALES:
            raise SearchError(
                f"budget_scale: must be one of {', '.join(BUDGET_SCALES)}, not '{self.budget_scale}'"
                f"{nearest(self.budget_scale, BUDGET_SCALES)}"
            )
        parse_duration(self.time)
        parse_duration(self.trial_timeout, "trial_timeout")
        _ = self.ray, self.timing

    @property
    def timing(self) -> Timing:
        """How latency is measured. Raises NasError for a value that cannot be, and for a package that is missing."""
        return timing_of(
            self.probe_device, self.latency_runtime, self.latency_command, self.latency_format, self.latency_timeout
        )

    def weighing(self, objectives: Sequence[str]) -> str:
        """How budgets are weighed in a search for these objectives: whoever names a limit wants networks of all sizes up to it.

        Without one the dearest network is whatever the space has room for, a thousand times the cheapest and more.
        """
        if self.budget_scale != "auto":
            return self.budget_scale
        named = {"parameters": self.max_parameters, "macs": self.max_macs, **(self.limits or {})}
        return "linear" if any(named.get(name) is not None for name in objectives) else "mixed"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all that is to be measured after an epoch, beside what always is."""
        return tuple(name.strip() for name in str(self.metric or "").split(",") if name.strip())

    def _know_objectives(self) -> str:
        """Imports the probes of packages where one is named that is not known; see `nas.network.probes.know`."""
        named = (*self.objectives, *(self.limits or {}), *self.features)
        if all(name in OBJECTIVES for name in named):
            return ""
        from nas.network.probes import know

        return know(named)

    def _take_functions(self) -> None:
        """Puts names in the place of functions that were handed over. Blocks are loaded by then. Raises a NasError."""
        if self.metric is not None and not isinstance(self.metric, str):
            from nas.data.metrics import metric_name

            object.__setattr__(self, "metric", metric_name(self.metric))
        if self.loss is not None:
            from nas.config.losses import name_of

            object.__setattr__(self, "loss", name_of(self.loss))

    def _take_metric(self) -> None:
        """Puts the metric among the objectives in the place of accuracy. Raises SearchError for one that there is none of."""
        from nas.data.metrics import METRICS

        known = tuple(dict.fromkeys((*learned(OBJECTIVES), *METRICS)))
        for name in self.metrics:
            if name not in known:
                raise SearchError(f"metric: must be one of {', '.join(known)}, not '{name}'{nearest(name, known)}")
        if not self.metrics or self.metrics[0] in self.objectives:
            return
        if ACCURACY.name not in self.objectives:
            raise SearchError(
                f"metric: takes the place of accuracy, and objectives are {', '.join(self.objectives)}; name it among them"
            )
        objectives = tuple(self.metrics[0] if name == ACCURACY.name else name for name in self.objectives)
        object.__setattr__(self, "objectives", objectives)

    @property
    def ray(self) -> RayOptions:
        """Those of Ray. Raises SearchError for a value that cannot be."""
        return RayOptions(self.ray_address, self.cpus_per_trial, self.gpus_per_trial, self.max_concurrent, self.device)


def timing_of(
    probe_device: str | None,
    latency_runtime: str | None,
    latency_command: str | None,
    latency_format: str,
    latency_timeout: str | float,
) -> Timing:
    """How latency is measured, as these options say it. Raises NasError."""
    from nas.device.command import Command
    from nas.device.timing import Timing

    seconds = parse_duration(latency_timeout, "latency_timeout")
    assert seconds is not None
    command = None if latency_command is None else Command(latency_command, latency_format, seconds)
    return Timing(probe_device, latency_runtime, command)


def check_names(options: Mapping[str, object], known: Sequence[str] = ()) -> None:
    """Raises SearchError for an option that is none of those `known` (those of a search), with the nearest one."""
    known = known or [field.name for field in fields(SearchOptions)]
    for name in options:
        if name not in known:
            raise SearchError(f"no option '{name}'{nearest(name, known) or '; there are ' + ', '.join(known)}")


def _check_types(options: SearchOptions) -> None:
    """Raises SearchError for a value of another type: Python's own word for it would come much later."""
    from nas.config.recipe import Recipe
    from nas.space.space import Space

    hints = get_type_hints(SearchOptions, localns={"Recipe": Recipe, "Space": Space})
    for option in fields(options):
        value = getattr(options, option.name)
        if not _fits(value, hints[option.name]):
            raise SearchError(f"{option.name}: must be {_described(hints[option.name])}, not {shorten(value)}")


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if get_origin(hint) is Sequence:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if get_origin(hint) is Callable:
        return callable(value)
    if get_origin(hint) is Mapping:
        return isinstance(value, Mapping) and all(
            isinstance(name, str) and _fits(item, get_args(hint)[1]) for name, item in value.items()
        )
    if hint in (int, float):  # of numpy too; True is no number
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return isinstance(value, hint)


def _described(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_described(option) for option in get_args(hint) if option is not type(None))
    if hint == Mapping[str, object]:
        return "a dict"
    names = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", Path: "a path"}
    kinds = {Sequence: "a list of texts", Mapping: "numbers by name", Callable: "a function"}
    return names.get(hint) or kinds.get(get_origin(hint)) or f"a {hint.__name__}"


def parse_duration(value: str | float | None, name: str = "time") -> float | None:
    """Seconds of ``90``, ``90s``, ``30m``, ``2h`` or ``1h30m``, given for the option `name`. Raises SearchError."""
    if value is None:
        return None
    if isinstance(value, int | float):
        seconds = float(value)
    else:
        match = re.fullmatch(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s?)?", value.strip())
        if not match or not any(match.groups()):
            raise SearchError(f"{name}: must be like 90s, 30m or 1h30m, not '{value}'")
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    if not 0 < seconds < math.inf:
        raise SearchError(f"{name}: must be more than nothing and not endless, not '{value}'")
    return seconds
