"""Which published networks a search starts from."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass

from blocks.base import Scalar, Shape
from nas.architecture.cost import Built
from nas.data import Dataset
from nas.errors import AssignmentError, Infeasible
from nas.searches.options import SEED_POINTS
from nas.searches.progress import Progress
from nas.space.grammar import Options
from nas.space.published import PublishedConfig, published_configs
from nas.space.space import Assignment, Plan, Space
from nas.text.formatting import digits, short

MOST_NAMES = 5
PARTS = 2
"""Parts of a network with trained weights that a search starts with, where the limits have no room for all of it."""


@dataclass(frozen=True)
class SeedPoint:
    """A published network that is a point of the space at hand."""

    config: PublishedConfig
    assignment: Assignment
    built: Built | None
    """The network with its shapes and cost; None where the shapes do not fit the input at hand."""
    problem: str | None
    """Why it cannot be built there."""
    is_part: bool = False
    """Whether it is no published network, but what the limits leave of the one whose trained weights the space names."""

    @property
    def published(self) -> str | None:
        """Name of the published network that it is."""
        return None if self.is_part else self.config.name


def seed_points(space: Space, input: Shape, classes: int) -> list[SeedPoint]:
    """The published networks that are points of `space`, whatever its name.

    A config belongs to `space` when its assignment fits and builds, for the paper's own input, the published network.
    """
    found: list[SeedPoint] = []
    for config in published_configs():
        try:
            plan = space.plan(config.assignment)
        except AssignmentError:
            continue
        if not _builds(space, plan, config):
            continue
        try:
            built = space.resolve(plan, input, classes)
        except Infeasible as problem:
            found.append(SeedPoint(config, plan.assignment, None, str(problem)))
        else:
            found.append(SeedPoint(config, plan.assignment, built, None))
    return found


def _builds(space: Space, plan: Plan, config: PublishedConfig) -> bool:
    """Whether these decisions give the published network for the paper's own input."""
    if Space.load(config.space, shapes=False).fingerprint == space.fingerprint:
        return True
    try:
        ours = space.resolve(plan, config.input, config.classes)
    except Infeasible:
        return False
    return ours.architecture.hash == config.architecture().hash


@dataclass(frozen=True)
class _Sorted:
    """The published networks of a space: those that can be trained, each once and in their order, and the others."""

    fitting: list[SeedPoint]
    outside: list[PublishedConfig]
    """Those that break a constraint."""
    too_large: list[PublishedConfig]
    """Those for which the images are too small."""

    @property
    def firsts(self) -> int:
        """How many of `fitting` every search starts with; they stand at its head."""
        return sum(point.config.first for point in self.fitting)


def choose_seeds(space: Space, dataset: Dataset, trials: int, which: str, progress: Progress) -> list[SeedPoint]:
    """The published networks of `space` that are trained first, each network once; `which` is auto, all or none.

    With `auto` these are the configs marked `first`, then what the papers propose, then the smaller networks, until a
    sixth of the trials is reached. One line of `progress` says which they are, and how many do not fit.
    """
    most = SEED_POINTS[which]
    if most is None:
        return []
    found = _sort(space, dataset)
    chosen = found.fitting[: most(found.firsts, trials)]
    parts = nearest_parts(space, dataset.input, dataset.classes)
    if parts:
        costs = [one.built.cost for one in parts if one.built is not None]
        shown = ", ".join(f"{one.parameters:,} parameters with {short(one.macs)} MACs" for one in costs)
        progress.note(f"the nearest to {parts[0].config.name} that the limits have room for come first: {shown}")
    if found.fitting or found.outside or found.too_large:
        progress.note(_line(found, chosen, space, dataset))
    return [*parts, *chosen]


def nearest_parts(space: Space, input: Shape, classes: int) -> list[SeedPoint]:
    """Networks of the space that are nearest to the one whose trained weights it names, where that itself breaks a constraint.

    Those that differ from it in one choice, or else in two, and keep most of its parameters: at most `PARTS`.
    """
    if space.pretrained is None:
        return []
    config = PublishedConfig.load(space.pretrained)
    try:
        whole = space.resolve(space.plan(config.assignment), input, classes)
    except (AssignmentError, Infeasible):
        return []
    if space.violation(whole.cost) is None:
        return []
    options: dict[str, Options] = {}

    def remember(name: str, those: Options) -> Scalar:
        options[name] = those
        return config.assignment[name]

    space.walk(remember)
    changes = [(name, value) for name, those in options.items() for value in those if value != config.assignment[name]]
    for number in (1, 2):
        found: dict[str, SeedPoint] = {}
        for some in itertools.combinations(changes, number):
            changed = {**config.assignment, **dict(some)}
            with suppress(AssignmentError, Infeasible):  # the first where the space has `counts`
                plan = space.walk(lambda name, those, changed=changed: changed.get(name, those.admissible[0]))  # type: ignore[misc]
                built = space.resolve(plan, input, classes)
                if space.violation(built.cost) is None:
                    found[built.architecture.hash] = SeedPoint(config, plan.assignment, built, None, is_part=True)
        if found:
            return sorted(found.values(), key=_kept)[:PARTS]
    return []


def _kept(point: SeedPoint) -> tuple[int, int]:
    assert point.built is not None
    return -point.built.cost.parameters, -point.built.cost.macs


def _sort(space: Space, dataset: Dataset) -> _Sorted:
    fitting: dict[str, tuple[tuple[bool, bool, int], SeedPoint]] = {}
    outside: list[PublishedConfig] = []
    too_large: list[PublishedConfig] = []
    for point in seed_points(space, dataset.input, dataset.classes):
        config = point.config
        if point.built is None:
            too_large.append(config)
            continue
        price, digest = point.built.cost, point.built.architecture.hash
        if space.violation(price) is not None:
            outside.append(config)
            continue
        # Several configs may be one network on these images; the one that comes first gives it its name.
        rank = (not config.first, not config.proposed, price.parameters)
        known = fitting.get(digest)
        if known is None or rank < known[0]:
            fitting[digest] = rank, point
    return _Sorted([point for _, point in sorted(fitting.values(), key=lambda pair: pair[0])], outside, too_large)


def _line(found: _Sorted, chosen: list[SeedPoint], space: Space, dataset: Dataset) -> str:
    names = [point.config.name for point in chosen]
    listed = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    text = f"published networks that start the search: {listed or 'none'}"
    if names:
        text += f", {len(names)} of {len(found.fitting)} that fit"
    if found.outside:
        bounds = [
            f"{name} at most {digits(bound.max)}" for name, bound in space.constraints.items() if bound.max is not None
        ]
        bounds += [
            f"{name} at least {digits(bound.min)}" for name, bound in space.constraints.items() if bound.min is not None
        ]
        text += f"; outside of {' and '.join(bounds)}: {_some(found.outside)}"
    if found.too_large:
        text += f"; no room in images of {'×'.join(map(str, dataset.input))}: {_some(found.too_large)}"
    return f"{text} (--seed-points all, auto or none)"


def _some(configs: list[PublishedConfig]) -> str:
    """How many, and the one of them that a reader looks for."""
    name = min(configs, key=lambda config: (not config.first, not config.proposed, config.name)).name
    return name if len(configs) == 1 else f"{len(configs)}, {name} among them"
