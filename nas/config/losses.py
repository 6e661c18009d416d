"""Losses of a user's own, by name: what a network is trained by in the place of the loss of its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from nas.config.own_functions import OwnFunction, hand_over, note, noted, origin_of
from nas.errors import RecipeError, nearest
from nas.plugins.registry import Registry
from nas.text.formatting import shorten

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""From outputs (B, …), such as logits (B, classes), and labels (B, …) of a batch to its mean loss, a scalar."""

LOSSES: Registry[Loss] = Registry("loss", "nas.losses", RecipeError)
"""Losses beside those that tasks have."""
KIND: Final = "loss"
DIGITS: Final = 16
"""So many of a fingerprint stand in a recipe."""
TRIED: Final = 8
"""So many images is a loss tried with."""


def register_loss(name: str) -> Callable[[Loss], Loss]:
    """Adds a function from outputs (B, classes) and labels (B,) of a batch to its mean loss as the loss `name`.

    ::

        @nas.register_loss("poly1")
        def poly1(outputs, labels):
            each = torch.nn.functional.cross_entropy(outputs, labels, reduction="none")
            return (each + 1 - (-each).exp()).mean()

    ``--loss poly1`` then trains by it, in the place of the loss of the task; a recipe may name it too. Workers need it: it stands
    in an installed package with an entry point, in a file that --blocks names, or in the script that calls `nas.search`.
    """

    def add(loss: Loss) -> Loss:
        add_loss(name, loss)
        return loss

    return add


def add_loss(name: str, loss: Loss) -> None:
    """Makes a loss known by its name. Raises RecipeError when that is taken, or is none."""
    LOSSES.add(name, loss, loss if hasattr(loss, "__qualname__") else type(loss))
    note(OwnFunction(KIND, name, loss, add_loss))


def name_of(loss: str | Loss) -> str:
    """The name of a loss, which may be the function itself. Raises a NasError for one that there is none of."""
    if not isinstance(loss, str):
        return hand_over(KIND, loss, dict(LOSSES), add_loss)
    LOSSES.find(loss)
    return loss


def loss_text(name: str) -> str:
    """What a recipe remembers of a loss: its name and its fingerprint, with a blank between. Raises a NasError."""
    _find(name)
    own = noted(KIND, [name])
    return " ".join([name, *(origin_of(one).digest[:DIGITS] for one in own)])


def find_loss(text: str) -> Loss:
    """The loss that a recipe remembers so, of whichever version. Raises RecipeError where there is none of that name."""
    return _find(text.partition(" ")[0])


def same_loss(text: str) -> Loss:
    """The loss that a recipe remembers so. Raises RecipeError where it is not there, or is another version."""
    loss, name = find_loss(text), text.partition(" ")[0]
    if " " in text and loss_text(name) != text:
        raise RecipeError(
            f"loss '{name}': is another version than that of the recipe, with whose results these would not compare; give that one"
        )
    return loss


def functions_of(text: str) -> list[OwnFunction]:
    """What other processes need for the loss that a recipe remembers so."""
    return noted(KIND, [text.partition(" ")[0]]) if text else []


def check_loss(text: str, output: tuple[int, ...], labels: npt.NDArray[Any]) -> None:
    """Tries a loss on outputs of this shape, for these labels. Raises RecipeError where none can be trained by it."""
    import torch

    name, loss = text.partition(" ")[0], find_loss(text)
    targets = torch.from_numpy(labels[:TRIED].copy())
    outputs = torch.randn(len(targets), *output, generator=torch.Generator().manual_seed(0)).requires_grad_()
    shapes = f"outputs {tuple(outputs.shape)} and labels {tuple(targets.shape)}"
    try:
        value: object = loss(outputs, targets)
    except Exception as problem:  # whatever a function of others can do
        reason = " ".join(str(problem).split())
        raise RecipeError(f"loss '{name}': {type(problem).__name__} for {shapes}: {shorten(reason, 120)}") from problem
    if not isinstance(value, torch.Tensor) or value.ndim or not value.isfinite():
        told = f"a tensor {tuple(value.shape)}" if isinstance(value, torch.Tensor) and value.ndim else shorten(value)
        raise RecipeError(f"loss '{name}': must be one finite number, the mean over a batch, not {told}, for {shapes}")
    if not value.requires_grad:
        raise RecipeError(f"loss '{name}': has no gradient: it must be computed of its outputs by PyTorch")


def _find(name: str) -> Loss:
    if name not in LOSSES:
        known = ", ".join(LOSSES) or "none"
        raise RecipeError(
            f"no loss '{name}'; known: {known}{nearest(name, LOSSES)}; give the file that has it with --blocks FILE{LOSSES.broken}"
        )
    return LOSSES[name]
