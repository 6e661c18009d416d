"""What attn_cnn promises: the modules of the five papers with all that they leave open, and their networks as they were."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks import BLOCKS
from nas.architecture.cost import cost
from nas.space.grammar import BlockNode, Choice, Graph, GraphNode, SwitchNode, options_of
from nas.space.published import PublishedConfig, published_configs
from nas.space.space import Assignment, Chooser, Space

SPACE = Space.load("attn_cnn")
OF_THE_PAPERS = [
    "aim",
    "aim_conv",
    "cam",
    "attention_conv",
    "hierarchical_attention",
    "multi_scale",
    "gated_self_attention",
]
OF_THE_PAPERS += ["softmax_attention"]
RELATED = [
    "se",
    "eca",
    "cbam",
    "coordinate_attention",
    "dual_attention",
    "gather_excite",
    "non_local",
    "residual_attention",
]
RELATED += ["spatial_transformer", "strip_pooling"]
GIVEN_BY_THE_STAGE = {"channels", "stride"}


def nodes(graph: Graph) -> Iterator[BlockNode]:
    """Every node of one block, at any depth."""
    for item in graph.nodes:
        for node in item.nodes.values() if isinstance(item, SwitchNode) else (item,):
            if isinstance(node, GraphNode):
                for inner in node.graphs.values():
                    yield from nodes(inner)
            else:
                yield node


@pytest.mark.parametrize("block", OF_THE_PAPERS)
def test_every_hyperparameter_of_a_module_of_the_papers_is_a_choice(block: str) -> None:
    here = [node for node in nodes(SPACE.graph) if block in options_of(node.block)]
    chosen = {name for node in here for name, value in node.params.items() if isinstance(value, Choice)}
    assert set(BLOCKS[block].hyperparameters) - GIVEN_BY_THE_STAGE <= chosen


def test_the_related_modules_can_be_chosen() -> None:
    assert set(RELATED) <= {name for node in nodes(SPACE.graph) for name in options_of(node.block)}


def changed(config: str, **changes: object) -> dict[str, object]:
    """The assignment of a published network with other choices; `_` stands for a dot, None takes a choice away."""
    assignment = {**PublishedConfig.load(config).assignment, **changes}
    return {name: value for name, value in assignment.items() if value is not None}


CAM = {"present": True, "module": "cam", "module.cam.reduction": 4, "module.cam.compression": "per_path"}
CAM |= {"module.cam.kernel_size": 3, "module.cam.norm": "batch"}


def test_cross_attention_fits_into_resnet_34() -> None:
    """As a gate of every block (4 of its convolutions in each of 16), behind a stage, and behind the body."""
    plain = SPACE.from_assignment(PublishedConfig.load("kong_resnet34").assignment)
    gates = {f"body.residual.{stage}.layers.basic.gate": "cam" for stage in range(4)}
    gates |= {f"body.residual.{stage}.layers.basic.gate_reduction": 4 for stage in range(4)}
    gated = SPACE.from_assignment(changed("kong_resnet34", **gates))
    behind = {
        f"{place}.{name}": value for place in ("body.residual.2.attention", "neck") for name, value in CAM.items()
    }
    staged = SPACE.from_assignment(changed("kong_resnet34", **behind))
    assert staged.blocks == {**plain.blocks, "cam": 2}

    def cam(c: int) -> int:  # per path: compression and encoding with their biases and norms, then the expansion
        s = c // 4
        return 2 * (c * s + 3 * s) + 2 * (3 * s * s + 3 * s) + s * c + 3 * c

    def parameters(network: object) -> int:
        return cost(network, SPACE.input, 10).parameters - cost(plain, SPACE.input, 10).parameters

    assert parameters(gated) == sum(count * cam(c) for count, c in ((3, 64), (4, 128), (6, 256), (3, 512)))
    assert parameters(staged) == cam(256) + cam(512)


def test_the_residual_of_kong_may_start_at_the_output_of_aim() -> None:
    places = {f"body.plain.{stage}.cells.0.merge.inputs.1": "transform" for stage in range(4)}
    one = SPACE.from_assignment(PublishedConfig.load("kong_aim_cam").assignment)
    other = SPACE.from_assignment(changed("kong_aim_cam", **places))
    assert one.hash != other.hash
    assert cost(one, SPACE.input, 10).parameters == cost(other, SPACE.input, 10).parameters
    assert next(node for node in other.nodes if node.block == "add").inputs == (
        "body.0.cells.0.attention.module",
        "body.0.cells.0.transform",
    )


def test_published_networks_keep_their_hashes() -> None:
    """A network that was trained before is found again by its hash: it is that of the day on which it was published here."""
    pinned = json.loads(Path(__file__).with_name("published_hashes.json").read_text())
    assert {config.name: config.architecture().hash for config in published_configs()} == pinned


def test_no_draw_switches_off_all_parts_of_a_block() -> None:
    """One of forty draws did; what a seed draws besides is as it was."""
    met = 0
    for seed in range(400):
        drawn = SPACE.sample(random.Random(seed))
        plan = SPACE.walk(_drawer(random.Random(seed)))
        blocks = {node.name: node for node in SPACE.walk(_answer(drawn)).nodes}
        off = {node.name for node in plan.nodes if BLOCKS[node.block].all_off(dict(node.params))}
        met += len(off)
        assert not any(BLOCKS[node.block].all_off(dict(node.params)) for node in blocks.values())
        assert all(node == blocks[node.name] for node in plan.nodes if node.name not in off)
        assert drawn.keys() == plan.assignment.keys()
        changed = {name for name, value in drawn.items() if value != plan.assignment[name]}
        assert {name.rpartition(".")[2] for name in changed} <= {"neighbourhood"}
    assert met > 5


def _drawer(rng: random.Random) -> Chooser:
    return lambda name, options: rng.choice(options)


def _answer(assignment: Assignment) -> Chooser:
    return lambda name, options: assignment[name]
