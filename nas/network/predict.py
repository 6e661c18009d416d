"""What a trained network says about single images, and where it looked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.data import load, read_image
from nas.data.task_type import CLASSIFICATION
from nas.errors import DataError, WeightsError
from nas.network.gradcam import Pixels, grad_cam, last_feature_map, overlay
from nas.network.load import Trained
from nas.network.lookup import Network
from nas.network.weights import Card

TOP = 5
SHOWN = 224
"""Pixels of the shorter side of an overlay, at least."""
GAP = 8


@dataclass(frozen=True)
class Prediction:
    """What the network says about one image."""

    image: Path
    classes: tuple[tuple[str, float], ...]
    """Names and probabilities of the most likely classes, the first first."""
    said: tuple[str, ...]
    """Names of the classes that are there for it: the likeliest, or of several labels those above the bound of the task."""
    picture: Pixels | None
    """(H, W, 3): the image as the network saw it, and beside it what spoke for the likeliest class."""


def ready(network: Network, trained: Trained) -> Trained:
    """`trained` with the names of the classes and the scale of the images, read from the data set where they are missing.

    Raises WeightsError, saying how to get weights, when they are random, DataError where the answers are no classes.
    """
    if trained.weights is None:
        raise WeightsError(f"{network.title}: {trained.note}")
    known, card = trained.type, trained.card
    if known is None or known.output(card.input, card.classes) != (card.classes,):
        kind = card.facts.get("task") if known is None else known.name
        raise DataError(f"{network.title}: a task of {kind} has no classes that an image could be said to be of")
    if card.mean and card.class_names:
        return trained
    if network.task is None:
        raise WeightsError(
            f"{trained.weights}: does not say how its images were scaled; weights that nas has written do"
        )
    data = load(network.task.unread(network.task.root))
    return replace(trained, card=replace(card, mean=data.mean, std=data.std, class_names=data.class_names))


def predict(trained: Trained, images: Sequence[Path], *, top: int = TOP, pictures: bool = True) -> list[Prediction]:
    """The `top` most likely classes of each image. Raises DataError for a file that is no image."""
    import torch

    card, model = trained.card, trained.model
    pixels = [read_image(path, card.input) for path in images]
    if not pixels:
        raise DataError("no images")
    x_BCHW = torch.from_numpy(np.stack(pixels)).float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (card.mean, card.std))
    x_BCHW = (x_BCHW - mean) / std
    task_type = trained.type or CLASSIFICATION
    with torch.no_grad():
        shares_BK = task_type.probabilities(model(x_BCHW))
    best = shares_BK.topk(min(top, card.classes))
    said_BK = task_type.said(shares_BK).tolist()
    drawn = _pictures(trained, pixels, x_BCHW, best.indices[:, 0]) if pictures else [None] * len(pixels)
    return [
        Prediction(
            path,
            tuple((_name(card, int(place)), float(share)) for place, share in zip(places, shares, strict=True)),
            tuple(_name(card, place) for place, is_said in enumerate(said) if is_said),
            picture,
        )
        for path, places, shares, said, picture in zip(images, best.indices, best.values, said_BK, drawn, strict=True)
    ]


def _name(card: Card, place: int) -> str:
    return card.class_names[place] if place < len(card.class_names) else f"class {place}"


def _pictures(trained: Trained, pixels: list[Any], x_BCHW: Any, targets: Any) -> list[Pixels]:
    from PIL import Image

    card = trained.card
    layer = last_feature_map(card.architecture, card.input, card.classes)
    maps = grad_cam(trained.model, layer, x_BCHW, targets).numpy()
    pictures = []
    for image_CHW, map_HW in zip(pixels, maps, strict=True):
        rgb = np.repeat(image_CHW, 3, 0) if len(image_CHW) == 1 else image_CHW
        height, width = rgb.shape[1:]
        factor = max(1, -(-SHOWN // min(height, width)))
        size = (width * factor, height * factor)
        large = np.asarray(Image.fromarray(rgb.transpose(1, 2, 0)).resize(size, Image.Resampling.NEAREST))
        gap = np.full((size[1], GAP, 3), 255, dtype=np.uint8)
        pictures.append(np.concatenate([large, gap, overlay(large, map_HW)], axis=1))
    return pictures
