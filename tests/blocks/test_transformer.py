"""Transformers against torchvision's and timm's on copied weights, and against the sizes that the papers print."""

from __future__ import annotations

import pytest
import torch
from timm.layers import build_sincos2d_pos_embed
from torch import Tensor, nn
from torchvision.models import ViT_B_16_Weights, vision_transformer, vit_b_16

from blocks import BLOCKS, Facts, ShapeError, measure
from blocks.base import Scalar, Shape
from blocks.meter import without_weights
from blocks.transformer import ConvTokenizer, DropPath, PatchEmbedding, TransformerEncoder
from tests.blocks.chain import Step, chain


def vit(patch_size: int, channels: int, **encoder: Scalar) -> list[Step]:
    return [
        ("patch_embedding", {"patch_size": patch_size, "channels": channels}),
        ("transformer_encoder", {"readout": "class_token", **encoder}),
        ("classifier", {}),
    ]


VIT_B_16 = vit(16, 768, depth=12, heads=12, mlp_ratio=4)
CCT_7_3X1: list[Step] = [
    ("conv_tokenizer", {"layers": 1, "kernel_size": 3, "channels": 256}),
    ("transformer_encoder", {"depth": 7, "heads": 4, "mlp_ratio": 2, "readout": "sequence", "qkv_bias": False}),
    ("classifier", {}),
]


def build(shape: Shape, steps: list[Step], classes: int) -> nn.Sequential:
    shapes = chain(shape, steps, classes).shapes
    return nn.Sequential(
        *[BLOCKS[name].make(params, (shape,), classes) for (name, params), shape in zip(steps, shapes, strict=False)]
    )


def copied(theirs: nn.Module) -> dict[str, Tensor]:
    """The state of torchvision's vision transformer under our names."""
    renamed = {
        "mlp.0.": "mlp.1.",  # ours counts the norm before them
        "mlp.3.": "mlp.4.",
        "ln_1": "attention.0",
        "ln_2": "mlp.0",
        "self_attention.in_proj_": "attention.1.qkv.",
        "self_attention.out_proj": "attention.1.project",
        "encoder.layers.encoder_layer_": "1.layers.",
        "encoder.pos_embedding": "1.positions",
        "encoder.ln": "1.norm",
        "class_token": "1.class_token",
        "conv_proj": "0.embed",
        "heads.head": "2.layers.1",
    }
    state = {}
    for name, tensor in theirs.state_dict().items():
        for old, new in renamed.items():
            name = name.replace(old, new)
        state[name] = tensor
    return state


def filled(network: nn.Module) -> nn.Module:
    """Real weights in a module from the meta device."""
    network.to_empty(device="cpu")
    for parameter in network.parameters():
        parameter.data.normal_(std=0.02)
    return network.eval()


def test_vit_b_16_is_torchvisions() -> None:
    """86,567,656 parameters, and the same logits at 224×224 on the same weights."""
    found = chain((3, 224, 224), VIT_B_16, classes=1000)
    assert found.shapes == ((3, 224, 224), (768, 14, 14), (768, 1, 1), (1000,))
    assert found.parameters == 86_567_656
    assert round(found.macs / 1e9, 3) == ViT_B_16_Weights.IMAGENET1K_V1.meta["_ops"]
    torch.manual_seed(0)
    with without_weights():
        theirs, ours = vit_b_16(), build((3, 224, 224), VIT_B_16, 1000)
    filled(theirs)
    ours.load_state_dict(copied(theirs), assign=True)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs(x), atol=1e-4, rtol=1e-4)


def test_gradients_are_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = vision_transformer.VisionTransformer(12, 4, 2, 3, 24, 72, num_classes=5)
    nn.init.normal_(theirs.heads.head.weight)  # torchvision starts it at zero
    ours = build((3, 12, 12), vit(4, 24, depth=2, heads=3, mlp_ratio=3), 5)
    ours.load_state_dict(copied(theirs))
    x = torch.randn(3, 3, 12, 12)
    for network in (theirs.train(), ours.train()):
        network(x).square().sum().backward()
    gradients = dict(ours.named_parameters())
    expected = dict(theirs.named_parameters())
    names = dict(zip(copied(theirs), theirs.state_dict(), strict=True))
    for name, parameter in gradients.items():
        torch.testing.assert_close(parameter.grad, expected[names[name]].grad, atol=1e-4, rtol=1e-3)


def test_cct_7_3x1_has_its_size() -> None:
    """3.76 M parameters for 10 classes at 32×32: table 1 of Hassani et al.; counted by hand."""
    found = chain((3, 32, 32), CCT_7_3X1)
    assert found.shapes == ((3, 32, 32), (256, 16, 16), (256, 1, 1), (10,))
    c, tokens = 256, 16 * 16
    norm, attention, mlp = 2 * c, 3 * c * c + c * c + c, c * 2 * c + 2 * c + 2 * c * c + c
    layers = 7 * (2 * norm + attention + mlp)
    assert found.parameters == 27 * c + tokens * c + layers + norm + c + (10 * c + 10)
    assert round(found.parameters / 1e6, 2) == 3.76


