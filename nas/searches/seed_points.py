"""Which published networks a search starts from."""

from __future__ import annotations

from dataclasses import dataclass

from blocks.base import Shape
from nas.architecture.cost import Built
from nas.data import Dataset
from nas.errors import AssignmentError, Infeasible
from nas.searches.progress import Progress
from nas.space.published import PublishedConfig, published_configs
from nas.space.space import Assignment, Plan, Space
from nas.text.formatting import digits

SHARE = 6
"""With `auto` one in so many trials at most is a published network: a search is for what nobody has published."""

MOST_NAMES = 5


@dataclass(frozen=True)
class SeedPoint:
    """A published network that is a point of the space at hand."""

    config: PublishedConfig
    assignment: Assignment
    built: Built | None
    """None where the shapes do not fit the input at hand."""
    problem: str | None
    """Why it cannot be built there."""


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
    if which == "none":
        return []
    found = _sort(space, dataset)
    most = len(found.fitting)
    if which == "auto":
        most = min(most, max(found.firsts, trials // SHARE, 1))
    chosen = found.fitting[:most]
    if found.fitting or found.outside or found.too_large:
        progress.note(_line(found, chosen, space, dataset))
    return chosen


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
