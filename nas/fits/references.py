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
from nas.data.task import Tell, silent
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


def default_references(space: str | Path | None = None, pretrained: str | None = None) -> tuple[str, ...]:
    """What networks of a space are compared with unless a user says otherwise.

    Those of a space of trained weights with the whole network that it is made of: `pretrained` are a user's own weights of that, or
    the word for random ones. Others with the plain families, and with published networks whose trained weights are at hand.
    """
    own = None if space is None else Space.load(space, shapes=False).pretrained
    if own is not None and pretrained != RANDOM:
        return (own,)
    return (*REFERENCES, *(name for name in FINE_TUNED if _at_hand(name)))


def default_references_of(study: StudyRow) -> tuple[str, ...]:
    """The same for the networks of a study."""
    if not study.recipe.pretrained:
        return default_references()
    from nas.network.pretrained import parts_of

    return (parts_of(study.recipe.pretrained)[0],)


def fine_tuned(name: str, weights: str | None, input: Shape, classes: int) -> Reference:
    """A published network as it is, from its trained weights or from `weights`. Raises a NasError where there are none."""
    from nas.network.pretrained import find_start

    start = find_start(name, weights)
    config = PublishedConfig.load(name)
    try:
        architecture = Space.load(config.space).from_assignment(config.assignment, input, classes)
    except Infeasible as problem:
        raise SearchError(f"reference {name}: cannot take images of {'×'.join(map(str, input))}: {problem}") from None
    price = cost(architecture, input, classes)
    return Reference(config.name, caption_of(config.name), architecture, price, start.text)


def _names_weights(name: str) -> bool:
    """Whether there is a published config of that name, with weights."""
    try:
        return PublishedConfig.load(name).pretrained is not None
    except StudyError:
        return False


def _at_hand(name: str) -> bool:
    from nas.network.weight_sources import is_at_hand

    text = PublishedConfig.load(name).pretrained
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
    study: StudyRow,
    names: Sequence[str],
    limits: Mapping[str, Bounds],
    options: TrainingOptions,
    *,
    named: bool = False,
    tell: Tell = silent,
) -> tuple[list[tuple[Reference, Plan]], list[str]]:
    """How the references are trained on the images of a study, and the names of those that the limits leave no room for.

    `tell` hears where the images are kept.

    A whole published network that a user has `named` is trained whatever the limits: it says what these cost.
    """
    data = study_data(study, options, tell)
    input, classes, kind = data.dataset.input, data.dataset.classes, data.dataset.type
    wanted = tuple(kind.output(input, classes))
    if wanted != (classes,):
        raise SearchError(
            f"references give logits {(classes,)}, and a task of {kind.name} wants {wanted}; there are none to compare"
        )
    plans: list[tuple[Reference, Plan]] = []
    missing = []
    for name in check_references(names):
        if name in REFERENCES:
            found = widest(name, limits, input, classes)
        else:
            whole = fine_tuned(name, _weights_of(study, name), input, classes)
            found = whole if named or _inside(whole.cost, limits) else None
        if found is None:
            missing.append(name)
        else:
            plans.append(
                (found, plan_reference(study, found.name, found.architecture, data, options, found.pretrained))
            )
    return plans, missing


def _weights_of(study: StudyRow, name: str) -> str | None:
    """The weights of this network that the study's own networks start from; None where it is another one."""
    if not study.recipe.pretrained:
        return None
    from nas.network.pretrained import parts_of

    network, weights, _ = parts_of(study.recipe.pretrained)
    return weights if PublishedConfig.load(network).name == PublishedConfig.load(name).name else None


def study_of(storage: str | None, name: str) -> StudyRow:
    """The row of a study."""
    with Store.open(storage or DEFAULT_URL) as store:
        return store.study(name)


def _inside(price: Cost, limits: Mapping[str, Bounds]) -> bool:
    """Whether no upper bound is broken by what is known before measuring."""
    return all(bounds.max is None or name not in price or price[name] <= bounds.max for name, bounds in limits.items())
