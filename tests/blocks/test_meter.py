"""What is measured without computing: shape rules against PyTorch's own, and peaks by hand."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import blocks.base
from blocks import ShapeError, measure
from blocks.base import Scalar, Shape, block
from blocks.meter import Meter, without_weights
from blocks.rules import RULES
from nas.errors import BlockError
from nas.plugins.registry import Registry

aten = torch.ops.aten


def t(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(shape, dtype=dtype)


X = t(2, 6, 7, 9)
UNARY = [aten.relu, aten.hardtanh, aten.sigmoid, aten.silu, aten.gelu, aten.hardswish, aten.sqrt]
BATCH_NORM = (t(6), t(6), t(6), t(6), False, 0.1, 1e-5)

APPLICABLE: list[tuple[Any, tuple[Any, ...]]] = [
    *[(op.default, (X,)) for op in UNARY],
    *[(op.default, (t(2, 3, dtype=torch.bfloat16),)) for op in UNARY],
    (aten.add.Tensor, (X, X)),
    (aten.add.Tensor, (X, t(2, 6, 1, 1))),
    (aten.sub.Tensor, (X, t(2, 6, 1, 1))),
    (aten.mul.Tensor, (t(2, 6, 7, 1), t(1, 6, 1, 9))),
    (aten.mul.Tensor, (X, 0.0)),
    (aten.mul.Scalar, (X, 0.5)),
    (aten.add.Tensor, (X, 2)),
    (aten.mean.dim, (X, [2, 3])),
    (aten.mean.dim, (X, [-1, 1], True)),
    (aten.amax.default, (X, [1], True)),
    (aten.cat.default, ([X, X, t(2, 1, 7, 9)], 1)),
    (aten.cat.default, ([t(3, 4), t(2, 4)],)),
    (aten.stack.default, ([X, X, X], 2)),
    (aten.stack.default, ([X, X], 4)),
    (aten.linspace.default, (-0.5, 0.5, 7)),
    (aten.convolution.default, (X, t(8, 6, 3, 3), t(8), [1, 1], [1, 1], [1, 1], False, [0, 0], 1)),
    (aten.convolution.default, (X, t(9, 2, 3, 5), None, [2, 1], [0, 4], [1, 2], False, [0, 0], 3)),
    (aten.convolution.default, (X, t(6, 1, 7, 7), None, [4, 4], [3, 3], [1, 1], False, [0, 0], 6)),
    (aten.convolution.default, (t(2, 1, 8), t(1, 1, 3), None, [1], [1], [1], False, [0], 1)),
    (aten.max_pool2d_with_indices.default, (X, [2, 2], [2, 2])),
    (aten.max_pool2d_with_indices.default, (X, [3, 3], [2, 2], [1, 1])),
    (aten.max_pool2d_with_indices.default, (X, [3], [2], [1], [2], True)),
    *[(aten.avg_pool2d.default, (t(1, 2, n, 5), [k, k], [s, s], [0, 0], True, False)) for n in range(2, 10)
      for k, s in ((4, 4), (3, 2), (2, 4), (8, 8))],
    (aten.avg_pool2d.default, (X, [4, 4])),
    (aten.avg_pool2d.default, (X, [3, 3], [1, 1], [1, 1], False, False)),
    (aten.native_batch_norm.default, (X, *BATCH_NORM)),
    (aten.native_group_norm.default, (X, t(6), t(6), 2, 6, 63, 3, 1e-5)),
    (aten.upsample_bilinear2d.default, (X, [14, 3], False)),
    (aten.upsample_nearest2d.default, (X, [14, 3])),
    (aten.constant_pad_nd.default, (X, [1, 2, 0, 3], 0.0)),
    (aten.constant_pad_nd.default, (X, [0, 0, 0, 0, 2, 4])),
    (aten._softmax.default, (t(2, 3, 4), 2, False)),
    (aten._softmax.default, (t(2, 3, dtype=torch.bfloat16), -2, False)),
    (aten._safe_softmax.default, (t(2, 3, 4), -1)),
    (aten.native_layer_norm.default, (X, [9], t(9), t(9), 1e-5)),
    (aten.native_layer_norm.default, (X, [7, 9], t(7, 9), t(7, 9), 1e-5)),
    (aten.grid_sampler_2d.default, (X, t(2, 4, 5, 2), 0, 0, False)),
    (aten.bmm.default, (t(2, 3, 4), t(2, 4, 5))),
    (aten.mm.default, (t(2, 3), t(3, 5))),
    (aten.addmm.default, (t(5), t(2, 3), t(3, 5))),
]  # fmt: skip

REFUSED: list[tuple[Any, tuple[Any, ...]]] = [
    (aten.sigmoid.default, (t(2, dtype=torch.int64),)),
    (aten.add.Tensor, (X, t(2, 6, 7, 9, dtype=torch.float64))),
    (aten.add.Tensor, (X, t(2, 5, 7, 9))),
    (aten.sub.Tensor, (X, t(2, 6, 7, 8))),
    (aten.mul.Tensor, (X, t(9))),
    (aten.mean.dim, (X, [4])),
    (aten.amax.default, (X, [4])),
    (aten.mean.dim, (X, None)),
    (aten.cat.default, ([X, t(2, 6, 7, 8)], 1)),
    (aten.cat.default, ([X, X], -1)),
    (aten.stack.default, ([X, t(2, 6, 7, 8)], 1)),
    (aten.stack.default, ([X, X], -1)),
    (aten.linspace.default, (-0.5, 0.5, -1)),
    (aten.convolution.default, (X, t(8, 5, 3, 3), None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)),
    (aten.convolution.default, (X, t(8, 6, 9, 3), None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1)),
    (aten.convolution.default, (X, t(6, 8, 3, 3), None, [1, 1], [0, 0], [1, 1], True, [0, 0], 1)),
    (aten.max_pool2d_with_indices.default, (X, [8, 8], [8, 8])),
    (aten.max_pool2d_with_indices.default, (X, [2, 2], [2, 2], [2, 2])),
    (aten.avg_pool2d.default, (X, [8, 8])),
    (aten.avg_pool2d.default, (t(1, 2, 1, 5), [3, 3], [2, 2], [0, 0], True)),
    (aten.native_batch_norm.default, (X, *(t(5) for _ in range(4)), False, 0.1, 1e-5)),
    (aten.native_batch_norm.default, (X, *(t(6) for _ in range(4)), True, 0.1, 1e-5)),
    (aten.native_group_norm.default, (X, None, None, 2, 6, 63, 3, 1e-5)),
    (aten.native_group_norm.default, (X, t(6), t(6), 2, 6, 63, 4, 1e-5)),
    (aten.upsample_bilinear2d.default, (X, [0, 3], False)),
    (aten.upsample_nearest2d.default, (X, [0, 3])),
    (aten.constant_pad_nd.default, (X, [1, 2, 0])),
    (aten.constant_pad_nd.default, (X, [-20, 0])),
    (aten.mul.Scalar, (t(2, dtype=torch.int64), 2)),
    (aten._softmax.default, (X, 4, False)),
    (aten._safe_softmax.default, (X, 1, torch.float64)),
    (aten._softmax.default, (t(2, 3, dtype=torch.float16), 1, True)),
    (aten.native_layer_norm.default, (X, [9], None, None, 1e-5)),
    (aten.native_layer_norm.default, (X, [7], t(7), t(7), 1e-5)),
    (aten.grid_sampler_2d.default, (X, t(2, 4, 5, 3), 0, 0, False)),
    (aten.bmm.default, (t(2, 3, 4), t(1, 4, 5))),
    (aten.mm.default, (t(2, 3), t(4, 5))),
    (aten.addmm.default, (t(4), t(2, 3), t(3, 5))),
]


def described(result: Any) -> list[tuple[Any, ...]]:
    tensors = result if isinstance(result, tuple | list) else [result]
    return [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]


def test_rules_give_what_the_operation_gives() -> None:
    for place, (operation, arguments) in enumerate(APPLICABLE):
        given, expected = RULES[operation](*arguments), operation(*arguments)
        assert described(given) == described(expected), f"{operation}, case {place}"


def test_rules_leave_the_rest_to_pytorch() -> None:
    for place, (operation, arguments) in enumerate(REFUSED):
        assert RULES[operation](*arguments) is None, f"{operation}, case {place}"


def test_every_rule_is_tried() -> None:
    assert (
        set(RULES)
        == {operation for operation, _ in APPLICABLE}
        == {operation for operation, _ in REFUSED} | {op.default for op in UNARY}
    )


# Peaks of 32-bit floats, counted by hand. M: one map of 4 × 6 × 8 values.
M = 4 * 6 * 8 * 4
INPUT: Shape = (4, 6, 8)


@pytest.mark.parametrize(
    ("name", "params", "peak"),
    [
        ("conv", {}, 2 * M),  # the convolution's map and the norm's; then the norm's and the activation's
        ("conv", {"norm": "none", "activation": "none"}, M),
        ("conv", {"norm": "none"}, 2 * M),
        ("conv", {"channels": 8}, 4 * M),
        ("conv", {"stride": 2}, 2 * M // 4),
        ("conv", {"norm": "group"}, 2 * M + 2 * 2 * 4),  # mean and deviation of each of two groups
        ("inverted_residual", {"expansion": 3}, 2 * 3 * M),  # two wide maps
        ("basic_residual", {}, 2 * M),  # never more than two, because the shortcut is the input
        ("basic_residual", {"channels": 8}, 6 * M),  # layers' result, and convolution and norm of the shortcut
        ("max_pool", {}, M // 4 + M // 2),  # values, and indices of eight bytes
        ("avg_pool", {}, M // 4),
        ("identity", {}, 0),
        ("zero", {}, M),
        ("projection", {}, 0),
        ("classifier", {}, (4 + 10) * 4),  # means and logits; weights are not activations
        ("classifier", {"pool": "flatten"}, 10 * 4),  # a view of the input is no memory
        ("se", {"reduction": 4}, M + 2 * 4 * 4),  # its input is not its own; mean and weights are small
    ],
)
def test_peak_by_hand(name: str, params: dict[str, Scalar], peak: int) -> None:
    assert facts(name, params, (INPUT,)).peak_bytes == peak


@pytest.mark.parametrize(("name", "peak"), [("add", 2 * M), ("multiply", 2 * M), ("concat", 3 * M)])
def test_peak_of_merges(name: str, peak: int) -> None:
    assert facts(name, {}, (INPUT, INPUT, INPUT)).peak_bytes == peak
    assert facts(name, {}, (INPUT,)).peak_bytes == 0


@pytest.mark.parametrize(
    ("name", "params", "layers"),
    [
        ("conv", {}, 1),
        ("max_pool", {}, 0),
        ("basic_residual", {}, 2),
        ("basic_residual", {"channels": 8}, 2),  # a projection as shortcut is beside the way
        ("basic_residual", {"gate": "se", "gate_reduction": 4}, 2),  # what weighs a map is beside it too
        ("bottleneck_residual", {"attention": "both", "reduction": 2}, 3),
        ("inverted_residual", {}, 3),
        ("multi_scale", {"scales": 2}, 2),  # side by side, then fused
        ("transformer_encoder", {"depth": 3}, 12),  # queries, projection and two of the MLP
        ("classifier", {"hidden": 8}, 2),
    ],
)
def test_layers_by_hand(name: str, params: dict[str, Scalar], layers: int) -> None:
    assert facts(name, params, (INPUT,)).layers == layers


def facts(name: str, params: dict[str, Scalar], shapes: tuple[Shape, ...]) -> blocks.Facts:
    return measure(name, tuple(sorted(params.items())), shapes, 10)


def test_weights_that_scale_a_map_do_not_gate_it() -> None:
    x, gamma, kernel = (torch.empty(*shape, device="meta") for shape in ((1, 4, 6, 6), (4,), (4, 4, 3, 3)))
    with torch.no_grad(), Meter([x, gamma, kernel], [x], [gamma, kernel]) as meter:
        y = nn.functional.conv2d(x, kernel) * gamma.sigmoid().view(1, 4, 1, 1)
        assert meter.layers(y) == 1
        assert meter.layers(nn.functional.conv2d(y, kernel) * y.mean((2, 3), keepdim=True)) == 2
        assert meter.layers(torch.cat([y, nn.functional.conv2d(y, kernel, padding=1)], 1)) == 2


def test_a_tensor_that_is_let_go_counts_no_more() -> None:
    with torch.no_grad(), Meter([]) as meter:
        for _ in range(5):
            x = torch.empty(10, device="meta")
            x = x.relu()
    assert meter.peak_bytes == 2 * 40


def test_attention_is_one_operation() -> None:
    """As on real devices; where no fused kernel would run, it is what PyTorch makes of it."""
    query, key, wide = (torch.empty(1, 2, *shape, device="meta") for shape in ((50, 8), (30, 8), (30, 16)))
    score, out = 4 * 2 * 50 * 30, 4 * 2 * 50 * 8
    for value, options, macs, peak in (
        (key, {"dropout_p": 0.0, "scale": 1.0}, 2 * 2 * 50 * 30 * 8, out + 4 * 2 * 50),
        (key, {"attn_mask": torch.empty(50, 30, device="meta")}, 2 * 2 * 50 * 30 * 8, score),
        (wide, {}, 2 * 50 * 30 * (8 + 16), score),
    ):
        with torch.no_grad(), Meter([query, key, wide]) as meter:
            nn.functional.scaled_dot_product_attention(query, key, value, **options)  # type: ignore[arg-type]
        assert meter.macs == macs
        assert meter.peak_bytes == peak if peak < score else meter.peak_bytes > peak


def test_nothing_is_allocated_and_no_random_number_drawn() -> None:
    state, drawn = torch.random.get_rng_state(), random.getstate()
    with without_weights():
        module = nn.Sequential(nn.Linear(100_000, 100_000), nn.BatchNorm2d(1_000_000))  # 40 GB
    assert {tensor.device.type for tensor in [*module.parameters(), *module.buffers()]} == {"meta"}
    found = facts("classifier", {"pool": "flatten", "hidden": 8192}, ((4096, 64, 64),))
    assert found.parameters == 4096 * 64 * 64 * 8192 + 8192 + 8192 * 10 + 10  # 550 GB
    assert torch.equal(state, torch.random.get_rng_state())
    assert drawn == random.getstate()
    assert nn.Linear(2, 2).weight.any(), "initialization works again outside"


def test_remembered_refusals_are_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"groups 16 do not divide the channels 24 and 24"):
            facts("conv", {"groups": 16}, ((24, 6, 6),))


def test_an_operation_that_does_not_fit_is_a_shape_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks.base, "BLOCKS", Registry("block", "nas.nothing", BlockError))

    @block("unpadded", source="none, 0")
    class Unpadded(nn.Module):
        """x (B, C, H, W) -> (B, C, H - 4, W - 4)"""

        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_channels, in_channels, 5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(x)
            return y

    assert facts("unpadded", {}, ((2, 6, 5),)).out_shape == (2, 2, 1)
    with pytest.raises(ShapeError, match=r"block 'unpadded' cannot take 2×6×4: .*[Kk]ernel size"):
        facts("unpadded", {}, ((2, 6, 4),))


def test_what_is_remembered_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    known = facts("conv", {}, ((64, 32, 32),))
    monkeypatch.setattr(blocks.base, "_measure", lambda *arguments: pytest.fail("measured again"))
    assert facts("conv", {}, ((64, 32, 32),)) == known


def test_the_first_measurement_imports_no_compiler() -> None:
    """PyTorch's meta kernels and modes would import sympy and torch._dynamo first, which takes a second."""
    program = (
        "import sys\n"
        "from tests.blocks.cases import one_changed\n"
        "for case in one_changed():\n"
        "    case.measure()\n"
        "print([name for name in ('sympy', 'torch._dynamo') if name in sys.modules])\n"
    )
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
