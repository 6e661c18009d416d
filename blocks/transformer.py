"""Transformers: a map becomes tokens, every token reads every other, and tokens become a map or one vector again.

A vision transformer (ViT) is three nodes: patch_embedding, transformer_encoder with `readout` class_token, classifier. A
compact convolutional transformer (CCT) likewise: conv_tokenizer, transformer_encoder with `readout` sequence, classifier.

Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, section 3.1 (eqs. 1-4); Hassani et al. 2021, Escaping the Big
Data Paradigm with Compact Transformers, section 3; Vaswani et al. 2017, Attention Is All You Need; Huang et al. 2016,
Deep Networks with Stochastic Depth.
"""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import OneOf, Range, Shape, ShapeError, Width, block
from blocks.common import (
    Activation,
    Heads,
    KernelSize,
    Norm,
    Rate,
    Stride,
    Switch,
    make_activation,
    make_norm,
    same_padding,
)

_VIT = "Dosovitskiy et al. 2021, An Image is Worth 16x16 Words"
_CCT = "Hassani et al. 2021, Escaping the Big Data Paradigm with Compact Transformers"


@block(
    "patch_embedding", family="embedding", source=f"{_VIT}, section 3.1, eq. 1", link="https://arxiv.org/abs/2010.11929"
)
class PatchEmbedding(nn.Module):
    """x (B, C, H, W) -> (B, channels, ⌈H/patch_size⌉, ⌈W/patch_size⌉)

    Every patch of `patch_size` × `patch_size` positions becomes one vector by the same linear layer.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        patch_size: Annotated[int, OneOf(2, 4, 8, 16), "side of the square that becomes one token"] = 4,
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.embed = nn.Conv2d(in_channels, channels, patch_size, patch_size, bias=norm == "none")
        self.norm = make_norm(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # NOTE not in the paper: where patches do not divide the map, zeros at its right and lower border fill the last.
        missing = (0, -width % self.patch_size, 0, -height % self.patch_size)
        y: Tensor = self.norm(self.embed(F.pad(x, missing) if any(missing) else x))
        return y


@block(
    "conv_tokenizer",
    family="embedding",
    source=f"{_CCT}, section 3 (convolutional tokenizer)",
    link="https://arxiv.org/abs/2104.05704",
)
class ConvTokenizer(nn.Module):
    """x (B, C, H, W) -> (B, channels, H', W'), each of `layers` dividing H and W by 2 · stride, rounded up

    Convolution, ReLU and max-pooling (3×3, stride 2), once or twice: tokens that overlap.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",  # type: ignore[assignment]
        layers: Annotated[int, OneOf(1, 2), "convolutions, each with a pool behind it"] = 1,
        kernel_size: KernelSize = 3,
        stride: Stride = 1,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        # NOTE not in the paper: no bias, and 64 channels between two layers, as in the authors' code.
        widths = [in_channels, *[64] * (layers - 1), channels]
        self.layers = nn.Sequential()
        for inputs, outputs in itertools.pairwise(widths):
            padding = same_padding(kernel_size)
            self.layers.append(nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=False))
            self.layers.append(make_activation(activation))
            self.layers.append(nn.MaxPool2d(3, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class SelfAttention(nn.Module):
    """x (B, N, C) -> (B, N, C): multi-head attention of Vaswani et al., section 3.2.2; weights as in PyTorch's."""

    def __init__(self, channels: int, heads: int, bias: bool, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        qkv_BN3HD = torch.unflatten(self.qkv(x), 2, (3, self.heads, -1))
        query, key, value = qkv_BN3HD.permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        y_BHND = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        y: Tensor = self.project(y_BHND.transpose(1, 2).flatten(2))
        return y


class DropPath(nn.Module):
    """x (B, …) -> (B, …): stochastic depth: in training, zero for a share `rate` of the images and the rest scaled up."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        kept = x.new_empty((x.shape[0], *[1] * (x.dim() - 1))).bernoulli_(keep)
        return x * (kept / keep)


class EncoderLayer(nn.Module):
    """x (B, N, C) -> (B, N, C): x' = x + MSA(LN(x)), then x' + MLP(LN(x')): eqs. 2 and 3."""

    def __init__(
        self,
        channels: int,
        heads: int,
        mlp_ratio: int,
        *,
        activation: str,
        qkv_bias: bool,
        dropout: float,
        attention_dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            make_token_norm(channels),
            SelfAttention(channels, heads, qkv_bias, attention_dropout),
            nn.Dropout(dropout),
            DropPath(drop_path),
        )
        self.mlp = nn.Sequential(
            make_token_norm(channels),
            nn.Linear(channels, mlp_ratio * channels),
            make_activation(activation),
            nn.Dropout(dropout),
            nn.Linear(mlp_ratio * channels, channels),
            nn.Dropout(dropout),
            DropPath(drop_path),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        y: Tensor = x + self.mlp(x)
        return y


def make_token_norm(channels: int) -> nn.LayerNorm:
    """Norm over the channels of each token, with the ε of the authors' ViT."""
    return nn.LayerNorm(channels, eps=1e-6)


def sine_positions(channels: int, height: int, width: int) -> Tensor:
    """Sines and cosines of row and column at C/4 wavelengths from 2π to 10,000 · 2π: (1, H · W, C).

    Raises `ShapeError` when four does not divide the channels.
    """
    if channels % 4:
        raise ShapeError(f"sine positions need a number of channels that 4 divides, not {channels}")
    if torch.get_default_device().type == "meta":  # measured: PyTorch would import its compiler first, for seconds
        return torch.empty(1, height * width, channels)
    frequencies = 10_000.0 ** -(torch.arange(channels // 4) * 4 / channels)
    rows = torch.arange(height)[:, None] * frequencies
    columns = torch.arange(width)[:, None] * frequencies
    angles = torch.stack([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], dim=2).flatten(2)
    return torch.cat([angles.sin(), angles.cos()], dim=2).flatten(0, 1)[None]


@block(
    "transformer_encoder",
    family="transformer",
    source=f"{_VIT}, section 3.1, eqs. 1-4; Hassani et al. 2021, section 3",
    link="https://arxiv.org/abs/2010.11929",
)
class TransformerEncoder(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W), or (B, C, 1, 1) where `readout` is no map

    The positions of a map as tokens through `depth` layers of self-attention and MLP. `readout`: the map again, a class
    token (ViT), or a learned mean of the tokens (sequence pooling, CCT).
    """

    positions: Tensor | None

    def __init__(
        self,
        in_shape: Shape,
        *,
        depth: Annotated[int, Range(1, 24, (1, 2)), "layers of self-attention and MLP"] = 1,
        heads: Heads = 4,
        mlp_ratio: Annotated[int, OneOf(1, 2, 3, 4), "units of the MLP, as a multiple of the channels"] = 4,
        position: Annotated[str, OneOf("none", "learned", "sine"), "what tells a token its place"] = "learned",
        readout: Annotated[
            str,
            OneOf("map", "class_token", "sequence"),
            "the map again, a class token, or a learned mean of all tokens",
        ] = "map",
        qkv_bias: Annotated[Switch, "whether queries, keys and values have a bias"] = True,
        norm_final: Annotated[Switch, "whether a layer norm follows the last layer"] = True,
        activation: Activation = "gelu",
        dropout: Rate = 0.0,
        attention_dropout: Annotated[Rate, "share of attention weights that is dropped in training"] = 0.0,
        drop_path: Annotated[
            Rate, "share of branches that is skipped in training at the last layer, less before (stochastic depth)"
        ] = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = in_shape
        if channels % heads:
            raise ShapeError(f"{heads} heads do not divide the {channels} channels")
        self.readout = readout
        tokens = height * width
        self.class_token = None
        if readout == "class_token":
            self.class_token = nn.Parameter(torch.zeros(1, 1, channels))
            tokens += 1
        if position == "learned":
            self.positions = nn.Parameter(torch.empty(1, tokens, channels))
            nn.init.normal_(self.positions, std=0.02)
        elif position == "sine":
            # NOTE not in the papers: sines of row and column (Beyer et al. 2022, Better plain ViT baselines); Hassani
            # et al. take those of the number of the token. The class token has position 0 in every channel.
            table = F.pad(sine_positions(channels, height, width), (0, 0, tokens - height * width, 0))
            self.register_buffer("positions", table, persistent=False)
        else:
            self.positions = None
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            *[
                EncoderLayer(
                    channels,
                    heads,
                    mlp_ratio,
                    activation=activation,
                    qkv_bias=qkv_bias,
                    dropout=dropout,
                    attention_dropout=attention_dropout,
                    # Huang et al., eq. 4: deeper layers are left out more.
                    drop_path=drop_path * (place + 1) / depth,
                )
                for place in range(depth)
            ]
        )
        self.norm = make_token_norm(channels) if norm_final else nn.Identity()
        # No bias: the softmax does not notice it.
        self.pool = nn.Linear(channels, 1, bias=False) if readout == "sequence" else None
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)  # as the authors of ViT and torchvision
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        tokens_BNC: Tensor = x.flatten(2).transpose(1, 2)
        if self.class_token is not None:
            tokens_BNC = torch.cat([self.class_token.expand(x.shape[0], -1, -1), tokens_BNC], dim=1)
        if self.positions is not None:
            tokens_BNC = tokens_BNC + self.positions
        tokens_BNC = self.norm(self.layers(self.dropout(tokens_BNC)))
        if self.readout == "map":
            return torch.unflatten(tokens_BNC.transpose(1, 2), 2, (height, width))
        if self.pool is None:
            return tokens_BNC[:, 0, :, None, None]
        weights_BN1 = self.pool(tokens_BNC).softmax(1)
        mean_BC1: Tensor = tokens_BNC.transpose(1, 2) @ weights_BN1
        return mean_BC1.unsqueeze(3)
