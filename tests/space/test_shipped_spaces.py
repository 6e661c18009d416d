"""What the shipped spaces and published configs promise."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from blocks.meter import Meter
from nas.architecture.compile import compile_model
from nas.architecture.cost import cost, facts, shapes
from nas.config.shipped_files import every
from nas.errors import Infeasible
from nas.searches.seed_points import seed_points
from nas.space.feasibility import feasible_share
from nas.space.published import Builds, PublishedConfig, published_configs
from nas.space.space import Space
from nas.statistics.proportion import wilson

# Parameters of the published networks by other people's count: the printed MiB of Kong et al., Tables 1 and 2; torchvision
# for ResNet, DenseNet-121 and ViT-B/16 (on CIFAR-10 less their larger stem and
# classes); timm for SE-ResNet-50; the paper of DenseNet-BC.
PARAMETERS = {
    "kong_baseline": 4_705_866,
    "kong_aim": 10_977_546,
    "kong_aim_cam": 11_374_986,
    "kong_aim_cam_literal": 11_283_866,
    "kong_vgg16": 14_728_266,
    "kong_vgg19": 20_040_522,
    "kong_resnet34": 21_282_122,
    "balashov_resnet50": 25_557_032,
    "balashov_senet50": 28_088_024,
    "balashov_densenet121": 7_978_856,
    "balashov_densenet121_cifar10": 6_956_298,
    "balashov_resnet50_cifar10": 23_520_842,
    "balashov_vit_b16": 86_567_656,
    "davis_densenet_bc": 769_162,
}
SIZES = [name for name in PARAMETERS if name.startswith("kong") and name != "kong_aim_cam_literal"]
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


@pytest.mark.parametrize("config", published_configs(), ids=lambda config: config.name)
def test_a_published_config_builds(config: PublishedConfig) -> None:
    architecture = config.architecture()
    price = cost(architecture, config.input, config.classes)
    assert config.builds == Builds(price.parameters, price.macs)
    assert config.claims or config.name == "kong_vgg16_aim"  # of which the paper prints a picture alone
    assert config.assumptions


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_a_published_network_has_the_published_parameters(name: str, parameters: int) -> None:
    config = PublishedConfig.load(name)
    assert cost(config.architecture(), config.input, config.classes).parameters == parameters


@pytest.mark.parametrize("name", SIZES)
def test_the_networks_of_kong_have_the_printed_size(name: str) -> None:
    config = PublishedConfig.load(name)
    printed = next(claim.value for claim in config.claims if claim.metric == "size")
    assert round(cost(config.architecture(), config.input, config.classes).parameters * 4 / 2**20, 2) == printed


def test_the_five_proposed_networks_are_points_of_attn_cnn() -> None:
    proposed = ["kong_aim_cam", "balashov_aicnn", "mandalika_resnet18", "jiang_amsra_net", "davis_attention_cnn"]
    assert {PublishedConfig.load(name).space for name in proposed} == {"attn_cnn"}


def test_attn_cnn_has_over_a_billion_architectures() -> None:
    assert Space.load("attn_cnn").size > 10**9


def test_published_networks_are_seeds_of_their_space_and_of_no_other() -> None:
    attn_cnn = {point.config.name for point in seed_points(Space.load("attn_cnn"), (1, 16, 16), 10)}
    assert attn_cnn == {config.name for config in published_configs() if config.space == "attn_cnn"}
    dense = {point.config.name for point in seed_points(Space.load("dense"), (3, 32, 32), 10)}
    assert dense == {config.name for config in published_configs() if config.space == "dense"}
    assert len(dense) == 6
    assert seed_points(Space.load("nas_bench_macro"), (3, 32, 32), 10) == []


NAS_BENCH_201 = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
EDGES = ["from_0_to_1", "from_0_to_2", "from_1_to_2", "from_0_to_3", "from_1_to_3", "from_2_to_3"]


def test_nas_bench_201_has_the_published_size_and_parameters() -> None:
    space = Space.load("nas_bench_201")
    assert space.size == 15_625

    def parameters(*operations: str) -> int:
        assignment = {f"cell.{edge}.op": operation for edge, operation in zip(EDGES, operations, strict=True)}
        return cost(space.from_assignment(assignment), space.input, 10).parameters

    # By hand: what is outside of the cells, then per cell and width C a 3×3 convolution has 9C² + 2C, a 1×1 one C² + 2C.
    outside = 3 * 16 * 9 + 32 + 2 * 64 + 64 * 10 + 10
    for narrow, wide in ((16, 32), (32, 64)):
        outside += 9 * narrow * wide + 2 * wide + 9 * wide * wide + 2 * wide + narrow * wide
    conv_3x3, conv_1x1 = (5 * sum(k * width * width + 2 * width for width in (16, 32, 64)) for k in (9, 1))
    assert parameters(*["skip_connect"] * 6) == outside
    assert (
        parameters(*["nor_conv_3x3"] * 6) == outside + 6 * conv_3x3 == 1_531_546
    )  # printed by its authors: 1.531546 MB
    assert parameters(
        "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "nor_conv_1x1", "skip_connect", "avg_pool_3x3"
    ) == (outside + conv_3x3 + 2 * conv_1x1)
    assert (
        parameters("nor_conv_3x3", "skip_connect", "none", "skip_connect", "none", "skip_connect") == outside
    )  # a dead branch costs nothing


@pytest.mark.slow
def test_the_distinct_networks_of_nas_bench_201() -> None:
    # Its authors count 6,466 by comparing expressions. These call an operation on zeros zeros, which a convolution with
    # batch norm does not make of them, and do not tell one node read twice from two equal nodes, whose weights differ.
    space = Space.load("nas_bench_201")
    assert len({space.from_assignment(assignment).hash for assignment in space.enumerate()}) == 6_625


def test_zeros_and_nested_sums_make_no_new_network() -> None:
    space = Space.load("nas_bench_201")

    def network(*operations: str) -> str:
        return space.from_assignment(
            {f"cell.{edge}.op": operation for edge, operation in zip(EDGES, operations, strict=True)}
        ).hash

    nothing = network(*["none"] * 6)
    assert network("nor_conv_3x3", "none", "none", "none", "none", "none") == nothing
    # 0 → 3 directly, or by way of skips through either node
    assert network("skip_connect", "none", "none", "none", "skip_connect", "none") == network(
        "none", "none", "none", "skip_connect", "none", "none"
    )
    # (a + b) + c = a + (b + c), where nobody else reads the inner sum
    left = network("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none", "skip_connect")
    right = network("skip_connect", "avg_pool_3x3", "nor_conv_3x3", "nor_conv_1x1", "none", "skip_connect")
    assert left == right
    # one node read twice is not two nodes with weights of their own
    shared = network("nor_conv_3x3", "none", "skip_connect", "none", "skip_connect", "skip_connect")
    separate = network("nor_conv_3x3", "nor_conv_3x3", "none", "none", "skip_connect", "skip_connect")
    assert shared != separate


def test_nas_bench_macro_equals_the_published_table(shared: Path) -> None:
    table = json.loads((shared / "bench" / "nas_bench_macro_cifar10.json").read_text())
    space = Space.load("nas_bench_macro")
    assert space.size == len(table) == 6_561
    for key, row in table.items():
        assignment = {name: MACRO_OPTIONS[int(digit)] for name, digit in zip(MACRO_CHOICES, key, strict=True)}
        price = cost(space.from_assignment(assignment), space.input, 10)
        assert (price.parameters, price.macs) == (row["params"], row["flops"]), key


@pytest.mark.parametrize(("name", "count"), [("attn_cnn", 12), ("nas_bench_macro", 4)])
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
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
            output = model(image)
        assert output.shape == (1, 7)
        assert price.parameters == sum(p.numel() for p in model.parameters())
        assert price.macs == counter.get_total_flops() // 2
        assert sum(part.macs for part in facts(architecture, (3, 20, 20), 7).values()) == price.macs


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
    assert "body_1_cells_0_attention" in model.code
    sizes = shapes(architecture, config.input, config.classes)
    assert sizes["body.3.down"] == (512, 2, 2)
    assert sizes["head"] == (10,)


def test_the_feasible_share_is_exact_where_a_space_can_be_enumerated() -> None:
    space = Space.load("nas_bench_macro")
    limited = feasible_share(space.limit(parameters=1e6), space.input, 10)
    sizes = [cost(space.from_assignment(assignment), space.input, 10).parameters for assignment in space.enumerate()]
    assert (limited.value, limited.exact) == (sum(size <= 1e6 for size in sizes) / 6_561, True)


@pytest.mark.long
def test_a_sampled_share_has_an_interval_that_holds_it() -> None:
    share = feasible_share(Space.load("attn_cnn"), (3, 32, 32), 10, samples=50)
    assert not share.exact
    assert share.interval[0] <= share.value <= share.interval[1]
    assert wilson(0, 10)[0] == 0
    assert wilson(5, 10)[0] == pytest.approx(0.2366, abs=1e-4)  # Wilson's interval of 5 in 10: 23.66 % to 76.34 %
