"""Attention-integrated convolution against equations 1 to 8, alone and inside ResNet-50."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from blocks.balashov import AttentionConv, IntegratedConv
from blocks.base import Scalar
from blocks.conv import Conv
from tests.blocks.chain import Chain, Step, chain


def test_without_attention_it_is_a_convolution() -> None:
    torch.manual_seed(0)
    kind = {"channels": 6, "kernel_size": 5, "stride": 2, "dilation": 2, "norm": "batch", "activation": "silu"}
    plain = Conv(4, **kind)  # type: ignore[arg-type]
    block = AttentionConv(4, attention="none", **kind)  # type: ignore[arg-type]
    weights = plain.state_dict()
    block.load_state_dict({name.replace("conv.", "conv.conv."): tensor for name, tensor in weights.items()})
    x = torch.randn(2, 4, 9, 8)
    assert torch.equal(block(x), plain(x))


@pytest.mark.parametrize("attention", ["channel", "spatial", "both"])
@pytest.mark.parametrize(("reduction", "spatial_kernel"), [(2, 1), (4, 7), (32, 3)])
def test_it_is_its_equations(attention: str, reduction: int, spatial_kernel: int) -> None:
    torch.manual_seed(0)
    conv = IntegratedConv(8, 5, 3, attention=attention, reduction=reduction, spatial_kernel=spatial_kernel)
    x = torch.randn(2, 8, 6, 7)
    a_spatial = torch.ones(2, 1, 6, 7)
    a_channel = torch.ones(2, 8, 1, 1)
    if conv.spatial is not None:
        weight, bias = conv.spatial.weight, conv.spatial.bias
        assert weight.shape == (1, 8, spatial_kernel, spatial_kernel)
        a_spatial = torch.sigmoid(F.conv2d(x, weight, bias, padding=(spatial_kernel - 1) // 2))  # eq. 2
    if conv.reduce is not None and conv.expand is not None:
        z = x.sum((2, 3)) / (6 * 7)  # eq. 3
        w1, w2 = conv.reduce.weight, conv.expand.weight
        assert (w1.shape, w2.shape) == ((max(1, 8 // reduction), 8), (8, max(1, 8 // reduction)))
        a_channel = torch.sigmoid(torch.relu(z @ w1.T) @ w2.T)[:, :, None, None]  # eq. 4
    assert (conv.spatial is None, conv.reduce is None) == (attention == "channel", attention == "spatial")
    a = a_channel * a_spatial  # eq. 5
    expected = F.conv2d(a * x, conv.conv.weight, conv.conv.bias, padding=1)  # eq. 6
    torch.testing.assert_close(conv(x), expected)


class Gradients:
    """One step of an attention-integrated convolution in float64: every term of equations 7 and 8, and autograd's."""

    def __init__(self, kernel_size: int, channels: int = 4, groups: int = 1) -> None:
        torch.manual_seed(0)
        block = IntegratedConv(
            channels, channels, kernel_size, attention="both", reduction=2, spatial_kernel=3
        ).double()
        self.weight = block.conv.weight if groups == 1 else block.conv.weight[:, :1]
        self.x = torch.randn(2, channels, 6, 7, dtype=torch.float64, requires_grad=True)
        assert block.spatial is not None
        assert block.reduce is not None
        assert block.expand is not None
        channel = block.expand(block.reduce(self.x.mean((2, 3))).relu()).sigmoid()
        self.a = channel[:, :, None, None] * block.spatial(self.x).sigmoid()  # eqs. 2 to 5
        self.a.retain_grad()
        pad = kernel_size // 2
        y = F.conv2d(self.a * self.x, self.weight, block.conv.bias, padding=pad, groups=groups)  # eq. 6
        if groups == 1:
            torch.testing.assert_close(y, block(self.x))
        self.dy = torch.randn_like(y)
        y.backward(self.dy)  # type: ignore[no-untyped-call]
        assert self.x.grad is not None
        assert self.a.grad is not None
        self.dx, self.da = self.x.grad, self.a.grad
        self.back = F.conv_transpose2d(self.dy, self.weight, padding=pad, groups=groups)  # W^T * dL/dY
        self.w_x = F.conv2d(self.x, self.weight, padding=pad, groups=groups)  # W * X

    @property
    def through_attention(self) -> Tensor:
        """What reaches X by way of A: the product with the Jacobian of equations 2 to 5."""
        return self.dx - self.a * self.back


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_equation_7_is_right_in_its_first_term(kernel_size: int) -> None:
    """A ⊙ (W^T ∗ dL/dY) is the gradient where A is held; its second term is none of any attention of equations 2 to 5.

    The way through A is (dA/dX)^T dL/dA. The paper prints dL/dA ⊙ X, which is that only where dA/dX is X itself, as for
    A = X²/2. Training uses autograd, so nothing depends on it.
    """
    step = Gradients(kernel_size)
    held = step.a.detach()
    x = step.x.detach().requires_grad_()
    F.conv2d(held * x, step.weight, padding=kernel_size // 2).backward(step.dy)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, held * step.back)

    through, printed = step.through_attention, step.da * step.x
    assert (through - printed).norm() > 0.5 * through.norm()

    x = step.x.detach().requires_grad_()
    F.conv2d(x**2 / 2 * x, step.weight, padding=kernel_size // 2).backward(step.dy)  # type: ignore[no-untyped-call]
    da = x * step.back
    torch.testing.assert_close(x.grad, x**2 / 2 * step.back + da * x)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_gradient_of_the_attention(kernel_size: int) -> None:
    """What equation 8 should read: dL/dA = X ⊙ (W^T ∗ dL/dY)."""
    step = Gradients(kernel_size)
    torch.testing.assert_close(step.da, step.x * step.back)


def test_equation_8_is_right_for_a_scalar_kernel() -> None:
    """(W ∗ X) ⊙ dL/dY: for a kernel that is one number, in each channel for itself. There all factors commute."""
    for step in (Gradients(1, channels=1), Gradients(1, groups=4)):
        torch.testing.assert_close(step.da, step.w_x * step.dy)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_equation_8_is_wrong_for_other_kernels(kernel_size: int) -> None:
    """It mixes up channels where W mixes channels, and positions where W is larger than 1×1."""
    step = Gradients(kernel_size)
    printed = step.w_x * step.dy
    assert (printed - step.da).norm() > 0.5 * step.da.norm()
    # Summed over what W mixes it is right: over channels for 1×1 (then it is that of a spatial map) …
    assert torch.allclose(printed.sum(1), step.da.sum(1)) == (kernel_size == 1)
    # … and over everything for any kernel (that of one weight for the whole map).
    torch.testing.assert_close(printed.sum(), step.da.sum())


def test_parameters_by_hand() -> None:
    def count(**params: Scalar) -> int:
        return chain((16, 8, 8), [("attention_conv", {"channels": 24, "norm": "none", **params})]).parameters

    conv = 9 * 16 * 24 + 24
    assert count(attention="none") == conv
    assert count(attention="channel", reduction=4) == conv + 2 * 16 * 4
    assert count(attention="spatial", spatial_kernel=5) == conv + 25 * 16 + 1
    assert count(attention="both", reduction=4, spatial_kernel=5) == conv + 2 * 16 * 4 + 25 * 16 + 1


def resnet50(**bottleneck: Scalar) -> Chain:
    """ResNet-50 (v1.5) for 1,000 classes at 224×224."""
    steps: list[Step] = [
        ("conv", {"channels": 64, "kernel_size": 7, "stride": 2}),
        ("max_pool", {"kernel_size": 3, "stride": 2}),
    ]
    for channels, depth, stride in ((256, 3, 1), (512, 4, 2), (1024, 6, 2), (2048, 3, 2)):
        for place in range(depth):
            kind: dict[str, Scalar] = {"channels": channels, "stride": stride if place == 0 else 1}
            steps.append(("bottleneck_residual", kind | bottleneck))
    return chain((3, 224, 224), [*steps, ("classifier", {})], classes=1000)


@pytest.mark.parametrize(
    ("params", "millions", "giga_macs"),
    [
        ({}, 25.56, 4.09),
        ({"attention": "both", "reduction": 8, "spatial_kernel": 7}, 26.06, 4.18),
        ({"attention": "both", "attention_place": "first", "reduction": 16, "spatial_kernel": 1}, 27.56, 4.10),
        ({"attention": "both", "attention_place": "first", "reduction": 8, "spatial_kernel": 7}, 30.18, 4.37),
    ],
    ids=["plain", "middle", "first-r16-k1", "first-r8-k7"],
)
def test_inside_resnet50(params: dict[str, Scalar], millions: float, giga_macs: float) -> None:
    """Table 5 prints 27.5 M and 4.0 G and does not say where attention is; these are the readings of it."""
    found = resnet50(**params)
    assert found.shapes[2] == (64, 56, 56)
    assert found.shapes[-2:] == ((2048, 7, 7), (1000,))
    assert round(found.parameters / 1e6, 2) == millions
    assert round(found.macs / 1e9, 2) == giga_macs


def test_plain_resnet50_is_resnet50() -> None:
    found = resnet50()
    assert (found.parameters, found.macs) == (25_557_032, 4_089_184_256)
