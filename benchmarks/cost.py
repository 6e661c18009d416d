"""Architectures a second: our exact cost against building the model and counting with PyTorch's FlopCounterMode.

    python benchmarks/cost.py [--space attn_cnn] [--architectures 100] [--json]

Both give the same parameters and MACs, which is checked on the way. Ours is measured warm, as a search sees it: the same
architectures are costed once before the clock starts. The cold time is printed as well.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _common import environment_line, interleaved, report

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.architecture.cost import cost
from nas.errors import Infeasible
from nas.space.space import Space

CLASSES = 10


def build_and_count(architecture: Architecture, space: Space) -> tuple[int, int]:
    """Parameters and MACs, the usual way."""
    model = compile_model(architecture, space.input, CLASSES).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.zeros(1, *space.input))
    return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() // 2


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="attn_cnn")
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space = Space.load(arguments.space)
    rng = random.Random(0)

    architectures: list[Architecture] = []
    start = time.perf_counter()
    while len(architectures) < arguments.architectures:
        try:
            architectures.append(space.from_assignment(space.sample(rng)))
        except Infeasible:
            continue
    cold = (time.perf_counter() - start) / len(architectures)

    for architecture in architectures[:20]:
        ours = cost(architecture, space.input, CLASSES)
        with sdpa_kernel(SDPBackend.MATH):  # not every version of PyTorch counts its kernels of attention
            assert (ours.parameters, ours.macs) == build_and_count(architecture, space)

    repeats = 50

    def ours_all() -> None:
        for _ in range(repeats):
            for architecture in architectures:
                cost(architecture, space.input, CLASSES)

    few = architectures[:10]

    def theirs_all() -> None:
        for architecture in few:
            build_and_count(architecture, space)

    ours_seconds, theirs_seconds = interleaved(ours_all, theirs_all, arguments.rounds)
    ours_rate = [repeats * len(architectures) / seconds for seconds in ours_seconds]
    theirs_rate = [len(few) / seconds for seconds in theirs_seconds]
    report(
        "cost: architectures a second, one core",
        ours_rate,
        theirs_rate,
        as_json=arguments.json,
        notes=[
            environment_line(),
            f"space {space.name}, {len(architectures)} random architectures, {arguments.rounds} interleaved rounds",
            f"first sight of an architecture (built and measured cold): {cold * 1e3:.1f} ms",
        ],
    )


if __name__ == "__main__":
    main()
