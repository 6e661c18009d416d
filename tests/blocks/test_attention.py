"""Attention from related work against torchvision, timm and direct formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers import EcaModule, SEModule
from timm.layers.cbam import CbamModule
from torch import nn
from torchvision.ops import SqueezeExcitation as TheirSqueezeExcitation

from blocks.attention import ConvolutionalBlockAttention, EfficientChannelAttention, SqueezeExcitation


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(16, 4, 4), (8, 16, 1), (30, 8, 3)])
def test_se_is_torchvisions(channels: int, reduction: int, hidden: int) -> None:
    torch.manual_seed(0)
    ours = SqueezeExcitation(channels, reduction=reduction)
    theirs = TheirSqueezeExcitation(channels, hidden)
    theirs.load_state_dict(
        {name.replace("reduce", "fc1").replace("expand", "fc2"): value for name, value in ours.state_dict().items()}
    )
    x = torch.randn(2, channels, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def copy_weights(theirs: nn.Module, ours: nn.Module, names: dict[str, str]) -> None:
    """Under our names; what is not named must be a norm, which is left at the identity."""
    state = {}
    for name, tensor in theirs.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module in names:
            state[f"{names[module]}.{kind}"] = tensor
        else:
            assert ".bn." in name
    ours.load_state_dict(state)


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(16, 4, 4), (8, 16, 1), (64, 16, 4)])
def test_se_is_timms(channels: int, reduction: int, hidden: int) -> None:
    torch.manual_seed(0)
    ours, theirs = SqueezeExcitation(channels, reduction=reduction), SEModule(channels, rd_channels=hidden)
    copy_weights(theirs, ours, {"fc1": "reduce", "fc2": "expand"})
    x = torch.randn(2, channels, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("spatial_kernel", [3, 7])
def test_cbam_is_timms(spatial_kernel: int) -> None:
    """Theirs has a batch norm after the spatial convolution, which is nearly the identity before it is trained."""
    torch.manual_seed(0)
    ours = ConvolutionalBlockAttention(16, reduction=4, spatial_kernel=spatial_kernel)
    theirs = CbamModule(16, rd_channels=4, spatial_kernel_size=spatial_kernel).eval()
    for part in theirs.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.0
    copy_weights(theirs, ours, {"channel.fc1": "reduce", "channel.fc2": "expand", "spatial.conv.conv": "spatial"})
    x = torch.randn(2, 16, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_eca_is_timms(kernel_size: int) -> None:
    torch.manual_seed(0)
    ours, theirs = EfficientChannelAttention(16, kernel_size=kernel_size), EcaModule(kernel_size=kernel_size)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 16, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("channels", "kernel"), [(1, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (2048, 7)])
def test_eca_kernel_follows_the_papers_rule(channels: int, kernel: int) -> None:
    """Equation 12 with γ = 2 and b = 1; the odd number as in the authors' code (128 channels: 4 → 5)."""
    assert EfficientChannelAttention(channels).conv.kernel_size == (kernel,)


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_eca_is_its_equation(kernel_size: int) -> None:
    torch.manual_seed(0)
    eca = EfficientChannelAttention(6, kernel_size=kernel_size)
    x = torch.randn(2, 6, 4, 5)
    means = x.mean((2, 3))
    weights = eca.conv.weight.flatten()
    expected = torch.empty_like(x)
    for channel in range(6):  # eq. 9, written out: channel i sees its neighbours i - k/2 … i + k/2
        total = torch.zeros(2)
        for place in range(kernel_size):
            neighbour = channel + place - kernel_size // 2
            if 0 <= neighbour < 6:
                total = total + weights[place] * means[:, neighbour]
        expected[:, channel] = x[:, channel] * torch.sigmoid(total)[:, None, None]
    torch.testing.assert_close(eca(x), expected)


@pytest.mark.parametrize("spatial_kernel", [3, 7])
def test_cbam_is_its_equations(spatial_kernel: int) -> None:
    torch.manual_seed(0)
    cbam = ConvolutionalBlockAttention(8, reduction=4, spatial_kernel=spatial_kernel)
    x = torch.randn(2, 8, 5, 6)
    w0, w1 = cbam.reduce.weight[:, :, 0, 0], cbam.expand.weight[:, :, 0, 0]

    def network(z: torch.Tensor) -> torch.Tensor:
        return torch.relu(z @ w0.T) @ w1.T

    flat = x.flatten(2)
    channel = torch.sigmoid(network(flat.mean(2)) + network(flat.max(2).values))[:, :, None, None]  # eq. 2
    refined = channel * x
    summary = torch.stack([refined.mean(1), refined.max(1).values], dim=1)
    spatial = torch.sigmoid(F.conv2d(summary, cbam.spatial.weight, padding=spatial_kernel // 2))  # eq. 3
    torch.testing.assert_close(cbam(x), spatial * refined)
    assert sum(weight.numel() for weight in cbam.parameters()) == 2 * 8 * 2 + 2 * spatial_kernel**2
