"""What holds for every block with any hyperparameters: each property as a function of a case, which fails where it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from blocks import ShapeError
from nas.train.precision import passes
from tests.blocks.cases import Case

Property = Callable[[Case], None]


def run(module: nn.Module, inputs: list[Tensor]) -> Tensor:
    """The output, without gradients."""
    with torch.no_grad():
        output = module(*inputs)
    assert isinstance(output, Tensor)
    return output


def what_is_measured_is_real(case: Case) -> None:
    facts = case.measure()
    module = case.make().eval()
    inputs = case.inputs(batch=1)
    # PyTorch counts the matrix products of attention taken apart in every version, its kernels only in some.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = run(module, inputs)
    assert tuple(output.shape[1:]) == facts.out_shape
    assert facts.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert facts.macs * 2 == counter.get_total_flops()
    aliases = [place for place, x in enumerate(inputs) if x.data_ptr() == output.data_ptr()]
    assert facts.alias_of == (aliases[0] if aliases else None)
    # What the block holds at its end is its output.
    assert facts.peak_bytes >= (0 if aliases else output.nbytes)


def gradients_reach_the_input_and_every_weight(case: Case) -> None:
    expected: set[str] = set()
    reached: set[str] = set()
    for seed in range(10):  # a bottleneck of one channel can be dead at random
        module = case.make(seed=seed)
        for training in (True, False):
            inputs = [x.requires_grad_() for x in case.inputs(seed=seed)]
            module.zero_grad()
            output = module.train(training)(*inputs)
            (output * torch.randn_like(output)).sum().backward()
            gradients = {f"input {place}": x.grad for place, x in enumerate(inputs)}
            gradients |= {name: parameter.grad for name, parameter in module.named_parameters()}
            expected |= gradients.keys()
            for name, gradient in gradients.items():
                assert gradient is not None, f"no gradient reaches {name}"
                assert gradient.isfinite().all(), f"the gradient of {name} is not finite"
                # Only in evaluation: in training a batch norm takes the bias before it away.
                if not training and (gradient.any() or not output.any()):  # all zeros: no other gradient is right
                    reached.add(name)
            with torch.no_grad():  # a gate that starts at zero lets gradients through after its first step
                for parameter in module.parameters():
                    parameter -= 0.01 * parameter.grad
        if reached == expected:
            return
    pytest.fail(f"the gradient of {', '.join(sorted(expected - reached))} is always zero")


def weights_survive_a_file(case: Case) -> None:
    module = case.make(seed=1)
    module.train()(*case.inputs())  # running statistics are state too
    file = save(module.state_dict())
    copy = case.make(seed=2)
    copy.load_state_dict(load(file))
    inputs = case.inputs(seed=3)
    assert torch.equal(run(module.eval(), inputs), run(copy.eval(), inputs))


def bfloat16_is_close(case: Case) -> None:
    _is_close_in(case, torch.bfloat16)


def float16_is_close(case: Case) -> None:
    _is_close_in(case, torch.float16)


def _is_close_in(case: Case, dtype: torch.dtype) -> None:
    module = case.make()
    exact = run(module.eval(), case.inputs())
    inputs = [x.to(dtype).requires_grad_() for x in case.inputs()]
    module.to(dtype)
    output = module(*inputs)
    assert output.dtype == dtype
    assert_close_on_the_whole(output.detach(), exact)
    output.float().square().sum().backward()
    if dtype == torch.bfloat16 and any(conv.strides_past_its_map for conv in passes(case.make(), *case.shapes)):
        return  # a CPU's gradients are garbage then, and no training on one uses them
    for gradient in [x.grad for x in inputs] + [parameter.grad for parameter in module.parameters()]:
        assert gradient is not None
        assert gradient.isfinite().all()


def assert_close_on_the_whole(output: Tensor, exact: Tensor) -> None:
    """Within a tenth in the mean: in 18 layers, single values of eight bits may stray further."""
    assert (output.float() - exact).norm() <= 0.1 * exact.norm() + 0.01 * exact.numel() ** 0.5


def autocast_is_close(case: Case) -> None:
    module = case.make().eval()
    inputs = case.inputs()
    with torch.autocast("cpu", torch.bfloat16):
        output = run(module, inputs)
    assert_close_on_the_whole(output, run(module, inputs))


def a_size_works_or_is_refused(case: Case) -> None:
    try:
        module = case.make()
    except ShapeError:
        assert case.is_refused
        return
    try:
        output = run(module.eval(), case.inputs(batch=1))
    except ValueError as problem:
        # PyTorch takes no group norm of single values; a constructor need not know the size of the map.
        if "more than 1 value per channel" in str(problem) and case.is_refused:
            return
        raise
    assert tuple(output.shape[1:]) == case.measure().out_shape
    run(module.train(), case.inputs())


def evaluation_is_a_function_of_each_image(case: Case) -> None:
    module = case.make().eval()
    inputs = case.inputs(batch=3)
    kept = [x.clone() for x in inputs]
    output = run(module, inputs)
    assert torch.equal(output, run(module, inputs))
    assert all(torch.equal(x, before) for x, before in zip(inputs, kept, strict=True)), "it writes into its input"
    alone = run(module, [x[1:2] for x in inputs])
    torch.testing.assert_close(alone, output[1:2], atol=1e-5, rtol=1e-4)
    channels_last = run(
        module.to(memory_format=torch.channels_last), [x.contiguous(memory_format=torch.channels_last) for x in inputs]
    )
    torch.testing.assert_close(channels_last, output, atol=1e-5, rtol=1e-4)


def it_is_a_leaf_of_a_traced_graph(case: Case) -> None:
    class Leaves(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return name == "block"

    class Network(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.block(*[x] * len(case.shapes))
            return y

    network = Network(case.make()).eval()
    graph = Leaves().trace(network)
    assert [node.op for node in graph.nodes] == ["placeholder", "call_module", "output"]
    inputs = case.inputs()[:1]
    assert torch.equal(run(fx.GraphModule(network, graph), inputs), run(network, inputs))


PROPERTIES: tuple[Property, ...] = (
    what_is_measured_is_real,
    gradients_reach_the_input_and_every_weight,
    weights_survive_a_file,
    bfloat16_is_close,
    float16_is_close,
    autocast_is_close,
    a_size_works_or_is_refused,
    evaluation_is_a_function_of_each_image,
    it_is_a_leaf_of_a_traced_graph,
)
"""Every property. All but `a_size_works_or_is_refused` are of cases that the block takes."""
