"""References: plain networks, as large as the limits allow, trained as the networks of a study are retrained.

Whoever searches wants to know whether it paid. A reference has the same images, the same held-out part, the same recipe and the
same number of seeds, so that what differs is the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost, cost
from nas.errors import Infeasible, SearchError, nearest
from nas.fits import REFERENCES
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan, plan_reference, study_data
from nas.space.grammar import Bounds, Options
from nas.space.space import Space
from nas.store import DEFAULT_URL, Store

if TYPE_CHECKING:
    from nas.store import StudyRow

LARGE: Final = 64
"""Sides of images above which a reference halves the map at once, as networks for photos do."""


@dataclass(frozen=True)
class Reference:
    """A plain network for the images of one study."""

    name: str
    caption: str
    """With its width, for people."""
    architecture: Architecture
    cost: Cost


def check_references(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once. Raises SearchError with the nearest right one for a name that there is none of."""
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in REFERENCES:
            raise SearchError(f"no reference '{name}'; known: {', '.join(REFERENCES)}{nearest(name, REFERENCES)}")
    return found


def widest(name: str, limits: Mapping[str, Bounds], input: Shape, classes: int) -> Reference | None:
    """The widest network of a family inside the limits; None where even the narrowest is outside, or images are too small."""
    space = Space.load("plain")
    widths: list[Scalar] = []

    def narrowest(choice: str, options: Options) -> Scalar:
        if choice == "network":
            return name
        if choice.endswith(".channels"):
            widths[:] = options
        if choice.endswith(".stride"):
            return 2 if min(input[1:]) > LARGE else 1
        return options[0]

    first = space.walk(narrowest).assignment
    for width in reversed(widths):
        assignment = {**first, f"network.{name}.stem.channels": width}
        try:
            architecture = space.from_assignment(assignment, input, classes)
        except Infeasible:
            return None
        price = cost(architecture, input, classes)
        if _inside(price, limits):
            return Reference(name, f"{REFERENCES[name]}, {width} channels", architecture, price)
    return None


def reference_plans(
    study: StudyRow, names: Sequence[str], limits: Mapping[str, Bounds], options: TrainingOptions
) -> tuple[list[tuple[Reference, Plan]], list[str]]:
    """How the references are trained on the images of a study, and the names of those that the limits leave no room for."""
    data = study_data(study, options)
    plans: list[tuple[Reference, Plan]] = []
    missing = []
    for name in check_references(names):
        found = widest(name, limits, data.dataset.input, data.dataset.classes)
        if found is None:
            missing.append(name)
        else:
            plans.append((found, plan_reference(study, name, found.architecture, data, options)))
    return plans, missing


def study_of(storage: str | None, name: str) -> StudyRow:
    """The row of a study."""
    with Store.open(storage or DEFAULT_URL) as store:
        return store.study(name)


def _inside(price: Cost, limits: Mapping[str, Bounds]) -> bool:
    """Whether no upper bound is broken by what is known before measuring."""
    return all(bounds.max is None or name not in price or price[name] <= bounds.max for name, bounds in limits.items())
