"""Optimizers and the course of the learning rate, as a recipe names them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from nas.config.recipe import OPTIMIZERS, Recipe

Course = Callable[[Recipe, float, int, float], float]
"""From a recipe, the epoch, all epochs and those of the warm-up to the factor of the learning rate."""


def schedule(recipe: Recipe, epoch: float, epochs: int) -> float:
    """The factor of the learning rate at `epoch` (a fraction counts) of `epochs`."""
    warmup = min(max(recipe.warmup_epochs, recipe.warmup * epochs), epochs)
    return _COURSES[recipe.schedule](recipe, epoch, epochs, warmup)


def _one_cycle(recipe: Recipe, epoch: float, epochs: int, warmup: float) -> float:
    rise = warmup or 0.3 * epochs
    if epoch < rise:
        return 0.04 + 0.96 * epoch / rise
    return max(1e-4, _half_cosine(epoch - rise, epochs - rise))


def _warmed(course: Course) -> Course:
    """The course behind a linear rise."""

    def factor(recipe: Recipe, epoch: float, epochs: int, warmup: float) -> float:
        return max(1e-4, epoch / warmup) if epoch < warmup else course(recipe, epoch, epochs, warmup)

    return factor


def _cosine(recipe: Recipe, epoch: float, epochs: int, warmup: float) -> float:
    return _half_cosine(epoch - warmup, epochs - warmup)


def _wsd(recipe: Recipe, epoch: float, epochs: int, warmup: float) -> float:
    return max(1e-4, min(1.0, (epochs - epoch) / (recipe.decay * epochs)))


def _step(recipe: Recipe, epoch: float, epochs: int, warmup: float) -> float:
    at = [milestone * epochs if milestone < 1 else milestone for milestone in recipe.milestones]
    return float(recipe.gamma ** sum(epoch >= milestone for milestone in at))


def _half_cosine(place: float, length: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, place / max(1e-9, length))))


_COURSES: dict[str, Course] = {
    "one_cycle": _one_cycle,
    "cosine": _warmed(_cosine),
    "wsd": _warmed(_wsd),
    "step": _warmed(_step),
    "constant": _warmed(lambda recipe, epoch, epochs, warmup: 1.0),
}


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; weight decay may spare what has one dimension: biases, norms, scales."""
    decayed = [p for p in model.parameters() if recipe.decay_norm_bias or p.ndim > 1]
    others = [p for p in model.parameters() if not recipe.decay_norm_bias and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    return OPTIMIZERS[recipe.optimizer].make(groups, recipe)