def test_conv_tokenizer() -> None:
    torch.manual_seed(0)
    two = ConvTokenizer(3, channels=8, layers=2)
    assert [tuple(weight.shape) for weight in two.parameters()] == [(64, 3, 3, 3), (8, 64, 3, 3)]
    assert two(torch.randn(2, 3, 32, 32)).shape == (2, 8, 8, 8)
    assert ConvTokenizer(3, channels=8, kernel_size=7, stride=2)(torch.randn(2, 3, 33, 32)).shape == (2, 8, 9, 8)


def test_patches_are_linear_in_themselves() -> None:
    torch.manual_seed(0)
    block = PatchEmbedding(3, channels=5, patch_size=4)
    x = torch.randn(2, 3, 8, 12)
    patch = x[:, :, 4:8, 8:12].flatten(1)
    expected = patch @ block.embed.weight.flatten(1).T + block.embed.bias
    torch.testing.assert_close(block(x)[:, :, 1, 2], expected)


def test_patches_that_do_not_divide_the_map_are_filled_with_zeros() -> None:
    block = PatchEmbedding(3, channels=5, patch_size=4)
    x = torch.randn(2, 3, 7, 9)
    full = torch.zeros(2, 3, 8, 12)
    full[:, :, :7, :9] = x
    torch.testing.assert_close(block(x), block(full))
    assert block(x).shape == (2, 5, 2, 3)


def encoder(shape: Shape = (8, 3, 5), **params: Scalar) -> TransformerEncoder:
    torch.manual_seed(0)
    module = BLOCKS["transformer_encoder"].make(params, (shape,), 10).eval()
    assert isinstance(module, TransformerEncoder)
    return module


def test_sine_positions_are_timms() -> None:
    found = encoder(position="sine").positions
    assert found is not None
    torch.testing.assert_close(found[0], build_sincos2d_pos_embed([3, 5], 8))
    with_class = encoder(position="sine", readout="class_token").positions
    assert with_class is not None
    assert not with_class[:, 0].any()
    assert torch.equal(with_class[:, 1:], found)
    assert "positions" not in encoder(position="sine").state_dict()
    with pytest.raises(ShapeError, match="a number of channels that 4 divides, not 6"):
        encoder((6, 3, 5), position="sine", heads=2)


def test_without_positions_the_order_does_not_matter() -> None:
    x = torch.randn(2, 8, 3, 5)
    order = torch.randperm(15)
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    plain = encoder(position="none")
    torch.testing.assert_close(plain(shuffled).flatten(2), plain(x).flatten(2)[:, :, order], atol=1e-5, rtol=1e-4)
    for position in ("learned", "sine"):
        block = encoder(position=position)
        assert not torch.allclose(block(shuffled).flatten(2), block(x).flatten(2)[:, :, order], atol=1e-3)


def test_sequence_pooling_is_a_weighted_mean() -> None:
    pooled, whole = encoder(readout="sequence"), encoder()
    whole.load_state_dict({name: tensor for name, tensor in pooled.state_dict().items() if not name.startswith("pool")})
    assert pooled.pool is not None
    x = torch.randn(2, 8, 3, 5)
    tokens = whole(x).flatten(2).mT
    weights = torch.softmax(tokens @ pooled.pool.weight[0], dim=1)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    torch.testing.assert_close(pooled(x)[:, :, 0, 0], torch.einsum("bnc,bn->bc", tokens, weights))


def test_heads_divide_the_channels_or_are_refused() -> None:
    with pytest.raises(ShapeError, match="3 heads do not divide the 8 channels"):
        encoder(heads=3)


def test_drop_path_drops_whole_images_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = DropPath(0.25)
    x = torch.ones(4000, 3, 2)
    y = drop(x)
    kept = y[:, 0, 0] != 0
    assert torch.equal(y != 0, kept[:, None, None].expand_as(y))
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / 0.75))
    assert 0.72 < kept.float().mean() < 0.78
    assert drop.eval()(x) is x


def test_drop_path_grows_with_depth() -> None:
    rates = [part.rate for part in encoder(depth=4, drop_path=0.4).modules() if isinstance(part, DropPath)]
    assert rates == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4])


def test_dropouts_are_where_they_belong() -> None:
    """Each of the three kinds of noise acts in training and not in evaluation."""
    x = torch.randn(2, 8, 3, 5)
    for name in ("dropout", "attention_dropout", "drop_path"):
        block = encoder(**{name: 0.5})
        assert torch.equal(block(x), encoder()(x))
        block.train()
        assert not torch.equal(block(x), block(x))


def test_attention_is_measured_as_it_runs() -> None:
    """Both products are counted, and no matrix of tokens by tokens is held."""

    def facts(size: int) -> Facts:
        params: dict[str, Scalar] = {"heads": 4, "mlp_ratio": 1, "position": "none"}
        return measure("transformer_encoder", tuple(params.items()), ((32, size, size),), 10)

    tokens = 32 * 32
    linear_layers = tokens * 32 * 32 * (3 + 1 + 1 + 1)
    assert facts(32).macs == linear_layers + 2 * tokens * tokens * 32
    assert facts(64).peak_bytes < 4.1 * facts(32).peak_bytes
