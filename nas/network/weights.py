"""Files of weights: safetensors, with a card in their header that says which network they fill.

safetensors holds tensors and text, nothing that could run when it is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocks.base import Shape
from nas.architecture.architecture import Architecture
from nas.errors import NasError, WeightsError, nearest
from nas.limits import MAX_CLASSES, MAX_EXTENT
from nas.text.sanitize import read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

_KEY = "nas"
"""Key of the header's metadata under which the card stands as JSON."""


@dataclass(frozen=True)
class Card:
    """What a file of weights says about itself."""

    architecture: Architecture
    input: Shape
    """(C, H, W) of an image."""
    classes: int
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    """Mean of each channel, of images in [0, 1]: what the network was trained to see subtracted …"""
    std: tuple[float, ...] = ()
    """… and divided by."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Facts about where it comes from and what it is worth: study, trial, published, epochs, accuracy, …; plain data."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "architecture": json.loads(self.architecture.to_json()),
            "hash": self.architecture.hash,
            "input": list(self.input),
            "classes": self.classes,
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Card:
        """Reads what `to_dict` gave. Raises KeyError, TypeError, ValueError or a NasError when it is anything else."""
        card = cls(
            Architecture.from_json(json.dumps(data["architecture"])),
            tuple(data["input"]),
            data["classes"],
            tuple(str(name) for name in data["class_names"]),
            tuple(float(value) for value in data["mean"]),
            tuple(float(value) for value in data["std"]),
            dict(data["facts"]),
        )
        card.check()
        return card

    def check(self) -> None:
        """Raises ValueError unless images, classes and scales can be those of one network."""
        if len(self.input) != 3 or not all(_whole(extent, MAX_EXTENT) for extent in self.input):
            raise ValueError(f"input must be channels, height and width up to {MAX_EXTENT:,}")
        if not _whole(self.classes, MAX_CLASSES):
            raise ValueError(f"classes must be a whole number up to {MAX_CLASSES:,}")
        if len(self.class_names) not in (0, self.classes):
            raise ValueError(f"{len(self.class_names)} names for {self.classes} classes")
        if len(self.mean) != len(self.std) or len(self.mean) not in (0, 1, self.input[0]):
            raise ValueError("mean and std need one number for each channel")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or 0 in self.std:
            raise ValueError("mean and std must be finite, and std not 0")


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def save_weights(path: Path, model: nn.Module, card: Card) -> None:
    """Writes the state of `model`, buffers included, to `path`, all of it or nothing."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    beside = path.with_name(f".{path.name}.part")
    try:
        # Not save_file: its files are readable by their owner alone, whatever the umask.
        beside.write_bytes(save(state, metadata={_KEY: json.dumps(card.to_dict())}))
        beside.replace(path)
    except OSError as problem:
        raise WeightsError(f"{path}: cannot be written: {problem.strerror or problem}") from None
    finally:
        beside.unlink(missing_ok=True)


def read_weights(path: Path) -> tuple[dict[str, Tensor], Card | None]:
    """Tensors by name, on the CPU, and the card; None in a file that nas did not write. Raises WeightsError."""
    from safetensors import SafetensorError, safe_open

    if path.exists() and not path.is_file():  # a named pipe would be waited for
        raise WeightsError(f"{path}: no file of weights: it is no file")
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
            text = (file.metadata() or {}).get(_KEY)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file of weights") from None
    except (OSError, SafetensorError) as problem:
        raise WeightsError(f"{path}: no safetensors file that can be read ({problem})") from None
    if text is None:
        return state, None
    try:
        return state, Card.from_dict(read_json(text))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, NasError) as problem:
        raise WeightsError(f"{path}: its card is damaged: {problem}") from None


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Loads `state` into `model`. Raises WeightsError, naming `path` and the first misfit, when it is another network's."""
    own = model.state_dict()
    for name, tensor in own.items():
        if name not in state:
            raise WeightsError(f"{path}: weights of another network: '{name}' is missing{nearest(name, state)}")
        if state[name].shape != tensor.shape:
            raise WeightsError(
                f"{path}: weights of another network: '{name}' is {list(state[name].shape)}, not {list(tensor.shape)}"
            )
    for name in state:
        if name not in own:
            raise WeightsError(f"{path}: weights of another network: it has no '{name}'{nearest(name, own)}")
    model.load_state_dict(dict(state))
