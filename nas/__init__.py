"""Neural architecture search over convolution-attention image classifiers.

::

    import nas

    result = nas.search("attn_cnn", data="digits", trials=32)
    print(result.front)

    study = nas.load_study("attn_cnn-digits")
    model = study.model(study.pareto()["trial"].iloc[-1])

    fitted = nas.fit("photos", max_parameters=100_000)
    print(fitted.verdict[0], fitted.files)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from nas.version import __version__ as __version__

if TYPE_CHECKING:
    from blocks.base import ShapeError as ShapeError
    from blocks.base import block as block
    from blocks.hyperparameter import OneOf as OneOf
    from blocks.hyperparameter import Range as Range
    from blocks.hyperparameter import Width as Width
    from nas.api import LoadedStudy as LoadedStudy
    from nas.architecture.architecture import Architecture as Architecture
    from nas.architecture.compile import compile_model as compile_model
    from nas.config.block_files import load_blocks as load_blocks
    from nas.config.losses import register_loss as register_loss
    from nas.config.recipe import Augment as Augment
    from nas.config.recipe import Recipe as Recipe
    from nas.config.recipe import register_optimizer as register_optimizer
    from nas.config.recipe_presets import register_recipe as register_recipe
    from nas.config.task import Task as Task
    from nas.data.metrics import register_metric as register_metric
    from nas.data.multi_label import MultiLabel as MultiLabel
    from nas.data.sources import register_dataset as register_dataset
    from nas.data.task_type import TaskType as TaskType
    from nas.data.task_type import register_task_type as register_task_type
    from nas.errors import BlockError as BlockError
    from nas.errors import DataError as DataError
    from nas.errors import ExportError as ExportError
    from nas.errors import NasError as NasError
    from nas.errors import RecipeError as RecipeError
    from nas.errors import SearchError as SearchError
    from nas.errors import SpaceError as SpaceError
    from nas.errors import StorageError as StorageError
    from nas.export.formats import register_exporter as register_exporter
    from nas.export.writing import Exported as Exported
    from nas.fits.choice import Candidate as Candidate
    from nas.fits.choice import Choice as Choice
    from nas.network.probe import Probe as Probe
    from nas.network.probe import Spread as Spread
    from nas.network.probes import register_probe as register_probe
    from nas.objectives import Objective as Objective
    from nas.objectives import register_objective as register_objective
    from nas.report.fit_result import FitResult as FitResult
    from nas.sampler import ParetoSampler as ParetoSampler
    from nas.searches.early_stopping import EarlyStopping as EarlyStopping
    from nas.searches.early_stopping import Place as Place
    from nas.searches.early_stopping import StoppingOptions as StoppingOptions
    from nas.searches.early_stopping import register_scheduler as register_scheduler
    from nas.searches.progress import Progress as Progress
    from nas.searches.samplers import Problem as Problem
    from nas.searches.samplers import register_sampler as register_sampler
    from nas.searches.search import SearchResult as SearchResult
    from nas.searches.trackers import Tracker as Tracker
    from nas.searches.trackers import register_tracker as register_tracker
    from nas.space.space import Space as Space

_HOMES = {
    "Architecture": "nas.architecture.architecture",
    "Augment": "nas.config.recipe",
    "BlockError": "nas.errors",
    "Candidate": "nas.fits.choice",
    "Choice": "nas.fits.choice",
    "DataError": "nas.errors",
    "EarlyStopping": "nas.searches.early_stopping",
    "ExportError": "nas.errors",
    "Exported": "nas.export.writing",
    "FitResult": "nas.report.fit_result",
    "LoadedStudy": "nas.api",
    "MultiLabel": "nas.data.multi_label",
    "NasError": "nas.errors",
    "OneOf": "blocks.hyperparameter",
    "Objective": "nas.objectives",
    "ParetoSampler": "nas.sampler",
    "Place": "nas.searches.early_stopping",
    "Problem": "nas.searches.samplers",
    "Probe": "nas.network.probe",
    "Progress": "nas.searches.progress",
    "Range": "blocks.hyperparameter",
    "Recipe": "nas.config.recipe",
    "RecipeError": "nas.errors",
    "SearchError": "nas.errors",
    "SearchResult": "nas.searches.search",
    "ShapeError": "blocks.base",
    "Space": "nas.space.space",
    "SpaceError": "nas.errors",
    "StoppingOptions": "nas.searches.early_stopping",
    "Spread": "nas.network.probe",
    "StorageError": "nas.errors",
    "Task": "nas.config.task",
    "TaskType": "nas.data.task_type",
    "Tracker": "nas.searches.trackers",
    "Width": "blocks.hyperparameter",
    "block": "blocks.base",
    "load_blocks": "nas.config.block_files",
    "register_dataset": "nas.data.sources",
    "register_exporter": "nas.export.formats",
    "register_loss": "nas.config.losses",
    "register_optimizer": "nas.config.recipe",
    "register_sampler": "nas.searches.samplers",
    "register_scheduler": "nas.searches.early_stopping",
    "compile_model": "nas.architecture.compile",
    "register_metric": "nas.data.metrics",
    "register_objective": "nas.objectives",
    "register_probe": "nas.network.probes",
    "register_recipe": "nas.config.recipe_presets",
    "register_task_type": "nas.data.task_type",
    "register_tracker": "nas.searches.trackers",
}
"""What is imported when it is first asked for: `import nas` itself takes no time."""
__all__ = ["fit", "load_study", "search", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nas' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def search(
    space: str | Path | Space | Mapping[str, object],
    *,
    blocks: Sequence[str] = (),
    pretrained: str | None = None,
    data: str | object = "digits",
    data_root: str | None = None,
    data_cache: bool = True,
    data_memory: float | None = None,
    image_size: int | None = None,
    skip_bad: bool = False,
    validation: float | None = None,
    folds: int = 1,
    trials: int = 32,
    time: str | float | None = None,
    retrain: int = 0,
    teacher: str | Path | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    objectives: Sequence[str] = ("accuracy", "parameters"),
    metric: str | Callable[..., Any] | None = None,
    loss: str | Callable[..., Any] | None = None,
    probe_device: str | None = None,
    latency_runtime: str | None = None,
    latency_command: str | None = None,
    latency_format: str = "onnx",
    latency_timeout: str | float = "5m",
    latency_model: bool = False,
    max_parameters: float | None = None,
    max_macs: float | None = None,
    limits: Mapping[str, float] | None = None,
    features: Sequence[str] = (),
    sampler: str = "pareto",
    budget_scale: str = "auto",
    prior: Sequence[str] = (),
    seed: int = 0,
    study: str | None = None,
    storage: str | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float | str | None = None,
    device: str = "auto",
    max_concurrent: int | None = None,
    ray_address: str | None = None,
    recipe: str | Path | Recipe | None = None,
    seed_points: str | bool = "auto",
    cache: bool = True,
    scheduler: str = "none",
    min_epochs: int | None = None,
    reduction_factor: float = 3.0,
    checkpoints: str | Path | None = None,
    trial_timeout: str | float | None = None,
    track: Sequence[str] = (),
    progress: Progress | None = None,
    **unknown: Never,
) -> SearchResult:
    """Searches `space` for networks on the Pareto front of the objectives, and returns what was found.

    `space`: a file, the name of a shipped space, a `nas.Space`, or what a file holds as a dict. The other arguments are the
    options of `nas search`, with underscores; docs/api.md describes each. Of the most used: `blocks` are files of your own
    blocks; `data` is ``digits``, ``cifar10``, ``cifar100``, ``fashion_mnist``, ``imagefolder:PATH`` or ``table:FILE``, or the
    images themselves: (images, labels) as arrays or tensors, a `Dataset` of PyTorch, torchvision or Hugging Face, a frame with
    the columns path and label, or a dict of these with train, val and test (docs/data.md); `trials` counts the finished trials of
    the study in all, `time` is like ``"30m"``; `objectives` are accuracy (maximized), parameters, macs, activation_bytes and
    latency (minimized), and those that you register; `metric` and `loss` are names, or functions of your own: from probabilities
    (N, classes) and labels (N,) to a number, the larger the better, and from outputs (B, classes) and labels (B,) of a batch to
    its mean loss; `limits` bound what is known before a training, ``{"macs": 2e6}``; `recipe`
    is a name, a file or a `nas.Recipe`. `progress` is told what happens; None: nothing is printed.

    The same call again resumes the study. Raises `nas.errors.NasError` when an option is unknown or cannot be met.
    """
    options = {name: value for name, value in locals().items() if name not in ("space", "progress", "unknown")}
    import os

    from nas.searches.options import SearchOptions, check_names
    from nas.searches.search import search as run

    check_names(unknown)
    options["storage"] = storage or os.environ.get("NAS_STORAGE")
    return run(SearchOptions(space, **options), progress)


def fit(
    photos: str | Path,
    *,
    max_parameters: float | None = None,
    max_macs: float | None = None,
    max_latency: str | float | None = None,
    probe_device: str | None = None,
    latency_runtime: str | None = None,
    latency_command: str | None = None,
    latency_format: str = "onnx",
    latency_timeout: str | float = "5m",
    time: str | float | None = None,
    trials: int | None = None,
    steps: int | None = None,
    skip_bad: bool = False,
    data_cache: bool = True,
    data_memory: float | None = None,
    image_size: int | None = None,
    references: Sequence[str] | None = None,
    int8: bool = False,
    space: str | Path = "attn_cnn",
    pretrained: str | None = None,
    recipe: str | Path | Recipe | None = None,
    metric: str | Callable[..., Any] | None = None,
    teacher: str | Path | None = None,
    blocks: Sequence[str] = (),
    seed: int = 0,
    study: str | None = None,
    storage: str | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float | str | None = None,
    device: str = "auto",
    max_concurrent: int | None = None,
    ray_address: str | None = None,
    track: Sequence[str] = (),
    output: str | Path | None = None,
    progress: Progress | None = None,
    **unknown: Never,
) -> FitResult:
    """From a folder or a table of photos to a model to use, with the proof that it was worth it, as `nas fit` does it.

    Searches within the limits, retrains the two best, trains references beside on the same images, chooses by images that
    nothing was trained on, and writes the chosen network as plain PyTorch and ONNX, with a page and a model card. The options are
    those of `nas fit`, with underscores; docs/fit.md tells what happens. `max_latency` is like ``"5ms"``, or milliseconds;
    `references` are names, ``()`` none; `output` is the folder to write, by default STUDY-fit. `progress` is told what happens;
    None: nothing is printed.

    The same call again resumes. Raises `nas.errors.NasError` when an option is unknown or cannot be met, before anything starts.
    """
    options = {name: value for name, value in locals().items() if name not in ("photos", "progress", "unknown")}
    import os

    from nas.fits.fit import fit as run
    from nas.fits.fit import see
    from nas.fits.options import fit_options
    from nas.report.fit_result import finished
    from nas.searches.options import check_names
    from nas.searches.progress import Progress

    check_names(unknown, tuple(options))
    options["storage"] = storage or os.environ.get("NAS_STORAGE")
    asked = fit_options(photos, **options)
    return finished(run(asked, see(asked), progress or Progress()), asked)


def load_study(name: str | None = None, storage: str | None = None) -> LoadedStudy:
    """The study of that name (the only one, when None) in the database at `storage`, by default that of `nas search`.

    ``.trials()`` and ``.pareto()`` are pandas frames; ``.architecture(trial)``, ``.model(trial)`` and
    ``.export(trial, path)`` give one network as data, as a module with the weights there are, and as a file. The
    environment variable NAS_STORAGE names another default. Raises `nas.errors.StorageError` when there is no such study.
    """
    import os

    from nas.api import LoadedStudy

    return LoadedStudy(name, storage or os.environ.get("NAS_STORAGE"))
