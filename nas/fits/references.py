"""References: plain networks, as large as the limits allow, and whole published ones, fine-tuned from trained weights.

Whoever searches wants to know whether it paid. A reference has the same images, the same held-out part, the same recipe and the
same number of seeds, so that what differs is the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blocks.base import Scalar, Shape
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost, cost
from nas.errors import Infeasible, SearchError, StudyError, nearest
from nas.fits import FINE_TUNED, REFERENCES, caption_of
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan, plan_reference, study_data
from nas.searches.options import RANDOM
from nas.space.grammar import Bounds, Options
from nas.space.published import PublishedConfig
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
    pretrained: str = ""
    """The weights that it starts from, as a recipe remembers them; empty: random ones."""


def check_references(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once. Raises SearchError with the nearest right one for a name that there is none of."""
    found = tuple(dict.fromkeys(names))
    known = [*REFERENCES, *FINE_TUNED]
    for name in found:
        if name not in known and not _names_weights(name):
            raise SearchError(f"no reference '{name}'; known: {', '.join(known)}{nearest(name, known)}")
    return found


def default_references(space: str | Path | Space | None = None, pretrained: str | None = None) -> tuple[str, ...]:
    """The plain families, and the published networks whose trained weights are at hand; that of the `space` among them.

    `pretrained`: the user's own weights of that one, or the word for random ones.
    """
    if isinstance(space, Space) or space is None:
        own = None if space is None else space.pretrained
    else:
        own = Space.load(space, shapes=False).pretrained
    if pretrained == RANDOM:
        own = None
    backbones = dict.fromkeys([*([own] if own else []), *FINE_TUNED])
    return (*REFERENCES, *(name for name in backbones if _at_hand(name, pretrained if name == own else None)))


def fine_tuned(name: str, weights: str | None, input: Shape, classes: int) -> Reference:
    """A published network as it is, from its trained weights or from `weights`. Raises a NasError where there are none."""
    from nas.network.pretrained import find_start

    start = find_start(name, weights)
    config = PublishedConfig.load(name)
    try:
        architecture = Space.load(config.space).from_assignment(config.assignment, input, classes)
    except Infeasible as problem:
        raise SearchError(f"reference {name}: cannot take images of {'×'.join(map(str, input))}: {problem}") from None
    return Reference(name, caption_of(name), architecture, cost(architecture, input, classes), start.text)


def _names_weights(name: str) -> bool:
    """Whether there is a published config of that name, with weights."""
    try:
        return PublishedConfig.load(name).pretrained is not None
    except StudyError:
        return False


def _at_hand(name: str, weights: str | None) -> bool:
    from nas.network.weight_sources import is_at_hand

    text = weights or PublishedConfig.load(name).pretrained
    return text is not None and is_at_hand(text)


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
    input, classes = data.dataset.input, data.dataset.classes
    plans: list[tuple[Reference, Plan]] = []
    missing = []
    for name in check_references(names):
        if name in REFERENCES:
            found = widest(name, limits, input, classes)
        else:
            whole = fine_tuned(name, _weights_of(study, name), input, classes)
            found = whole if _inside(whole.cost, limits) else None
        if found is None:
            missing.append(name)
        else:
            plans.append((found, plan_reference(study, name, found.architecture, data, options, found.pretrained)))
    return plans, missing


def _weights_of(study: StudyRow, name: str) -> str | None:
    """The weights of this network that the study's own networks start from; None where it is another one."""
    network, _, rest = study.recipe.pretrained.partition(" ")
    return rest.rpartition(" ")[0] if network == name else None


def study_of(storage: str | None, name: str) -> StudyRow:
    """The row of a study."""
    with Store.open(storage or DEFAULT_URL) as store:
        return store.study(name)


def _inside(price: Cost, limits: Mapping[str, Bounds]) -> bool:
    """Whether no upper bound is broken by what is known before measuring."""
    return all(bounds.max is None or name not in price or price[name] <= bounds.max for name, bounds in limits.items())
