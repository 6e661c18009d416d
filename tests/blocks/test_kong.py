"""AIM and CAM against the equations of the paper, and the parameters of its three networks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blocks.base import Scalar
from blocks.kong import AdaptiveInteraction, CrossAttention, InteractionConv
from tests.blocks.chain import Chain, Step, chain


def randomized(module: nn.Module) -> nn.Module:
    """Batch norms that do something, so that leaving one out is noticed."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight.data, part.bias.data, part.running_mean):
                assert tensor is not None
                tensor.normal_()
            assert part.running_var is not None
            part.running_var.uniform_(0.5, 2)
    return module.eval()


def norm(x: Tensor, part: nn.Module) -> Tensor:
    if not isinstance(part, nn.BatchNorm2d):
        return x
    assert part.running_mean is not None
    assert part.running_var is not None
    scale = part.weight / (part.running_var + 1e-5).sqrt()
    return (x - part.running_mean[:, None, None]) * scale[:, None, None] + part.bias[:, None, None]


@pytest.mark.parametrize("bn", ["batch", "none"])
@pytest.mark.parametrize(("dilation", "pool"), [(2, 4), (1, 2), (3, 8)])
def test_aim_is_its_equations(bn: str, dilation: int, pool: int) -> None:
    torch.manual_seed(0)
    aim = randomized(AdaptiveInteraction(5, pool_size=pool, dilation=dilation, norm=bn))
    x = torch.randn(2, 5, 16, 24)

    def conv_d(x: Tensor, part: nn.Sequential) -> Tensor:
        (conv, after) = part
        assert isinstance(conv, nn.Conv2d)
        assert (conv.bias is None) == (bn == "batch")
        return norm(F.conv2d(x, conv.weight, conv.bias, padding=dilation, dilation=dilation), after)

    pooled = x.reshape(2, 5, 16 // pool, pool, 24 // pool, pool).mean((3, 5))
    x2 = nn.Upsample((16, 24), mode="bilinear")(conv_d(pooled, aim.context))  # type: ignore[arg-type]  # eq. 1
    x3 = conv_d(x, aim.transform)  # type: ignore[arg-type]  # eq. 2
    expected = conv_d(x3 * torch.sigmoid(x2 + x), aim.output)  # type: ignore[arg-type]  # eq. 3
    torch.testing.assert_close(aim(x), expected)


def test_aim_in_the_place_of_a_convolution_is_aim_and_an_activation() -> None:
    torch.manual_seed(0)
    aim, conv = randomized(AdaptiveInteraction(5)), InteractionConv(5, channels=5).eval()
    conv.interaction.load_state_dict(aim.state_dict())
    x = torch.randn(2, 5, 8, 8)
    torch.testing.assert_close(conv(x), aim(x).relu())
    widening = InteractionConv(3, channels=64, activation="none")
    assert widening(torch.randn(2, 3, 8, 8)).shape == (2, 64, 8, 8)
    # Two convolutions of 3 channels look, the last one widens; batch norm after each.
    assert sum(p.numel() for p in widening.parameters()) == 2 * (9 * 9 + 6) + 9 * 3 * 64 + 128


def test_aim_on_a_map_that_the_pool_does_not_divide() -> None:
    aim = AdaptiveInteraction(1, pool_size=4)
    seen: list[Tensor] = []
    aim.context = nn.Sequential(nn.Identity())
    aim.context.register_forward_hook(lambda module, args, output: seen.append(output))
    x = torch.arange(5.0).reshape(1, 1, 1, 5)
    aim.eval()(x)
    assert seen[0].flatten().tolist() == [1.5, 4.0]  # the mean of 0 1 2 3 and of what is left of the second window


@pytest.mark.parametrize("bn", ["batch", "none"])
@pytest.mark.parametrize("compression", ["per_path", "shared"])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_cam_is_its_equations(bn: str, compression: str, kernel_size: int) -> None:
    torch.manual_seed(0)
    cam = randomized(CrossAttention(8, reduction=4, compression=compression, kernel_size=kernel_size, norm=bn))
    assert isinstance(cam, CrossAttention)
    x = torch.randn(2, 8, 5, 7)

    def conv(x: Tensor, part: nn.Sequential, padding: tuple[int, int] = (0, 0)) -> Tensor:
        (conv, after) = part
        assert isinstance(conv, nn.Conv2d)
        return norm(F.conv2d(x, conv.weight, conv.bias, padding=padding), after)

    assert (cam.compress_h is None) == (compression == "shared")
    xv = torch.relu(conv(x, cam.compress_v))  # eq. 4
    xh = torch.relu(conv(x, cam.compress_h or cam.compress_v))
    columns = sum(xv[:, :, i : i + 1, :] for i in range(5)) / 5  # eq. 5
    rows = sum(xh[:, :, :, j : j + 1] for j in range(7)) / 7  # eq. 6
    v = conv(torch.as_tensor(columns), cam.encode_v, (0, kernel_size // 2))  # eq. 7
    h = conv(torch.as_tensor(rows), cam.encode_h, (kernel_size // 2, 0))  # eq. 8
    assert (v.shape, h.shape) == ((2, 2, 1, 7), (2, 2, 5, 1))
    v, h = (F.interpolate(part, (5, 7), mode="bilinear") for part in (v, h))
    xc = conv(torch.relu(v + h), cam.expand)  # eq. 9
    torch.testing.assert_close(cam(x), x * torch.sigmoid(xc))  # eq. 10


def network(second: Step, *attention: Step) -> Chain:
    """Four stages of 64 to 512 channels: 3×3 convolution, `second`, `attention`, 2×2 max-pool; then a linear layer."""
    steps: list[Step] = []
    for channels in (64, 128, 256, 512):
        conv: Step = ("conv", {"channels": channels, "norm": "none"})
        steps += [conv, second, *attention, ("max_pool", {})]
    return chain((3, 32, 32), [*steps, ("classifier", {"pool": "flatten", "dropout": 0.4})])


PLAIN: Step = ("conv", {"norm": "none"})


@pytest.mark.parametrize(
    ("found", "parameters", "printed"),
    [
        (network(PLAIN), 4_705_866, 17.95),
        (network(("aim", {})), 10_977_546, 41.88),
        (network(("aim", {}), ("cam", {})), 11_374_986, 43.39),
        (network(("aim", {}), ("cam", {"compression": "shared", "kernel_size": 5})), 11_374_266, 43.39),
        # The letter of the text: one compression, and nothing of batch norm.
        (network(("aim", {}), ("cam", {"compression": "shared", "norm": "none"})), 11_283_866, None),
    ],
    ids=["A", "B", "C", "C with 1x5", "C as in the text"],
)
def test_networks_have_the_printed_size(found: Chain, parameters: int, printed: float | None) -> None:
    assert found.shapes[-2:] == ((512, 2, 2), (10,))
    assert found.parameters == parameters
    if printed is not None:
        assert round(parameters * 4 / 2**20, 2) == printed  # MiB, whatever the table's head says


@pytest.mark.parametrize("channels", [8, 64])
def test_parameters_by_hand(channels: int) -> None:
    def count(block: str, **params: Scalar) -> int:
        return chain((channels, 8, 8), [(block, params)]).parameters

    c, s = channels, channels // 4
    assert count("aim") == 3 * (9 * c * c + 2 * c)
    assert count("aim", norm="none") == 3 * (9 * c * c + c)
    encode, expand = 2 * (3 * s * s + s), s * c + c
    assert count("cam", norm="none") == 2 * (c * s + s) + encode + expand
    assert count("cam", norm="none", compression="shared") == (c * s + s) + encode + expand
    assert count("cam") == count("cam", norm="none") + 4 * 2 * s + 2 * c
