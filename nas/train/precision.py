"""Which precision a training runs in when the recipe leaves it open.

The choice follows rules and is never timed: the same machine, recipe and seed choose the same and give the same network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.config.recipe import Recipe
from nas.train.environment import cpu_name

MAX_DEPTHWISE = 0.03
"""Share of a network's MACs in large depthwise convolutions from which bfloat16 makes a CPU slower.

oneDNN trains depthwise convolutions of 5×5 and more in bfloat16 at 0.4 to 0.9 of the speed of float32, nearly everything
else at 1.1 to 2.3 times (AMD EPYC with AVX512-BF16, one thread, channels-last). Of 42 random networks of attn_cnn and
nas_bench_macro those below this share ran at 1.18 times the speed in bfloat16 (median; 0.71 to 1.80), those above at 0.92
(0.48 to 1.24).
"""


def amp_dtype(recipe: Recipe, device: torch.device, model: nn.Module, input: tuple[int, ...]) -> torch.dtype | None:
    """The type that autocast computes in, or None for float32 throughout. `input` (C, H, W) is an image's shape.

    Left open, it is bfloat16 on CUDA devices that have it and on CPUs where this model gains by it; float16 on other CUDA
    devices, whose tensor cores compute in nothing else (Volta, Turing). On a CPU it is never bfloat16, even if asked for,
    where a convolution is dilated or its stride exceeds its map: oneDNN's gradient of the weights then reads memory that nobody
    wrote, and is NaN or 1e32 as often as not (PyTorch 2.11 to 2.15).
    """
    if device.type != "cpu" or recipe.precision in ("fp32", "fp16"):
        return _of_any_model(recipe, device)
    if (recipe.precision == "auto" and not cpu_gains_from_bf16()) or has_dilation(model):
        return None
    convs = passes(model, input)
    if any(conv.strides_past_its_map for conv in convs):
        return None
    gains = recipe.precision == "bf16" or depthwise_share(convs) < MAX_DEPTHWISE
    return torch.bfloat16 if gains else None


def _of_any_model(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    if recipe.precision != "auto":
        return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return None


def cpu_gains_from_bf16() -> bool:
    """Whether this CPU trains faster in bfloat16: with AMX, or with AVX512-BF16 unless Intel made it.

    Without either bfloat16 is emulated. On an Intel Xeon whose AMX was hidden, ResNet-8 of 98,000 parameters trained at 0.77 of the
    speed of float32 and nine random networks of attn_cnn at 0.92 (medians of three; one thread, batches of 32, PyTorch 2.14.1).
    """
    if torch.cpu._is_amx_tile_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and "intel" not in cpu_name().lower()


def has_dilation(model: nn.Module) -> bool:
    """Whether a convolution is dilated.

    oneDNN's gradients of the weights of such convolutions are wrong in bfloat16, mostly NaN: for stride 1, maps of 32×32,
    dilation 2 and 3, kernels of 3 to 7, most numbers of channels and groups (PyTorch 2.14.1, AMD EPYC with AVX512-BF16).
    """
    return any(isinstance(module, nn.Conv2d) and max(module.dilation) > 1 for module in model.modules())


@dataclass(frozen=True)
class Pass:
    """One convolution at work."""

    macs: int
    is_large_depthwise: bool
    strides_past_its_map: bool


def passes(model: nn.Module, *inputs: tuple[int, ...]) -> list[Pass]:
    """Every two-dimensional convolution as often as the model runs it on inputs (C, H, W); none where none matters here."""
    found: list[Pass] = []
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not any(max(conv.stride) > 1 or _is_large_depthwise(conv) for conv in convs):
        return found

    def watch(conv: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(conv, nn.Conv2d)
        past = any(stride > extent for stride, extent in zip(conv.stride, given[0].shape[2:], strict=True))
        found.append(Pass(out.numel() * math.prod(conv.weight.shape[1:]), _is_large_depthwise(conv), past))

    hooks = [conv.register_forward_hook(watch) for conv in convs]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(*(torch.zeros(1, *shape) for shape in inputs))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def depthwise_share(convs: Sequence[Pass]) -> float:
    """Share of the convolutions' MACs that depthwise ones of 5×5 and more have."""
    return sum(conv.macs for conv in convs if conv.is_large_depthwise) / max(1, sum(conv.macs for conv in convs))


def _is_large_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels > 1 and max(conv.kernel_size) >= 5
