"""Layers and whole stages of timm as blocks: ``timm:eca``, ``timm:ConvNeXtBlock`` and the others of `LAYERS`.

timm (Wightman 2019, PyTorch Image Models) has what it has: each row of `LAYERS` says which of a class's arguments are
hyperparameters, with the values that they may take, and how the class is made for so many channels. `TimmModule` is the one
adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from timm.layers import (
    BlurPool2d,
    EcaModule,
    GlobalContext,
    LayerNorm,
    LayerNorm2d,
    SelectiveKernel,
    SplitAttn,
)
from timm.models._efficientnet_blocks import EdgeResidual, UniversalInvertedResidual
from timm.models.convnext import ConvNeXtBlock, ConvNeXtStage
from torch import Tensor, nn

from blocks.base import BLOCKS, Argument, Scalar, ShapeError, described
from blocks.hyperparameter import OneOf, Width

REPOSITORY = "https://github.com/huggingface/pytorch-image-models"


def _chosen(name: str, default: Scalar, meaning: str, *others: Scalar) -> Argument:
    return Argument(name, (OneOf(*sorted({default, *others}, key=str)), meaning), default)


WIDTH = Argument("channels", Width.__metadata__, "x1")  # type: ignore[attr-defined]
STRIDE = _chosen("stride", 1, "2 halves the map", 2)


@dataclass(frozen=True)
class Layer:
    """One class of timm."""

    about: str
    family: str
    """As `Block.family`."""
    make: Callable[..., nn.Module]
    """From the channels that enter and, by name, hyperparameters."""
    arguments: tuple[Argument, ...] = ()
    widens: bool = field(default=False)
    """Whether it gives another number of channels where that is wanted, by the argument `channels`."""


def _convnext(in_channels: int, *, channels: int, stride: int, **chosen: Any) -> nn.Module:
    if stride == 1 and channels != in_channels:
        raise ShapeError(
            f"block 'timm:ConvNeXtBlock' gives {channels:,} channels of {in_channels:,} where its stride is 2 alone"
        )
    module: nn.Module = ConvNeXtBlock(in_channels, channels, stride=stride, **chosen)
    return module


def _stage(in_channels: int, *, channels: int, **chosen: Any) -> nn.Module:
    # Without drop paths, and with the norms that timm's whole network hands to it.
    norms = {"norm_layer": LayerNorm2d, "norm_layer_cl": LayerNorm}
    module: nn.Module = ConvNeXtStage(in_channels, channels, ls_init_value=1e-6, **norms, **chosen)
    return module


def _split(in_channels: int, *, channels: int, **chosen: Any) -> nn.Module:
    module: nn.Module = SplitAttn(in_channels, channels, norm_layer=nn.BatchNorm2d, **chosen)
    return module


LAYERS: Mapping[str, Layer] = {
    "eca": Layer(
        "Efficient channel attention.", "attention", EcaModule, (_chosen("kernel_size", 3, "side of the kernel", 5, 7),)
    ),
    "gc": Layer(
        "Global context attention.",
        "attention",
        GlobalContext,
        (_chosen("fuse_add", False, "whether the context is added too", True),),
    ),
    "split_attn": Layer(
        "Split attention of ResNeSt.",
        "convolution",
        _split,
        (STRIDE, _chosen("radix", 2, "splits", 1, 4)),
        widens=True,
    ),
    "selective_kernel": Layer(
        "A selective-kernel convolution.",
        "convolution",
        lambda in_channels, *, channels, stride: SelectiveKernel(in_channels, channels, stride=stride),
        (STRIDE,),
        widens=True,
    ),
    "blur_pool": Layer(
        "Pooling behind a blur.", "downsampling", BlurPool2d, (_chosen("filt_size", 3, "side of the blur", 5), STRIDE)
    ),
    "EdgeResidual": Layer(
        "A residual with a dense expansion, of EfficientNet-EdgeTPU and V2.",
        "residual",
        lambda in_channels, *, channels, **chosen: EdgeResidual(in_channels, channels, **chosen),
        (
            STRIDE,
            _chosen("exp_ratio", 4, "widening inside", 1, 2),
            _chosen("exp_kernel_size", 3, "side of the kernel", 5),
        ),
        widens=True,
    ),
    "UniversalInvertedResidual": Layer(
        "The universal inverted bottleneck of MobileNetV4.",
        "residual",
        lambda in_channels, *, channels, **chosen: UniversalInvertedResidual(in_channels, channels, **chosen),
        (
            STRIDE,
            _chosen("exp_ratio", 4, "widening inside", 2, 6),
            _chosen("dw_kernel_size_start", 0, "side of the depthwise kernel before the expansion; 0 for none", 3, 5),
            _chosen("dw_kernel_size_mid", 3, "side of the depthwise kernel inside", 5),
        ),
        widens=True,
    ),
    "ConvNeXtBlock": Layer(
        "A block of ConvNeXt.",
        "residual",
        _convnext,
        (
            STRIDE,
            _chosen("kernel_size", 7, "side of the depthwise kernel", 3, 5),
            _chosen("mlp_ratio", 4, "widening inside", 2, 3),
            _chosen("use_grn", False, "global response normalization, of ConvNeXt V2", True),
        ),
        widens=True,
    ),
    "ConvNeXtStage": Layer(
        "A stage of ConvNeXt: a downsampling where needed, and blocks.",
        "residual",
        _stage,
        (
            _chosen("stride", 2, "2 halves the map", 1),
            _chosen("depth", 2, "blocks", 1, 3, 4),
            _chosen("kernel_size", 7, "side of the depthwise kernels", 3, 5),
        ),
        widens=True,
    ),
}


class TimmModule(nn.Module):
    """x (B, C, H, W) -> (B, channels, H', W')

    A module of timm under a name of `LAYERS`; derived classes name it.
    """

    layer: str

    def __init__(self, in_channels: int, **chosen: Scalar) -> None:
        super().__init__()
        layer = LAYERS[self.layer]
        defaults = {argument.name: argument.default for argument in layer.arguments}
        self.inner = layer.make(in_channels, **{**defaults, **chosen})

    def forward(self, x: Tensor) -> Tensor:
        """As timm computes it."""
        found: Tensor = self.inner(x)
        return found


def _register(name: str, layer: Layer) -> None:
    # All are found at the class that stands in this file, so that an export says what it lacks.
    kind = type("TimmModule", (TimmModule,), {"layer": name, "__module__": __name__, "__qualname__": "TimmModule"})
    arguments = [*layer.arguments, *([WIDTH] if layer.widens else [])]
    out = "(B, channels, H', W')" if layer.widens else "(B, C, H', W')"
    about = f"x (B, C, H, W) -> {out}\n\n{layer.about} As in timm."
    flags = {"source": "timm (Wightman 2019, PyTorch Image Models)", "link": REPOSITORY, "family": layer.family}
    made = described(f"timm:{name}", (__name__, "TimmModule"), about, ("in_channels",), arguments, lambda: kind, flags)
    BLOCKS.add(f"timm:{name}", made)


for _name, _layer in LAYERS.items():
    _register(_name, _layer)
