"""Published configs: `studies/*.yaml`, one network of a paper each (or its claims alone), as data.

A config is an assignment of a space, the paper's recipe, the numbers that the paper claims, and what it does not say.
In its file a `*` in the name of a choice stands for any number: ``stages.*.down.block: max_pool``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from blocks.base import Scalar
from nas.architecture.architecture import Architecture
from nas.config.recipe import Recipe
from nas.config.shipped_files import every, find
from nas.config.yaml_document import Document, FieldError
from nas.errors import AssignmentError, NasError, SpaceError, StudyError, nearest
from nas.space.grammar import Options
from nas.space.space import Assignment, Space

UNITS = {"accuracy": "%", "top5": "%", "loss": "nats", "parameters": "M", "macs": "G", "size": "MiB"}
"""What a paper can claim, and the unit that the value is written in. Size is that of float32 weights."""


@dataclass(frozen=True)
class Claim:
    """A number that a paper printed."""

    metric: str
    value: float
    """The value as printed, with as many decimals."""
    unit: str
    table: str
    digits: int | None = None
    """Decimals that the paper prints, where YAML loses them: those of 76.50 and of 95. Otherwise the value's own."""

    @property
    def decimals(self) -> int:
        """How many decimals the paper prints."""
        return len(repr(self.value).partition(".")[2]) if self.digits is None else self.digits

    @property
    def printed(self) -> str:
        """The value as the paper prints it."""
        return f"{self.value:.{self.decimals}f}"

    def __post_init__(self) -> None:
        """Raises FieldError for a metric or a unit that nothing can be compared with."""
        if self.digits is not None and not 0 <= self.digits <= 6:
            raise FieldError("digits", f"must be from 0 to 6, not {self.digits}")
        if not math.isfinite(self.value) or (self.metric in ("parameters", "macs", "size") and self.value <= 0):
            raise FieldError("value", f"must be a number above 0, not {self.value}")
        if self.metric not in UNITS:
            raise FieldError(
                "metric", f"must be one of {', '.join(UNITS)}, not '{self.metric}'{nearest(self.metric, UNITS)}"
            )
        if self.unit != UNITS[self.metric]:
            raise FieldError("unit", f"of {self.metric} must be '{UNITS[self.metric]}', not '{self.unit}'")


@dataclass(frozen=True)
class Builds:
    """What the network costs as it is built here, for the config's own input: a change is a mistake."""

    parameters: int
    macs: int


_OF_NETWORKS_ALWAYS: Final = {"space", "input", "classes", "assignment"}
_OF_NETWORKS: Final = _OF_NETWORKS_ALWAYS | {
    "recipe",
    "builds",
    "fraction",
    "pretrained",
    "mean",
    "std",
    "proposed",
    "first",
}


@dataclass(frozen=True)
class PublishedConfig:
    """A published network as a point of a space; or what a paper prints of a network that is not built here."""

    name: str
    title: str
    paper: str
    data: str
    claims: tuple[Claim, ...]
    space: str = ""
    input: tuple[int, ...] = ()
    classes: int = 0
    assignment: dict[str, Scalar] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    """The paper's. Where the file says nothing else, its precision is float32, in which papers train, and `norm_images` is 0:
    papers measure with batch norm's running averages."""
    proposed: bool = False
    """Whether it is what the paper proposes, and no ablation or baseline."""
    first: bool = False
    """Whether it is among the first trials of every search of its space that has room for it."""
    builds: Builds | None = None
    fraction: float = 1.0
    """Share of the training images that the paper trains on."""
    pretrained: str | None = None
    """Weights that training starts from, such as ``torchvision:ResNet18_Weights.IMAGENET1K_V1``; `nas.network.weight_sources`
    reads them."""
    mean: tuple[float, ...] = ()
    """Mean of each channel, of images in [0, 1], that these weights were trained to see subtracted …"""
    std: tuple[float, ...] = ()
    """… and divided by. Weights that say so themselves come first."""
    assumptions: tuple[str, ...] = ()
    """One line each: what the text does not say, what was chosen, why."""
    without_network: str | None = None
    """Why nothing is built for these claims: such a config has no space, no input, no assignment and no recipe."""

    @classmethod
    def load(cls, name: str | Path) -> PublishedConfig:
        """Reads a config file, or the shipped config of that name. Raises StudyError."""
        path = find("studies", name, StudyError)
        document = Document.load(path, StudyError)
        config = document.dataclass(cls, what="published config")
        if config.name != path.stem:
            document.fail(("name",), f"name: must be the file's, '{path.stem}', not '{config.name}'")
        if config.without_network is not None:
            for key in _OF_NETWORKS & document.data.keys():
                document.fail((key,), f"{key}: a config that says without_network has none")
            return config
        if "norm_images" not in document.data.get("recipe", {}):
            config = replace(config, recipe=config.recipe.replace(norm_images=0))
        for key in sorted(_OF_NETWORKS_ALWAYS - document.data.keys()):
            document.fail((), f"published config: the key '{key}' is missing")
        if len(config.input) != 3 or min(config.input) < 1:
            document.fail(("input",), f"input: must be [channels, height, width], not {list(config.input)}")
        if len(config.mean) != len(config.std) or len(config.mean) not in (0, config.input[0]) or 0 in config.std:
            document.fail(("mean",), "mean and std: must have one number for each channel, and std none that is 0")
        if not 0 < config.fraction <= 1:
            document.fail(("fraction",), f"fraction: must be above 0 and at most 1, not {config.fraction:g}")
        try:
            space = Space.load(config.space, shapes=False)
        except NasError as problem:
            document.fail(("space",), f"space: {problem}")
        recipe = config.recipe
        if recipe.precision == "auto":
            recipe = recipe.replace(precision="fp32")
        return replace(config, assignment=_expand(config.assignment, space, document), recipe=recipe)

    def architecture(self) -> Architecture:
        """The published network, for the paper's input. Raises AssignmentError when it is no point of its space."""
        self.require_network()
        return Space.load(self.space, shapes=False).from_assignment(self.assignment, self.input, self.classes)

    def require_network(self) -> None:
        """Raises StudyError with the reason where the config has claims alone."""
        if self.without_network is not None:
            raise StudyError(f"{self.name}: no network is built for these claims: {self.without_network}")


