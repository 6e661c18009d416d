"""What the shipped spaces and published configs promise."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from blocks.meter import Meter
from nas.census import feasible_share, wilson
from nas.compile import compile_model
from nas.cost import cost, node_costs, shapes
from nas.errors import Infeasible
from nas.resources import every
from nas.space import Space
from nas.study import PublishedConfig, published_configs, seed_points

# Kong et al., Table 2: 17.95, 41.88 and 43.39 MiB; the same as numbers of parameters
KONG = {"kong_baseline": 4_705_866, "kong_aim": 10_977_546, "kong_aim_cam": 11_374_986}
MACRO_CHOICES = [
    "stage1.first.layer",
    "stage1.rest.0.layer",
    "stage2.first.layer",
    "stage2.rest.0.layer",
    "stage2.rest.1.layer",
    "stage3.first.layer",
    "stage3.rest.0.layer",
    "stage3.rest.1.layer",
]
MACRO_OPTIONS = ["identity", "mb3_e3", "mb5_e6"]


@pytest.mark.parametrize("path", every("search_spaces"), ids=lambda path: path.stem)
def test_a_shipped_space_is_well_formed(path: Path) -> None:
    space = Space.load(path.stem)
    assert space.name == path.stem
    assert space.size > 1


@pytest.mark.parametrize("path", every("studies"), ids=lambda path: path.stem)
def test_a_published_config_builds(path: Path) -> None:
    config = PublishedConfig.load(path.stem)
    architecture = config.architecture()
    assert cost(architecture, config.input, config.classes).parameters > 0
    assert config.claims
    assert config.assumptions


@pytest.mark.parametrize(("name", "parameters"), KONG.items())
def test_the_networks_of_kong_have_the_printed_size(name: str, parameters: int) -> None:
    config = PublishedConfig.load(name)
    assert cost(config.architecture(), config.input, config.classes).parameters == parameters
    printed = next(claim.value for claim in config.claims if claim.metric == "size")
    assert round(parameters * 4 / 2**20, 2) == printed


def test_attn_cnn_has_over_a_billion_architectures() -> None:
    assert Space.load("attn_cnn").size > 10**9


def test_published_networks_are_seeds_of_their_space_and_of_no_other() -> None:
    attn_cnn = {point.config.name for point in seed_points(Space.load("attn_cnn"), (1, 16, 16), 10)}
    assert attn_cnn == {config.name for config in published_configs() if config.space == "attn_cnn"}
    assert seed_points(Space.load("nas_bench_macro"), (3, 32, 32), 10) == []


def test_nas_bench_macro_equals_the_published_table(shared: Path) -> None:
    table = json.loads((shared / "bench" / "nas_bench_macro_cifar10.json").read_text())
    space = Space.load("nas_bench_macro")
    assert space.size == len(table) == 6_561
    for key, row in table.items():
        assignment = {name: MACRO_OPTIONS[int(digit)] for name, digit in zip(MACRO_CHOICES, key, strict=True)}
        price = cost(space.from_assignment(assignment), space.input, 10)
        assert (price.parameters, price.macs) == (row["params"], row["flops"]), key


@pytest.mark.parametrize(("name", "count"), [("attn_cnn", 25), ("nas_bench_macro", 10)])
def test_cost_equals_what_pytorch_counts_in_the_built_model(name: str, count: int) -> None:
    space = Space.load(name)
    rng = random.Random(3)
    checked = 0
    while checked < count:
        try:
            architecture = space.from_assignment(space.sample(rng), (3, 20, 20), 7)
        except Infeasible:
            continue
        checked += 1
        price = cost(architecture, (3, 20, 20), 7)
        model = compile_model(architecture, (3, 20, 20), 7).eval()
        image = torch.zeros(1, 3, 20, 20)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            output = model(image)
        assert output.shape == (1, 7)
        assert price.parameters == sum(p.numel() for p in model.parameters())
        assert price.macs == counter.get_total_flops() // 2
        assert sum(part.macs for part in node_costs(architecture, (3, 20, 20), 7).values()) == price.macs


def test_peak_activation_bytes_are_those_of_the_whole_model() -> None:
    space = Space.load("attn_cnn")
    rng = random.Random(5)
    for _ in range(12):
        try:
            architecture = space.from_assignment(space.sample(rng))
        except Infeasible:
            continue
        with torch.device("meta"):
            model = compile_model(architecture, space.input, 10).eval()
            image = torch.empty(1, *space.input)
        with torch.no_grad(), Meter([image, *model.parameters(), *model.buffers()]) as meter:
            model(image)
        assert cost(architecture, space.input, 10).activation_bytes == meter.peak_bytes + 3 * 32 * 32 * 4


def test_a_model_reads_like_its_architecture() -> None:
    config = PublishedConfig.load("kong_aim_cam")
    architecture = config.architecture()
    model = compile_model(architecture, config.input, config.classes)
    names = [node.name for node in architecture.nodes]
    assert [node.target for node in model.graph.nodes if node.op == "call_module"] == names
    assert all(model.get_submodule(name) is not None for name in names)
    assert "rest_0_cells_0_attention" in model.code
    sizes = shapes(architecture, config.input, config.classes)
    assert sizes["rest.2.down"] == (512, 2, 2)
    assert sizes["head"] == (10,)


def test_the_feasible_share_is_exact_where_a_space_can_be_enumerated() -> None:
    space = Space.load("nas_bench_macro")
    everything = feasible_share(space, space.input, 10)
    assert (everything.value, everything.exact) == (1.0, True)
    limited = feasible_share(space.limit(parameters=1e6), space.input, 10)
    sizes = [cost(space.from_assignment(assignment), space.input, 10).parameters for assignment in space.enumerate()]
    assert limited.value == sum(size <= 1e6 for size in sizes) / 6_561


def test_a_sampled_share_has_an_interval_that_holds_it() -> None:
    share = feasible_share(Space.load("attn_cnn"), (3, 32, 32), 10, samples=50)
    assert not share.exact
    assert share.interval[0] <= share.value <= share.interval[1]
    assert wilson(0, 10)[0] == 0
    assert wilson(5, 10)[0] == pytest.approx(0.2366, abs=1e-4)  # Wilson's interval of 5 in 10: 23.66 % to 76.34 %
