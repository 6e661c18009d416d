"""Multiply-accumulates: the same whatever kernel and version of PyTorch computes, and never silently 0."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import flop_registry

import blocks.base
from blocks import ShapeError, measure
from blocks.base import block
from blocks.counting import COUNTING_RULES, FORMULAS, UncountedError, multiply_accumulates
from blocks.meter import Meter
from nas.errors import BlockError
from nas.plugins.registry import Registry
from tests.blocks import costs
from tests.blocks.cases import Case, one_changed

aten = torch.ops.aten
KERNELS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "math": (aten._scaled_dot_product_attention_math, ()),
    "flash": (aten._scaled_dot_product_flash_attention, ()),
    "flash for the CPU": (aten._scaled_dot_product_flash_attention_for_cpu, ()),
    "efficient": (aten._scaled_dot_product_efficient_attention, (None, False)),
    "cudnn": (aten._scaled_dot_product_cudnn_attention, (None, False)),
}
BACKENDS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
    ),
]


class Kernel(TorchFunctionMode):
    """Attention by one kernel, or taken apart where that kernel cannot: what PyTorch's dispatcher does."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.kernel, self.rest = KERNELS[name]
        self.needs_equal_sizes = "flash" in name
        self.calls = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        self.calls += 1
        query, key, value = args
        kernel, rest = self.kernel, self.rest
        if self.needs_equal_sizes and query.shape[-1] != value.shape[-1]:
            kernel, rest = KERNELS["math"]
        return kernel(query, key, value, *rest, scale=kwargs.get("scale"))[0]


@cache
def with_attention() -> list[Case]:
    """The cases in which PyTorch's attention is called: to the others its kernels are nothing."""
    return [case for case in one_changed() if _count(case, "math")]


def _count(case: Case, name: str) -> int:
    """Counts a case whose attention is computed by this kernel, and gives how often it is."""
    with torch.device("meta"):
        module = case.make().eval()
        inputs = [torch.empty(1, *shape) for shape in case.shapes]
    # Entered after the meter, the kernel comes first: the meter sees only the operation that is dispatched.
    with torch.no_grad(), Meter(inputs) as meter, Kernel(name) as kernel:
        module(*inputs)
    assert meter.macs == case.measure().macs, case
    return kernel.calls


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_of_attention_counts_the_same(name: str) -> None:
    assert sum(_count(case, name) for case in with_attention()) >= 20, "blocks with attention are among the cases"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_admitted_backend_counts_the_same(backend: str, device: str) -> None:
    """Admitted: the one asked for, or taken apart where this device has no such kernel."""
    for case in with_attention():
        module = case.make().eval().to(device)
        inputs = [x.to(device) for x in case.inputs(batch=1)]
        with sdpa_kernel([BACKENDS[backend], SDPBackend.MATH]):
            with torch.no_grad(), Meter(inputs) as meter:
                module(*inputs)
            measured = blocks.base._measure(blocks.BLOCKS[case.block], dict(case.params), case.shapes, 10)
        assert meter.macs == measured.macs == case.measure().macs, case
        assert measured.peak_bytes == case.measure().peak_bytes, case


def test_gated_self_attention_by_hand() -> None:
    """64 channels at 32×32 in 4 heads: the 1,024 positions of the map look at 8×8 windows of it, in 32 channels."""
    positions, keys, hidden, channels = 32 * 32, 8 * 8, 32, 64
    convolutions = positions * (channels * hidden + hidden * hidden + hidden * channels + channels * channels)
    attention = positions * keys * 2 * hidden
    pooled = keys * 2 * hidden * hidden
    assert convolutions + attention + pooled == 13_762_560
    assert measure("gated_self_attention", (), ((64, 32, 32),), 10).macs == 13_762_560


def test_costs_are_those_that_studies_recorded() -> None:
    """Whoever means to change a cost raises COUNTING_RULES and writes `costs.json` anew: `python -m tests.blocks.costs`."""
    recorded = json.loads(costs.FILE.read_text())
    assert recorded["counting_rules"] == COUNTING_RULES
    counted = costs.counted()
    known = {case: cost for case, cost in recorded["costs"].items() if case in counted}  # values may come and go
    assert len(known) > 400
    assert {case: counted[case] for case in known} == known


def t(*shape: int) -> Tensor:
    return torch.ones(shape)