def whole_of(space: Space) -> PublishedConfig:
    """The published network whose trained weights the networks of `space` take, by the names of its nodes.

    Raises SpaceError where the network of the space that is nearest to it has none of its nodes: all weights would be random.
    """
    assert space.pretrained is not None
    config = PublishedConfig.load(space.pretrained)
    theirs = config.architecture()

    def choose(name: str, options: Options) -> Scalar:
        value = config.assignment.get(name)
        return value if value is not None and value in options.admissible else options.admissible[0]

    try:
        ours = space.resolve(space.walk(choose), config.input, config.classes).architecture
    except NasError as problem:
        raise SpaceError(
            f"{space.path}: pretrained: the network nearest to {config.name} does not build: {problem}"
        ) from None
    named = {(node.name, node.block, node.params) for node in theirs.nodes if node.name != theirs.output}
    if not any((node.name, node.block, node.params) in named for node in ours.nodes):
        raise SpaceError(
            f"{space.path}: pretrained: no node of the space is one of {config.name}'s, by name and hyperparameters "
            f"({', '.join(node.name for node in theirs.nodes[:3])} …), so that none would have its weights"
        )
    return config


def every_config() -> list[PublishedConfig]:
    """Every shipped config, those without a network too."""
    return [PublishedConfig.load(path) for path in every("studies")]


def published_configs() -> list[PublishedConfig]:
    """Every shipped config of a network."""
    return [config for config in every_config() if config.without_network is None]


def _expand(written: Mapping[str, Scalar], space: Space, document: Document) -> Assignment:
    """The assignment that `written` means: an exact name wins, then the pattern with the fewest stars, then the later."""
    patterns = [(name.split("."), name) for name in written if "*" in name.split(".")]
    used: set[str] = set()

    def choose(name: str, options: Options) -> Scalar:
        key: str | None = name if name in written else None
        if key is None:
            parts = name.split(".")
            fitting = [(stars.count("*"), pattern) for stars, pattern in patterns if _fits(stars, parts)]
            fewest = min((count for count, _ in fitting), default=0)
            key = next((pattern for count, pattern in reversed(fitting) if count == fewest), None)
        if key is None:
            listed = ", ".join(map(str, options))
            document.fail(("assignment",), f"the choice '{name}' is missing; options: {listed}{nearest(name, written)}")
        used.add(key)
        value = written[key]
        if not any(value == option and isinstance(value, bool) == isinstance(option, bool) for option in options):
            listed = ", ".join(map(str, options))
            document.fail(
                ("assignment", key), f"'{name}' has no option {value!r}; options: {listed}{nearest(value, options)}"
            )
        return value

    try:
        assignment = space.walk(choose).assignment
    except AssignmentError as problem:
        document.fail(("assignment",), str(problem))
    for key in written:
        if key not in used:
            document.fail(("assignment", key), f"'{key}' is no active choice of {space.name}{nearest(key, assignment)}")
    return assignment


def _fits(pattern: list[str], parts: list[str]) -> bool:
    return len(pattern) == len(parts) and all(
        ours == theirs or (ours == "*" and theirs.isdigit()) for ours, theirs in zip(pattern, parts, strict=True)
    )
