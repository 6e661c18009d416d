"""Trained weights in networks of ours: of a published network itself, and of what a space makes of it.

The published network is filled once, tensor by tensor in the order in which its layers run. From then on weights go by name:
every network of the space takes those of the nodes that it has, where their shapes agree, and begins with random ones elsewhere.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.data import Dataset
from nas.errors import DataError, StudyError
from nas.network.weight_sources import PublishedWeights, check_weights, read_published
from nas.space.published import PublishedConfig
from nas.text.formatting import shorten
from nas.text.sanitize import expanded


def load_pretrained(model: nn.Module, name: str) -> int:
    """Fills `model` with the weights that `name` means, such as ``ResNet18_Weights.IMAGENET1K_V1`` (see `weight_sources`).

    Everything before the published network's classifier is filled, what comes after it in `model` stays as it is.
    Returns how many tensors were filled. Raises StudyError when there are no such weights or they are of another
    network, and DataError when they are not here and cannot be downloaded.
    """
    return fill(model, read_published(name).state, name)


def fill(model: nn.Module, published: Mapping[str, Tensor], name: str) -> int:
    """Copies `published` but its last layer, the classifier, into the first tensors of `model`, in their order.

    Raises StudyError when a shape does not agree.
    """
    own = model.state_dict()
    found = in_order(own, published, name)
    for key, value in found.items():
        own[key].copy_(value)
    return len(found)


def in_order(own: Mapping[str, Tensor], published: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """`published` but its last layer, the classifier, by the names of the first tensors of `own`.

    Layers run in the same order in both, so their tensors stand in the same order too; every shape must agree. Raises
    StudyError when one does not.
    """
    classifier = list(published)[-1].rpartition(".")[0] + "."
    # A counter of batches, which older files lack; nothing reads it.
    theirs = [
        (key, value) for key, value in published.items() if not key.startswith(classifier) and not _is_counter(key)
    ]
    ours = [(key, value) for key, value in own.items() if not _is_counter(key)]
    if len(theirs) > len(ours):
        raise StudyError(f"pretrained: {name} has {len(theirs)} tensors, the network only {len(ours)}")
    found = {}
    for (key, value), (our_key, target) in zip(theirs, ours[: len(theirs)], strict=True):
        if value.shape != target.shape:
            raise StudyError(
                f"pretrained: {name} is of another network: {key} has the shape {list(value.shape)}, "
                f"{our_key} {list(target.shape)}"
            )
        found[our_key] = value
    return found


# -- networks of a space ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Start:
    """Trained weights by the names of the nodes of a published network."""

    network: str
    """Name or file of the published config."""
    weights: str
    """Where they come from, as `nas.network.weight_sources` reads it."""
    fingerprint: str
    state: Mapping[str, Tensor]
    mean: tuple[float, ...]
    """Mean of each channel of images in [0, 1]: what they were trained to see subtracted; empty: nobody says."""
    std: tuple[float, ...]

    @property
    def text(self) -> str:
        """What a recipe remembers, and `start_of` reads again in any process."""
        return shlex.join((self.network, self.weights, self.fingerprint))

    @property
    def parameters(self) -> int:
        """How many numbers there are, statistics of norms among them."""
        return sum(tensor.numel() for tensor in self.state.values())

    def seen(self, dataset: Dataset) -> Dataset:
        """The data set with its images normalized as those that the weights were trained on, where these have as many channels."""
        if len(self.mean) != dataset.input[0]:
            return dataset
        return replace(dataset, mean=self.mean, std=self.std)


@dataclass(frozen=True)
class Carried:
    """What of a network has trained weights."""

    tensors: int
    of_tensors: int
    parameters: int
    of_parameters: int

    def __str__(self) -> str:
        return (
            f"{self.tensors:,} of {self.of_tensors:,} tensors and {self.parameters:,} of {self.of_parameters:,} parameters "
            "are trained, the others random"
        )


def find_start(network: str, weights: str | None = None) -> Start:
    """The trained weights of a published network: `weights`, or those that its config names.

    Raises StudyError where they are none of this network, DataError with the remedy where they cannot be had.
    """
    config = PublishedConfig.load(network)
    config.require_network()
    path = expanded(network)
    if path.is_file():  # workers run in other folders
        network = str(path.absolute())
    text = weights or config.pretrained
    if text is None:
        raise StudyError(f"pretrained: {config.name} names no weights; name them with --pretrained, such as file:PATH")
    text = check_weights(text)
    kind, _, place = text.partition(":")
    if kind == "file":
        text = f"file:{expanded(place).absolute()}"
    published = read_published(text)
    mean, std = (published.mean, published.std) if published.mean else (config.mean, config.std)
    return Start(network, text, published.fingerprint, _by_node(config, published, text), mean, std)


@lru_cache(maxsize=4)
def start_of(text: str) -> Start:
    """What a recipe remembers: read once a process. Raises DataError where the place holds other weights by now."""
    network, weights, fingerprint = parts_of(text)
    start = find_start(network, weights)
    if start.fingerprint != fingerprint:
        raise DataError(
            f"pretrained weights {weights}: are others than those that this was begun with ({start.fingerprint}, not "
            f"{fingerprint})"
        )
    return start


def parts_of(text: str) -> tuple[str, str, str]:
    """The network, the place of its weights and their fingerprint in what a recipe remembers. Raises StudyError."""
    try:
        network, weights, fingerprint = shlex.split(text)
    except ValueError:
        raise StudyError(
            f"pretrained: must be a network, its weights and their fingerprint, not {shorten(text)}"
        ) from None
    return network, weights, fingerprint


def carry(model: nn.Module, start: Start) -> Carried:
    """Copies into `model` what it has of the weights: tensors of the same name and shape."""
    own = model.state_dict()
    fitting = _fitting(own, start)
    for key in fitting:
        own[key].copy_(start.state[key])
    return _counted(model, fitting)


def carried(architecture: Architecture, input: Shape, classes: int, start: Start) -> Carried:
    """What `carry` would copy into the network, which is not made for it."""
    with torch.device("meta"):
        model = compile_model(architecture, input, classes)
    return _counted(model, _fitting(model.state_dict(), start))


def _by_node(config: PublishedConfig, published: PublishedWeights, name: str) -> Mapping[str, Tensor]:
    """The tensors by the names of the published network's nodes, without those of its classifier."""
    architecture = config.architecture()
    with torch.device("meta"):
        own = compile_model(architecture, config.input, config.classes).state_dict()
    body = {key: tensor for key, tensor in own.items() if not key.startswith(f"{architecture.output}.")}
    same = {key: tensor for key, tensor in published.state.items() if key in body and not _is_counter(key)}
    if same:  # a file of ours, perhaps of a part of the network
        return same
    if not published.ordered:
        raise StudyError(
            f"pretrained: none of the {len(published.state)} tensors of {name} has a name of {config.name}'s, and safetensors "
            "keeps no order by which they could be told; write them with torch.save(model.state_dict(), …)"
        )
    return in_order(own, published.state, name)


def _fitting(own: Mapping[str, Tensor], start: Start) -> list[str]:
    return [key for key, value in start.state.items() if key in own and own[key].shape == value.shape]


def _counted(model: nn.Module, fitting: list[str]) -> Carried:
    every = [key for key in model.state_dict() if not _is_counter(key)]
    sizes = {key: parameter.numel() for key, parameter in model.named_parameters()}
    return Carried(len(fitting), len(every), sum(sizes.get(key, 0) for key in fitting), sum(sizes.values()))


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")