CONV = (t(8), [1, 1], [1, 1], [1, 1])
CALLS: list[tuple[Any, tuple[Any, ...], int]] = [
    (aten.mm.default, (t(2, 3), t(3, 5)), 30),
    (aten.bmm.default, (t(7, 2, 3), t(7, 3, 5)), 210),
    (aten.mv.default, (t(2, 3), t(3)), 6),
    (aten.addmm.default, (t(5), t(2, 3), t(3, 5)), 30),
    (aten.baddbmm.default, (t(1, 1, 5), t(7, 2, 3), t(7, 3, 5)), 210),
    (aten.addmv.default, (t(2), t(2, 3), t(3)), 6),
    (aten.dot.default, (t(9), t(9)), 9),
    (aten.vdot.default, (t(9), t(9)), 9),
    (aten._cdist_forward.default, (t(2, 4, 3), t(2, 5, 3), 2.0, None), 120),
    (aten.convolution.default, (t(2, 6, 7, 9), t(8, 6, 3, 3), *CONV, False, [0, 0], 1), 2 * 63 * 8 * 6 * 9),
    (aten.convolution.default, (t(2, 6, 7, 9), t(8, 3, 3, 3), *CONV, False, [0, 0], 2), 2 * 63 * 8 * 3 * 9),
    (aten.convolution.default, (t(2, 6, 7, 9), t(6, 8, 3, 3), *CONV, True, [0, 0], 1), 2 * 63 * 8 * 6 * 9),
    (aten.convolution.default, (t(1, 1, 8), t(1, 1, 3), None, [1], [1], [1], False, [0], 1), 24),
    *[
        (kernel.default, (t(2, 3, 5, 8), t(2, 3, 7, 8), t(2, 3, 7, 8), *rest), 2 * 3 * 5 * 7 * 16)
        for name, (kernel, rest) in KERNELS.items()
        if name != "math"
    ],
]


@pytest.mark.parametrize(("operation", "arguments", "macs"), CALLS, ids=lambda value: getattr(value, "__name__", ""))
def test_formulas(operation: Any, arguments: tuple[Any, ...], macs: int) -> None:
    """By hand, and half of what PyTorch says where its version says anything."""
    on_meta = [x.to("meta") if isinstance(x, Tensor) else x for x in arguments]
    result = operation(*on_meta)
    assert multiply_accumulates(operation, result, tuple(on_meta), {}) == macs
    theirs = flop_registry.get(operation._overloadpacket)
    if theirs is not None:
        assert theirs(*on_meta, out_val=result) == 2 * macs


def test_every_formula_is_tried() -> None:
    assert set(FORMULAS) == {operation._overloadpacket._qualified_op_name for operation, _, _ in CALLS}


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"enable_gqa": True}, {"scale": 2.0}], ids=str)
def test_attention_of_any_kind_counts_all_pairs(options: dict[str, Any]) -> None:
    query, key = (torch.empty(2, heads, 50, 8, device="meta") for heads in (4, 2 if options.get("enable_gqa") else 4))
    with torch.no_grad(), Meter([query, key]) as meter:
        F.scaled_dot_product_attention(query, key, key, **options)
    assert meter.macs == 2 * 4 * 50 * 50 * (8 + 8)


UNCOUNTED = (
    "_addmm_activation _grouped_mm _int_mm _scaled_mm _sparse_mm addbmm hspmm conv_depthwise3d cudnn_convolution_relu "
    "mkldnn_convolution slow_conv_dilated2d slow_conv3d_forward conv_tbc _native_multi_head_attention mkldnn_linear "
    "_scaled_dot_product_fused_attention_overrideable _flash_attention_forward _trilinear mkldnn_rnn_layer _cudnn_rnn "
    "_thnn_fused_lstm_cell _thnn_fused_gru_cell linalg_vecdot einsum matmul"
)
COUNTED_AS_NOTHING = (
    "relu lgamma igammac digamma cummax cummin hamming_window upsample_linear1d upsample_bilinear2d upsample_trilinear3d "
    "_convert_indices_from_coo_to_csr _foreach_lgamma grid_sampler_2d special_multigammaln mul linspace isin sum"
)


@pytest.mark.parametrize("name", UNCOUNTED.split())
def test_what_multiplies_and_has_no_formula_is_an_error(name: str) -> None:
    with pytest.raises(UncountedError, match=f"operation 'aten::{name}.*has no formula in blocks/counting.py"):
        multiply_accumulates(_overload(name), t(1), (), {})


@pytest.mark.parametrize("name", COUNTED_AS_NOTHING.split())
def test_what_multiplies_no_matrices_counts_nothing(name: str) -> None:
    assert multiply_accumulates(_overload(name), t(1), (), {}) == 0


def _overload(name: str) -> Any:
    packet = getattr(aten, name)
    return getattr(packet, packet.overloads()[0])


def test_a_block_that_cannot_be_counted_is_an_error_and_no_shape_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks.base, "BLOCKS", Registry("block", "nas.nothing", BlockError))

    @block("pairs", source="none, 0")
    class Pairs(nn.Module):
        """x (B, C, H, W) -> (B, C, H, W)"""

        def __init__(self, in_channels: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(in_channels, in_channels, in_channels))

        def forward(self, x: Tensor) -> Tensor:
            y = x.movedim(1, 3)
            return F.bilinear(y, y, self.weight).movedim(3, 1)

    with pytest.raises(
        UncountedError, match="block 'pairs': operation 'aten::_trilinear' multiplies matrices"
    ) as caught:
        measure("pairs", (), ((4, 6, 5),), 10)
    assert not isinstance(caught.value, ShapeError)
