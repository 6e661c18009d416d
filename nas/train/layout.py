"""In which order the values of images and maps lie in memory while a network is trained."""

from __future__ import annotations

import torch
from torch import nn

from nas.config.recipe import Recipe

FEW_CHANNELS = 16
"""Channels below which oneDNN pads a block of them: 8 with AVX2, 16 with AVX512."""


def memory_layout(recipe: Recipe, device: torch.device, model: nn.Module) -> torch.memory_format:
    """Channels last, unless the recipe says no, or oneDNN cannot train this model so.

    Channels last never lost: 24 random networks trained at 1.05 to 1.64 times the speed on a CPU (fp32, one thread).
    """
    if recipe.channels_last == "no" or (device.type == "cpu" and has_narrow_strided_pointwise(model)):
        return torch.contiguous_format
    return torch.channels_last


def has_narrow_strided_pointwise(model: nn.Module) -> bool:
    """Whether a convolution of 1×1 strides over few channels, as the shortcut of a narrow residual network does.

    With channels last oneDNN's gradient of its weights writes past the memory that it has (uxlfoundation/oneDNN, issue 6035): the
    gradient is wrong, or the process dies (PyTorch 2.14.1, AMD EPYC with AVX2: with 1 to 7 channels, not with 8).
    """
    return any(
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and max(module.stride) > 1
        and module.in_channels // module.groups < FEW_CHANNELS
        for module in model.modules()
    )
