"""What holds for every block at every allowed value. A new block is covered by being registered."""

from __future__ import annotations

import io
import re

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from blocks import ShapeError
from blocks.base import Scalar
from tests.blocks.cases import BLOCKS, CLASSES, SHAPE, Case, every_case

CASES = every_case()
every = pytest.mark.parametrize("case", CASES, ids=str)
without_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def run(module: nn.Module, inputs: list[Tensor]) -> Tensor:
    with torch.no_grad():
        output = module(*inputs)
    assert isinstance(output, Tensor)
    return output


@every
def test_measured_is_real(case: Case) -> None:
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


@every
def test_gradients_reach_the_input_and_every_weight(case: Case) -> None:
    expected = {f"input {place}" for place in range(len(case.shapes()))}
    expected |= {name for name, _ in case.make().named_parameters()}
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


@every
def test_weights_survive_a_file(case: Case) -> None:
    module = case.make(seed=1)
    module.train()(*case.inputs())  # running statistics are state too
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    copy = case.make(seed=2)
    copy.load_state_dict(torch.load(file, weights_only=True))
    inputs = case.inputs(seed=3)
    assert torch.equal(run(module.eval(), inputs), run(copy.eval(), inputs))


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_half_precision(case: Case, dtype: torch.dtype) -> None:
    module = case.make()
    exact = run(module.eval(), case.inputs())
    inputs = [x.to(dtype).requires_grad_() for x in case.inputs()]
    module.to(dtype)
    output = module(*inputs)
    assert output.dtype == dtype
    torch.testing.assert_close(output.detach().float(), exact, atol=0.1, rtol=0.1)
    output.float().square().sum().backward()
    for gradient in [x.grad for x in inputs] + [parameter.grad for parameter in module.parameters()]:
        assert gradient is not None
        assert gradient.isfinite().all()


@every
def test_autocast(case: Case) -> None:
    module = case.make().eval()
    inputs = case.inputs()
    with torch.autocast("cpu", torch.bfloat16):
        output = run(module, inputs)
    torch.testing.assert_close(output.float(), run(module, inputs), atol=0.1, rtol=0.1)


@every
@pytest.mark.parametrize("size", [(7, 9), (1, 1), (2, 2), (1, 5), (3, 2)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_odd_sizes_work_or_are_refused(case: Case, size: tuple[int, int]) -> None:
    shape = (SHAPE[0], *size)
    try:
        module = case.make(shape)
    except ShapeError:
        with pytest.raises(ShapeError):
            case.measure(shape)
        return
    run(module.train(), case.inputs(shape))
    output = run(module.eval(), case.inputs(shape, batch=1))
    assert tuple(output.shape[1:]) == case.measure(shape).out_shape


@every
def test_evaluation_is_a_function_of_each_image(case: Case) -> None:
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


@every
def test_leaf_of_a_traced_graph(case: Case) -> None:
    class Leaves(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return name == "block"

    class Network(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.block(*[x] * len(case.shapes()))
            return y

    network = Network(case.make()).eval()
    graph = Leaves().trace(network)
    assert [node.op for node in graph.nodes] == ["placeholder", "call_module", "output"]
    inputs = case.inputs()[:1]
    assert torch.equal(run(fx.GraphModule(network, graph), inputs), run(network, inputs))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, without_cuda])])
@pytest.mark.parametrize("name", BLOCKS)
def test_training_lowers_the_loss_and_repeats_itself(name: str, device: str) -> None:
    """In bfloat16 and channels-last, as a trial does; on the CPU to the bit."""

    def losses() -> list[float]:
        case = Case(name, None)
        module = case.make().train().to(device, memory_format=torch.channels_last)
        inputs = [x.to(device, memory_format=torch.channels_last) for x in case.inputs(batch=4)]
        end = nn.LazyLinear(2).to(device)
        found: list[float] = []
        optimizer = None
        for _ in range(12):
            with torch.autocast(device, torch.bfloat16):
                output = end(module(*inputs).flatten(1))
            loss = nn.functional.cross_entropy(output.float(), torch.tensor([0, 1, 0, 1], device=device))
            optimizer = optimizer or torch.optim.Adam([*module.parameters(), *end.parameters()], 0.01)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            found.append(loss.item())
        return found

    first, second = losses(), losses()
    assert first[-1] < 0.8 * first[0] or name == "zero"
    assert first == second or device != "cpu"


@pytest.mark.parametrize("name", BLOCKS)
def test_documented(name: str) -> None:
    block = BLOCKS[name]
    lines = (block.module.__doc__ or "").splitlines()
    assert re.search(r"\(B, .*\) -> \(B, .*\)", lines[0]), "the docstring opens with the shape line"
    assert 10 < len(block.summary) < 200
    assert block.summary.endswith(".")
    assert re.search(r"\d", block.source), "a source has a year, a section or an equation"
    module = __import__(block.module.__module__, fromlist=["__doc__"])
    assert len((module.__doc__ or "").splitlines()[0]) > 10


@pytest.mark.parametrize("name", BLOCKS)
def test_refuses_what_is_no_feature_map(name: str) -> None:
    block = BLOCKS[name]
    with pytest.raises(ShapeError, match=f"block '{name}' takes feature maps"):
        block.make({}, ((10,),), CLASSES)
    with pytest.raises(ShapeError, match="at least one" if block.takes_many else "takes one input, not 2"):
        block.make({}, () if block.takes_many else (SHAPE, SHAPE), CLASSES)


def test_one_name_means_one_thing() -> None:
    """A space may give one hyperparameter to a choice of blocks: kinds agree, and there is something to choose from."""
    found: dict[str, list[tuple[Scalar, ...]]] = {}
    for block in BLOCKS.values():
        for name, parameter in block.hyperparameters.items():
            found.setdefault(name, []).append((parameter.default, *parameter.allowed.examples))
    for name, lists in found.items():
        kinds = {type(value) for values in lists for value in values}
        assert len(kinds) == 1 or name == "channels", f"{name} is sometimes {kinds}"
        assert len(set.intersection(*map(set, lists))) >= 2, f"the blocks that have {name} share less than two values"
