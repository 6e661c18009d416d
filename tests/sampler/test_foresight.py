"""Networks that would surely break a limit are not measured; whatever is trained was."""

from __future__ import annotations

import random

import pytest

from nas.architecture.architecture import Architecture
from nas.architecture.cost import Built, cost
from nas.sampler.foresight import CHECKED, LEARNED, Foresight
from nas.searches.proposer import Proposer
from nas.space.grammar import Bounds
from nas.space.space import Space
from nas.store import Reading

SPACE = Space.load("nas_bench_macro")


def _device(built: Built) -> float:
    """Of a unit of its own: hardly more with MACs, more with layers, with some scatter."""
    price = built.cost
    scatter = random.Random(built.architecture.hash).gauss(1, 0.02)
    return 3e4 * (len(built.architecture.nodes) + price.macs**0.5 / 300) * scatter


def _networks(count: int, seed: int) -> list[Built]:
    rng = random.Random(seed)
    return [SPACE.resolve(SPACE.plan(SPACE.sample(rng)), SPACE.input, 10) for _ in range(count)]


@pytest.fixture(scope="module")
def limit() -> float:
    return sorted(_device(built) for built in _networks(100, 1))[25]


def test_most_of_what_is_too_slow_is_left_out_and_nothing_that_is_fast_enough(limit: float) -> None:
    foresight = Foresight({"latency": Bounds(max=limit)})
    learned = _networks(25, 2)
    for built in learned[: LEARNED - 1]:
        foresight.learn(built, {"latency": _device(built)})
    others = _networks(100, 3)
    assert all(foresight.breaks(built) is None for built in others), "too little is known"
    for built in learned[LEARNED - 1 :]:
        foresight.learn(built, {"latency": _device(built), "another": 1.0})
    said = {built.architecture.hash: foresight.breaks(built) for built in others}
    slow = [built for built in others if _device(built) > limit]
    left_out = [built for built in slow if said[built.architecture.hash] is not None]
    assert len(left_out) > len(slow) / 2
    assert not [built for built in others if said[built.architecture.hash] is not None and _device(built) <= limit]
    foreseen = sum(1 for built in others for low in [foresight.expects("latency", built)] if low and low[1] > limit)
    assert foresight.spared == foreseen - foreseen // CHECKED, "some are measured all the same"


def test_whatever_is_proposed_was_measured_and_keeps_the_limit(limit: float) -> None:
    measured: list[str] = []

    def measure(architecture: Architecture) -> list[Reading]:
        measured.append(architecture.hash)
        price = cost(architecture, SPACE.input, 10)
        value = 3e4 * (len(architecture.nodes) + price.macs**0.5 / 300)
        return [Reading("latency", architecture.hash, SPACE.input, 10, "", {}, value)]

    def search(foresight: Foresight | None) -> int:
        measured.clear()
        proposer = Proposer(
            SPACE.limit(latency=limit),
            SPACE.input,
            10,
            objectives=("accuracy", "parameters"),
            sampler="random",
            seed=0,
            measure=measure,
            foresight=foresight,
        )
        for _ in range(12):
            proposal = proposer.propose()
            assert proposal is not None
            assert proposal.architecture.hash in measured
            assert proposal.cost["latency"] <= limit
            proposer.finish(proposal, 0.5)
        return len(measured)

    foresight = Foresight({"latency": Bounds(max=limit)})
    assert search(foresight) < 0.75 * search(None)
    assert foresight.spared
    assert "left out unmeasured" in foresight.summary()
