"""A larger network whose answers a smaller one learns too: knowledge distillation (Hinton, Vinyals and Dean 2015, section 2).

A teacher has to be trained: it knows the same classes, and takes images of the same size. Where its file names the classes in
another order its answers are put into that of the images, and where its images were scaled otherwise they are scaled for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.errors import DataError, NasError, WeightsError
from nas.network.load import build
from nas.network.lookup import find_network
from nas.network.weights import Card, fill, read_weights
from nas.text.formatting import shape, shorten
from nas.text.sanitize import expanded, one_line

if TYPE_CHECKING:
    from nas.data import Dataset

ENDING: Final = ".safetensors"
DIGITS: Final = 16
"""So many of a fingerprint stand in a recipe."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network as it is sent to whoever trains another one by it."""

    title: str
    """What the user called it."""
    card: Card
    """Classes and scales of the images that it was trained on."""
    state: Mapping[str, Tensor] = field(repr=False)

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return self.card.architecture

    @property
    def text(self) -> str:
        """What a recipe remembers: the name and a fingerprint of the weights."""
        digest = hashlib.sha256(self.architecture.hash.encode())
        for name, tensor in sorted(self.state.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return f"{one_line(self.title)} {digest.hexdigest()[:DIGITS]}"

    def check(self, class_names: tuple[str, ...], input: Shape | None) -> None:
        """Raises DataError where it knows other classes than these, or takes other images than those of the shape `input`."""
        theirs = self.card.class_names
        if sorted(theirs) != sorted(class_names):
            odd = ", ".join(sorted(set(class_names) ^ set(theirs)))
            why = f"only one of both has {shorten(odd)}" if theirs else "its file does not name those that it knows"
            raise DataError(
                f"teacher {self.title}: must know the classes of the images, and {why}; train it on these images first"
            )
        if input is not None and tuple(self.card.input) != tuple(input):
            raise DataError(
                f"teacher {self.title}: takes images of {shape(self.card.input)}, and these are {shape(input)}; name one that was "
                "trained on images of this size"
            )

    def network(self, dataset: Dataset, device: torch.device) -> nn.Module:
        """The teacher on a device: images (B, C, H, W) as `dataset` normalizes them -> logits (B, classes) in its order."""
        model = compile_model(self.architecture, self.card.input, self.card.classes)
        model.load_state_dict(dict(self.state))
        return _Answering(model, self.card, dataset).to(device).eval().requires_grad_(False)


class _Answering(nn.Module):
    """x (B, C, H, W) as a data set normalizes it -> logits (B, classes) in the order of its classes."""

    scale: Tensor
    shift: Tensor
    order: Tensor

    def __init__(self, model: nn.Module, card: Card, dataset: Dataset) -> None:
        super().__init__()
        self.model = model
        ours = torch.tensor(dataset.mean), torch.tensor(dataset.std)
        theirs = (torch.tensor(card.mean), torch.tensor(card.std)) if card.mean else ours
        self.register_buffer("scale", (ours[1] / theirs[1]).view(1, -1, 1, 1))
        self.register_buffer("shift", ((ours[0] - theirs[0]) / theirs[1]).view(1, -1, 1, 1))
        self.register_buffer("order", torch.tensor([card.class_names.index(name) for name in dataset.class_names]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x * self.scale + self.shift)
        return logits[:, self.order]


def find_teacher(word: str | Path, *, storage: str | None, dataset_shape: tuple[Shape, int] | None = None) -> Teacher:
    """The trained network that `word` means: a file of weights with its card, or what `nas.network.lookup` finds, with weights.

    A published network is that of the shape and the number of classes `dataset_shape`. Raises a NasError where there is none, or
    where it is not trained.
    """
    title = str(word)
    path = expanded(word)
    if path.suffix == ENDING or (path.is_file() and path.suffix in (".pt", ".pth", ".pt2", ".onnx", ".py")):
        return _of_file(title, path)
    try:
        network = find_network(title, storage=storage)
        if network.study is None and dataset_shape is not None:
            network = find_network(title, storage=storage, input=dataset_shape[0], classes=dataset_shape[1])
        trained = build(network, storage=storage)
    except NasError as problem:
        raise type(problem)(f"teacher {title}: {problem}") from None
    if trained.weights is None:
        raise WeightsError(f"teacher {title}: is not trained: {trained.note}")
    return Teacher(title, trained.card, trained.model.state_dict())


def _of_file(title: str, path: Path) -> Teacher:
    if path.suffix != ENDING:
        raise WeightsError(
            f"teacher {title}: must be a {ENDING} file, which says what network it fills: `nas retrain` keeps one, and "
            f"`nas export -o network{ENDING}` writes one"
        )
    try:
        state, card = read_weights(path)
        if card is None:
            raise WeightsError(f"{path}: does not say what network it fills, as a file of nas does")
        with torch.device("meta"):
            model = compile_model(card.architecture, card.input, card.classes)
        fill(model.to_empty(device="cpu"), state, path)
    except NasError as problem:
        raise type(problem)(f"teacher {problem}") from None
    return Teacher(title, card, state)
