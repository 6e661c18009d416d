"""Published configs: `studies/*.yaml`, one network of a paper each, as data.

A config is an assignment of a space, the paper's recipe, the numbers that the paper claims, and what it does not say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from blocks.base import Scalar, Shape
from nas.architecture import Architecture
from nas.document import Document
from nas.errors import AssignmentError, Infeasible, StudyError
from nas.recipe import Recipe
from nas.resources import every, find
from nas.space import Assignment, Space


@dataclass(frozen=True)
class Claim:
    """A number that a paper printed."""

    metric: str
    value: float
    unit: str
    table: str


@dataclass(frozen=True)
class PublishedConfig:
    """A published network as a point of a space."""

    name: str
    title: str
    paper: str
    space: str
    data: str
    input: tuple[int, ...]
    classes: int
    assignment: dict[str, Scalar]
    claims: tuple[Claim, ...]
    recipe: Recipe = field(default_factory=Recipe)
    assumptions: tuple[str, ...] = ()
    """One line each: what the text does not say, what was chosen, why."""

    @classmethod
    def load(cls, name: str | Path) -> PublishedConfig:
        """Reads a config file, or the shipped config of that name. Raises StudyError."""
        path = find("studies", name, StudyError)
        document = Document.load(path, StudyError)
        config = document.dataclass(cls, what="published config")
        if config.name != path.stem:
            document.fail(("name",), f"name: must be the file's, '{path.stem}', not '{config.name}'")
        if len(config.input) != 3 or min(config.input) < 1:
            document.fail(("input",), f"input: must be [channels, height, width], not {list(config.input)}")
        return config

    def architecture(self) -> Architecture:
        """The published network, for the paper's input. Raises AssignmentError when it is no point of its space."""
        return Space.load(self.space).from_assignment(self.assignment, self.input, self.classes)


@dataclass(frozen=True)
class SeedPoint:
    """A published network that is a point of the space at hand."""

    config: PublishedConfig
    assignment: Assignment
    architecture: Architecture | None
    """None where the shapes do not fit the input at hand."""
    problem: str | None
    """Why it cannot be built there."""


def published_configs() -> list[PublishedConfig]:
    """Every shipped config."""
    return [PublishedConfig.load(path) for path in every("studies")]


def seed_points(space: Space, input: Shape, classes: int) -> list[SeedPoint]:
    """The published networks that are points of `space`, whatever its name.

    A config belongs to `space` when its assignment fits and builds, for the paper's own input, the published network.
    """
    found: list[SeedPoint] = []
    for config in published_configs():
        assignment = dict(config.assignment)
        theirs = config.architecture()
        try:
            ours = space.from_assignment(assignment, config.input, config.classes)
        except (AssignmentError, Infeasible):
            continue
        if theirs.hash != ours.hash:
            continue
        try:
            architecture = space.from_assignment(assignment, input, classes)
        except Infeasible as problem:
            found.append(SeedPoint(config, assignment, None, str(problem)))
        else:
            found.append(SeedPoint(config, assignment, architecture, None))
    return found
