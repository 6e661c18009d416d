"""Non-local blocks against timm's on copied weights, dual attention against its equations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.layers import NonLocalAttn
from torch import nn

from blocks.non_local import ChannelMeans, DualAttention, NonLocal, PositionMeans


def test_non_local_is_timms() -> None:
    torch.manual_seed(0)
    theirs = NonLocalAttn(8, use_scale=False, rd_channels=4)
    ours = NonLocal(8, reduction=2, subsample=False)
    for conv in (theirs.t, theirs.p, theirs.g, theirs.z):
        nn.init.zeros_(conv.bias)
    nn.init.normal_(theirs.norm.weight)
    names = {"t": "theta", "p": "phi", "g": "g", "z": "expand", "norm": "norm"}
    state = {}
    for name, tensor in theirs.state_dict().items():
        module, _, kind = name.partition(".")
        if module == "norm" or kind == "weight":
            state[f"{names[module]}.{kind}"] = tensor
    ours.load_state_dict(state)
    x = torch.randn(3, 8, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_subsampling_reads_the_largest_of_each_window() -> None:
    """Equation 3 written out; a map that 2 does not divide keeps its border."""
    torch.manual_seed(0)
    block = NonLocal(8, reduction=4, norm="none").eval()
    nn.init.normal_(block.expand.weight)
    x = torch.randn(2, 8, 5, 6)
    theta = block.theta(x).flatten(2)
    phi, g = (F.pad(part(x), (0, 0, 0, 1), value=-torch.inf) for part in (block.phi, block.g))
    phi, g = (part.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4).amax(4).flatten(2) for part in (phi, g))
    assert phi.shape == (2, 2, 9)
    weights = torch.exp(torch.einsum("bcq,bck->bqk", theta, phi))
    weights = weights / weights.sum(2, keepdim=True)
    read = torch.einsum("bqk,bck->bcq", weights, g).view(2, 2, 5, 6)
    torch.testing.assert_close(block(x), x + block.expand(read))


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_both_start_as_the_identity(norm: str) -> None:
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(NonLocal(8, norm=norm)(x), x)
    assert torch.equal(DualAttention(8)(x), x)


def test_dual_attention_is_its_equations() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 4, 5)
    block = DualAttention(8, reduction=4)
    position, channel = block.parts
    assert isinstance(position, PositionMeans)
    assert isinstance(channel, ChannelMeans)
    nn.init.constant_(position.alpha, 0.5)
    nn.init.constant_(channel.beta, 2.0)
    b, c, d = (part(x).flatten(2) for part in (position.query, position.key, position.value))
    s = torch.softmax(torch.einsum("bci,bcj->bji", b, c).transpose(1, 2), dim=2)  # eq. 1: j weighed for each position
    e_position = torch.einsum("bij,bcj->bci", s, d).view_as(x)
    a = x.flatten(2)
    weights = torch.softmax(torch.einsum("bin,bjn->bij", a, a), dim=2)  # eq. 3
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 8))
    e_channel = torch.einsum("bij,bjn->bin", weights, a).view_as(x)
    torch.testing.assert_close(block(x), x + 0.5 * e_position + 2 * e_channel)
    assert len(DualAttention(8, parts="position").parts) == 1
    assert sum(weight.numel() for weight in DualAttention(8, parts="channel").parameters()) == 1
