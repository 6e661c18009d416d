"""Spaces made of trained networks, and the families of `mobile`: what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from nas.architecture.architecture import Architecture
from nas.architecture.compile import compile_model
from nas.errors import SpaceError
from nas.network.pretrained import Start, carry
from nas.space.grammar import BlockNode, Graph, GraphNode, Options, SwitchNode, options_of
from nas.space.published import PublishedConfig
from nas.space.space import Assignment, Space
from tests.conftest import Run
from tests.pretrained import write_files

SHAPE = (3, 32, 32)
SPACES = ["pretrained_mobile", "pretrained_resnet"]
FIRST_STAGES = {"pretrained_mobile": ("from5", "last"), "pretrained_resnet": ("from3",)}
"""What is left out of each space so that its networks are small: later stages."""


def _graphs(graph: Graph) -> Iterator[Graph]:
    yield graph
    for item in graph.nodes:
        for node in item.nodes.values() if isinstance(item, SwitchNode) else (item,):
            if isinstance(node, GraphNode):
                for inner in node.graphs.values():
                    yield from _graphs(inner)


def _inserted(space: Space) -> dict[str, str]:
    """Every block that the space inserts behind its stages, with the label that chooses it."""
    graph = next(graph for graph in _graphs(space.graph) if graph.name == "attention")
    (switch,) = [node for node in graph.nodes if isinstance(node, SwitchNode)]
    found: dict[str, str] = {}
    for label, node in switch.nodes.items():
        assert isinstance(node, BlockNode)
        found |= {str(name): label for name in options_of(node.block)}
    return found


INSERTED = [(name, block) for name in SPACES for block in _inserted(Space.load(name, shapes=False))]


def _network(space: Space, block: str | None) -> Architecture:
    """The first stages of the space with both layers each, and `block` behind every stage that may have one."""
    label = None if block is None else _inserted(space)[block]

    def choose(name: str, options: Options) -> object:
        last = name.split(".")[-1]
        if last == "present":
            owner = name.split(".")[-2]
            return owner.startswith("attention") and block is not None
        if last == "repeat":
            return options[-1]
        if last == "module":
            return label
        return block if last == "block" else options[0]

    assignment = space.walk(choose).assignment  # type: ignore[arg-type]
    return space.from_assignment(assignment, SHAPE, 3)


def _reference(space: Space) -> tuple[torch.nn.Module, Start]:
    """The first stages alone with weights and statistics drawn at random, and these by the names of nodes."""
    torch.manual_seed(1)
    model = compile_model(_network(space, None), SHAPE, 3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model, Start("reference", "", "", _tensors(model), (), ())


def _tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """What weights and statistics a network has by now."""
    return {key: tensor.clone() for key, tensor in model.state_dict().items() if "num_batches" not in key}


@pytest.mark.parametrize(("name", "block"), INSERTED)
def test_what_is_inserted_changes_nothing_at_the_first_step_and_learns(name: str, block: str) -> None:
    space = Space.load(name, shapes=False)
    reference, start = _reference(space)
    architecture = _network(space, block)
    assert block in architecture.blocks
    torch.manual_seed(2)
    model = compile_model(architecture, SHAPE, 3)
    found = carry(model, start)
    assert found.tensors == len(start.state)
    assert found.parameters < found.of_parameters, "the module's own are random"
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        assert torch.equal(model.eval()(x), reference.eval()(x))
    torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1])).backward()
    gains = {key: p for key, p in model.named_parameters() if key.endswith("gate.gain")}
    assert gains
    for key, gain in gains.items():
        assert gain.grad is not None
        assert gain.grad.abs() > 0, f"{key} cannot open"


def _hashes(space: Space, network: str) -> list[str]:
    found = []
    for place in (0, -1):

        def choose(name: str, options: Options, place: int = place) -> object:
            return network if name == "network.graph" else options[place]

        found.append(space.from_assignment(space.walk(choose).assignment).hash)  # type: ignore[arg-type]
    return found


def test_the_first_family_of_mobile_has_the_networks_that_were_there_before_the_second() -> None:
    expected = ["56ef0c6797b5671825e087dcf6a28b32", "d5d96b93b31db93dd5151ac4f822993f"]
    assert _hashes(Space.load("mobile", shapes=False), "v3") == expected


def test_efficientnet_lite0_is_a_point_of_mobile() -> None:
    stages = {2: (24, 3, 2), 3: (40, 5, 2), 4: (80, 3, 3), 5: (112, 5, 3), 6: (192, 5, 4)}
    assignment: Assignment = {
        "network.graph": "lite",
        "network.lite.stem.channels": 32,
        "network.lite.stem.stride": 2,
        "network.lite.stage1.channels": 16,
        "network.lite.stage7.channels": 320,
        "network.lite.stage7.kernel_size": 3,
        "network.lite.stage7.expansion": 6,
        "network.lite.last.channels": 1280,
        "head.hidden": 0,
        "head.dropout": 0.2,
    }
    for stage, (width, kernel, layers) in stages.items():
        assignment |= {
            f"network.lite.stage{stage}.first.channels": width,
            f"network.lite.stage{stage}.kernel_size": kernel,
            f"network.lite.stage{stage}.repeat": layers,
            f"network.lite.stage{stage}.expansion": 6,
        }
    config = PublishedConfig.load("efficientnet_lite0")
    ours = Space.load("mobile", shapes=False).from_assignment(assignment, config.input, config.classes)
    assert ours.hash == config.architecture().hash


@pytest.mark.parametrize("name", SPACES)
def test_a_space_of_trained_weights_has_the_whole_network_as_its_point(name: str) -> None:
    space = Space.load(name, shapes=False)
    assert space.pretrained is not None
    config = PublishedConfig.load(space.pretrained)
    assert config.space == name
    assert config.pretrained is not None
    assert len(config.mean) == 3


@pytest.mark.parametrize("value", ["[a]", "''", "3", '"two\\nlines"'])
def test_a_space_names_its_trained_network_by_a_text(tmp_path: Path, value: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\ninput: [3, 8, 8]\npretrained: {value}\ngraph:\n  head: {{block: classifier}}\n")
    with pytest.raises(SpaceError, match=r"mine.yaml:3: pretrained: must be the name or file of a published config"):
        Space.load(path)


def test_a_space_none_of_whose_nodes_is_the_trained_networks_is_refused(run: Run, tmp_path: Path) -> None:
    path, config, _ = write_files(tmp_path)
    assert run("space", "check", str(path))[0] == 0
    path.write_text(path.read_text().replace("  network: {graph: body}", "  other: {graph: body}"))
    other = path.rename(tmp_path / "other.yaml")
    write_files(tmp_path)
    code, _, err = run("space", "check", str(other))
    assert code == 2
    assert "pretrained: no node of the space is one of whole's" in err
    other.write_text(other.read_text().replace(str(config), "resnet81"))
    code, _, err = run("space", "check", str(other))
    assert code == 2
    assert "did you mean 'resnet18'" in err


def test_fewer_layers_keep_the_weights_of_those_that_are_left() -> None:
    space = Space.load("pretrained_mobile", shapes=False)
    _, start = _reference(space)

    def shallow(name: str, options: Options) -> object:
        return False if name.endswith("present") else options[0]

    architecture = space.from_assignment(space.walk(shallow).assignment, SHAPE, 5)  # type: ignore[arg-type]
    model = compile_model(architecture, SHAPE, 5)
    found = carry(model, start)
    own = _tensors(model)
    shared = own.keys() & start.state.keys()
    assert any(key.startswith("network.stage4.0.") for key in shared)
    assert not any(key.startswith("network.stage4.1.") for key in own)
    assert all(torch.equal(own[key], start.state[key]) for key in shared if not key.startswith("head"))
    assert found.tensors == len([key for key in shared if not key.startswith("head")])
    assert not torch.equal(own["head.layers.1.weight"][:3], start.state["head.layers.1.weight"]), (
        "five classes, not three"
    )
