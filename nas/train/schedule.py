"""Optimizers and the course of the learning rate, as a recipe names them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import fx, nn

from nas.config.recipe import OPTIMIZERS, Recipe
from nas.errors import RecipeError

Course = Callable[[Recipe, float, int, float], float]
"""From a recipe, the epoch, all epochs and those of the warm-up to the factor of the learning rate."""


SHARE: Final = "share"
"""Under which a group of parameters says what it has of the learning rate."""


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
    """The recipe's optimizer, for what is not frozen; weight decay may spare what has one dimension: biases, norms, scales.

    Each group says under ``share`` what it has of the learning rate.
    """
    shares = _shares(model, recipe)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for decayed in (True, False):
        for name, p in model.named_parameters():
            if p.requires_grad and (recipe.decay_norm_bias or p.ndim > 1) == decayed:
                groups.setdefault((decayed, shares.get(name, 1.0)), []).append(p)
    return OPTIMIZERS[recipe.optimizer].make(
        [
            {"params": params, "weight_decay": recipe.weight_decay if decayed else 0.0, SHARE: share}
            for (decayed, share), params in groups.items()
        ],
        recipe,
    )


def freeze(model: nn.Module, recipe: Recipe) -> None:
    """Keeps the weights of the recipe's first stages as they are. Raises RecipeError where there is no stage left to train."""
    if not recipe.frozen:
        return
    stage_of = stages(model)
    last = max(stage_of.values(), default=0)
    if recipe.frozen > last:
        raise RecipeError(
            f"frozen: the network has {last + 1} stages, the last of which must learn, not {recipe.frozen}"
        )
    for name, p in model.named_parameters():
        p.requires_grad_(stage_of.get(name, last) >= recipe.frozen)


def stages(model: nn.Module) -> dict[str, int]:
    """The stage of each parameter, counted from 0: of what works on maps of one size; the classifier is the last one's.

    A model that was not compiled from an architecture has one stage.
    """
    sizes: dict[tuple[int, ...], int] = {}
    found: dict[str, int] = {}
    for node in model.graph.nodes if isinstance(model, fx.GraphModule) else ():
        if node.op != "call_module":
            continue
        shape = tuple(node.meta.get("shape", ()))
        size = shape[1:] if len(shape) == 3 else next(reversed(sizes), ())
        stage = sizes.setdefault(size, len(sizes))
        for name, _ in model.get_submodule(str(node.target)).named_parameters(prefix=str(node.target)):
            found[name] = stage
    return found


def _shares(model: nn.Module, recipe: Recipe) -> dict[str, float]:
    """What each parameter has of the learning rate."""
    if recipe.layer_decay == 1:
        return {}
    stage_of = stages(model)
    last = max(stage_of.values(), default=0)
    return {name: recipe.layer_decay ** (last - stage) for name, stage in stage_of.items()}
