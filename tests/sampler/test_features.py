from __future__ import annotations

import random

import pytest

from nas.architecture.architecture import Architecture
from nas.architecture.cost import cost, facts
from nas.sampler.domain import SpaceDomain
from nas.sampler.features import describe
from nas.space.space import Space


def _features(space: Space, architecture: Architecture) -> dict[str, float]:
    known = facts(architecture, space.input, 10)
    return describe(architecture, known, cost(architecture, space.input, 10))


def test_assignments_of_one_network_look_the_same(chain: Space) -> None:
    seen: dict[str, dict[str, float]] = {}
    twice = 0
    for assignment in list(chain.enumerate())[::7]:
        architecture = chain.from_assignment(assignment)
        features = _features(chain, architecture)
        if architecture.hash in seen:
            twice += 1
            assert seen[architecture.hash] == pytest.approx(features)
        seen.setdefault(architecture.hash, features)
    assert twice > 5


def test_the_order_of_layers_can_be_seen(chain: Space) -> None:
    first, second = (
        _features(chain, chain.from_assignment({f"body.{place}.op": op for place, op in enumerate(ops)}))
        for ops in (["thin", "thin", "wide", "skip", "skip"], ["thin", "wide", "thin", "skip", "skip"])
    )
    counts = [{name: value for name, value in found.items() if name.startswith("count")} for found in (first, second)]
    assert counts[0] == counts[1]
    assert first != second


def test_a_cell_is_described_by_its_ways(chain: Space) -> None:
    space = Space.load("nas_bench_201")
    skips = dict.fromkeys(space.sample(random.Random(0)), "skip_connect")
    deep = {**skips, "cell.from_0_to_1.op": "nor_conv_3x3", "cell.from_1_to_3.op": "nor_conv_3x3"}
    flat = {**skips, "cell.from_0_to_1.op": "nor_conv_3x3", "cell.from_0_to_3.op": "nor_conv_3x3"}
    found = [_features(space, space.from_assignment(assignment)) for assignment in (deep, flat)]
    assert found[0]["depth:longest"] > found[1]["depth:longest"]
    assert found[0]["cost:parameters"] == found[1]["cost:parameters"]


def test_what_describing_takes_is_counted_without_a_clock() -> None:
    space = Space.load("attn_cnn")
    spent = []
    for _ in range(2):
        domain = SpaceDomain(space, (1, 16, 16), 10, ["parameters"])
        rng = random.Random(0)
        for _ in range(5):
            domain.describe(domain.sample(rng))
        spent.append(domain.spent)
    assert spent[0] == spent[1] > 500
