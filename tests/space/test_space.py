from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings

from nas.architecture.architecture import INPUT, Architecture, Node
from nas.architecture.compile import compile_model
from nas.architecture.cost import Cost, cost
from nas.errors import AssignmentError, Infeasible, SpaceError
from nas.space.grammar import Violation
from nas.space.space import Space
from tests.space.spaces import HEAD, read, space_data

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quick
@given(data=space_data())
def test_size_is_the_number_of_assignments(data: dict[str, Any], tmp_path: Path) -> None:
    space = read(data, tmp_path)
    assume(space.size <= 3000)
    assignments = [tuple(sorted(assignment.items())) for assignment in space.enumerate()]
    assert len(assignments) == len(set(assignments)) == space.size


def test_a_file_that_was_edited_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = "name: s\ninput: [3, 8, 8]\ngraph:\n  stem: {block: conv, kernel_size: {choose: [1, 3]}}\n  head: {block: classifier}\n"
    path.write_text(text)
    first = Space.load(path)
    path.write_text(text.replace("[1, 3]", "[1, 3, 5]"))
    assert (first.size, Space.load(path).size) == (2, 3)
    path.write_text(text.replace("choose", "chose"))
    with pytest.raises(SpaceError, match=r"s.yaml:4: node 'stem': kernel_size: must be a value or \{choose"):
        Space.load(path)


@quick
@given(data=space_data())
def test_every_assignment_builds_what_sampling_built(data: dict[str, Any], tmp_path: Path) -> None:
    space = read(data, tmp_path)
    rng = random.Random(0)
    for _ in range(5):
        assignment = space.sample(rng)
        try:
            architecture = space.from_assignment(assignment)
        except Infeasible:
            continue
        again = Architecture.from_json(architecture.to_json())
        assert again == architecture
        assert again.hash == architecture.hash
        assert again.to_json() == architecture.to_json()
        model = compile_model(architecture, space.input, 10)
        assert sum(p.numel() for p in model.parameters()) == cost(architecture, space.input, 10).parameters


def _renamed(architecture: Architecture, rng: random.Random) -> Architecture:
    """The same network with other names, in another topological order, merges with their inputs in another order."""
    graph = nx.DiGraph((a, b) for a, b, _ in architecture.graph().edges)
    graph.add_nodes_from([INPUT, *(node.name for node in architecture.nodes)])
    new = {node.name: f"z{i}" for i, node in enumerate(rng.sample(architecture.nodes, len(architecture.nodes)))}
    new[INPUT] = INPUT
    by_name = {node.name: node for node in architecture.nodes}
    order = [name for name in nx.lexicographical_topological_sort(graph, key=lambda name: new[name]) if name != INPUT]
    nodes = []
    for name in order:
        node = by_name[name]
        inputs = [new[source] for source in node.inputs]
        if node.block == "add":
            rng.shuffle(inputs)
        nodes.append(Node(new[name], node.block, node.params, tuple(inputs)))
    return Architecture(tuple(nodes), new[architecture.output])


@quick
@given(data=space_data())
def test_the_hash_ignores_names_and_order(data: dict[str, Any], tmp_path: Path) -> None:
    space = read(data, tmp_path)
    rng = random.Random(1)
    try:
        architecture = space.from_assignment(space.sample(rng))
    except Infeasible:
        return
    assert _renamed(architecture, rng).hash == architecture.hash


@quick
@given(data=space_data())
def test_equal_hashes_mean_isomorphic_networks(data: dict[str, Any], tmp_path: Path) -> None:
    space = read(data, tmp_path)
    architectures = []
    for assignment in itertools.islice(space.enumerate(), 12):
        try:
            architectures.append(space.from_assignment(assignment))
        except Infeasible:
            continue
    for one, other in itertools.combinations(architectures, 2):
        same = nx.is_isomorphic(
            _simple(one), _simple(other), node_match=lambda a, b: a == b, edge_match=lambda a, b: a == b
        )
        assert same == (one.hash == other.hash)


def _simple(architecture: Architecture) -> nx.DiGraph:
    """As a graph without parallel edges; places where a tensor enters as an edge label."""
    graph = nx.DiGraph()
    multi = architecture.graph()
    for name, data in multi.nodes(data=True):
        graph.add_node(name, block=data["block"], params=data["params"], out=name == architecture.output)
    for a, b, data in multi.edges(data=True):
        place = 0 if multi.nodes[b]["block"] in ("add", "multiply") else data["place"]
        places = [*graph.get_edge_data(a, b, {}).get("places", []), place]
        graph.add_edge(a, b, places=sorted(places))
    return graph


def test_one_node_used_twice_is_not_two_equal_nodes() -> None:
    def conv(name: str) -> Node:
        params = (("activation", "relu"), ("bias", "auto"), ("channels", 4), ("dilation", 1), ("groups", 1))
        return Node(name, "conv", (*params, ("kernel_size", 3), ("norm", "batch"), ("stride", 1)), (INPUT,))

    shared = Architecture((conv("a"), Node("sum", "add", (), ("a", "a"))), "sum")
    separate = Architecture((conv("a"), conv("b"), Node("sum", "add", (), ("a", "b"))), "sum")
    assert shared.hash != separate.hash
    assert cost(shared, (3, 8, 8), 10).parameters * 2 == cost(separate, (3, 8, 8), 10).parameters


def _space(tmp_path: Path, graph: dict[str, Any], **rest: Any) -> Space:
    return read({"name": "s", "input": [4, 8, 8], "graph": {**graph, "head": HEAD}, **rest}, tmp_path)


def test_dead_branches_and_spelled_out_connections_do_not_make_another_network(tmp_path: Path) -> None:
    space = _space(
        tmp_path,
        {
            "a": {"block": "conv"},
            "side": {"block": "conv", "kernel_size": {"choose": [1, 5]}, "inputs": ["a"]},
            "skip": {"block": "identity", "inputs": ["a"]},
            "join": {"block": "add", "inputs": ["skip", {"choose": ["none", "side"]}]},
        },
    )
    base = {"side.kernel_size": 1, "join.inputs.1": "none"}
    without = space.from_assignment(base)
    assert [node.name for node in without.nodes] == ["a", "head"]
    assert without.hash == space.from_assignment({**base, "side.kernel_size": 5}).hash
    assert without.hash != space.from_assignment({**base, "join.inputs.1": "side"}).hash


def test_copies_decide_for_themselves_or_all_share(tmp_path: Path) -> None:
    graphs = {"cell": {"op": {"block": "conv", "kernel_size": {"choose": [1, 3, 5]}}}}
    each = _space(tmp_path, {"cells": {"graph": "cell", "repeat": {"choose": [1, 2]}}}, graphs=graphs)
    assert each.size == 3 + 9
    alike = _space(tmp_path, {"cells": {"graph": "cell", "repeat": {"choose": [1, 2]}, "share": True}}, graphs=graphs)
    assert alike.size == 3 + 3
    two = alike.from_assignment({"cells.repeat": 2, "cells.op.kernel_size": 5})
    assert [dict(node.params)["kernel_size"] for node in two.nodes[:2]] == [5, 5]
    assert [node.name for node in two.nodes[:2]] == ["cells.0.op", "cells.1.op"]


def test_a_hyperparameter_belongs_to_the_blocks_that_have_it(tmp_path: Path) -> None:
    space = _space(tmp_path, {"op": {"block": {"choose": ["identity", "conv"]}, "kernel_size": {"choose": [1, 3, 5]}}})
    assert space.size == 1 + 3
    assert next(iter(space.enumerate())) == {"op.block": "identity"}
    with pytest.raises(AssignmentError, match=r"'op.kernel_size' is no active choice"):
        space.from_assignment({"op.block": "identity", "op.kernel_size": 3})


def test_relative_widths_follow_the_input(tmp_path: Path) -> None:
    space = _space(tmp_path, {"a": {"block": "conv", "channels": "x2"}, "b": {"block": "conv", "channels": "x1.5"}})
    widths = [dict(node.params)["channels"] for node in space.from_assignment({}).nodes[:2]]
    assert widths == [8, 12]
    widths = [dict(node.params)["channels"] for node in space.from_assignment({}, (6, 8, 8)).nodes[:2]]
    assert widths == [12, 18]


def test_sampling_evenly_gives_every_assignment_the_same_chance(tmp_path: Path) -> None:
    graphs = {"cell": {"op": {"block": "conv", "kernel_size": {"choose": [1, 3, 5]}}}}
    space = _space(tmp_path, {"cells": {"graph": "cell", "repeat": {"choose": [0, 1, 2]}}}, graphs=graphs)
    rng = random.Random(0)
    counts = Counter(tuple(space.sample_evenly(rng).values()) for _ in range(1300))
    assert len(counts) == space.size == 13
    assert min(counts.values()) > 60  # 100 expected of each, standard deviation 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op.block": "cnv"}, "the choice 'op.block' has no option 'cnv'.*did you mean 'conv'"),
        ({"op.kernel_size": True}, "has no option True"),
        ({"op.kernel_sise": 3}, "'op.kernel_sise' is no active choice.*did you mean 'op.kernel_size'"),
    ],
)
def test_an_assignment_that_does_not_fit_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    space = _space(tmp_path, {"op": {"block": {"choose": ["identity", "conv"]}, "kernel_size": {"choose": [1, 3]}}})
    with pytest.raises(AssignmentError, match=message):
        space.from_assignment({"op.block": "conv", "op.kernel_size": 1, **change})
    with pytest.raises(AssignmentError, match="'op.kernel_size' is missing; options: 1, 3"):
        space.from_assignment({"op.block": "conv"})


def test_constraints_are_named_when_broken(tmp_path: Path) -> None:
    space = _space(tmp_path, {"a": {"block": "conv"}}, constraints={"parameters": {"max": 100}})
    assert str(space.violation(Cost(101, 5, 5))) == "parameters 101 > 100"
    assert space.violation(Cost(100, 5, 5)) is None
    assert space.limit(macs=4).violation(Cost(100, 5, 5)) == Violation("macs", 5, 4)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "{",
        '{"nodes": [], "output": "x"}',
        '{"nodes": [{"name": "a", "block": "conv", "params": {}, "inputs": ["input"]}], "output": "a"}',
        '{"nodes": [{"name": "a", "block": "zero", "params": {}, "inputs": ["a"]}], "output": "a"}',
        '{"nodes": [{"name": "a", "block": "os", "params": {}, "inputs": ["input"]}], "output": "a"}',
    ],
)
def test_foreign_json_is_no_architecture(text: str) -> None:
    with pytest.raises(AssignmentError, match="architecture"):
        Architecture.from_json(text)


def test_a_dict_is_a_space_as_a_file_with_it_is(tmp_path: Path) -> None:
    data = {
        "name": "small",
        "input": [1, 16, 16],
        "graph": {
            "stem": {"block": "conv", "channels": {"choose": [4, 8]}, "stride": 2},
            "head": {"block": "classifier"},
        },
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    made, read = Space.from_dict(data), Space.load(tmp_path / "small.yaml")
    assert (made.fingerprint, made.size) == (read.fingerprint, 2)
    assert made.from_assignment({"stem.channels": 8}) == read.from_assignment({"stem.channels": 8})
    stem = {"block": "cnov"}
    with pytest.raises(SpaceError, match=r"dict:\d+: node 'stem': no block 'cnov'; did you mean 'conv'"):
        Space.from_dict({**data, "graph": {"stem": stem}})
    with pytest.raises(SpaceError, match="a space is made of texts, numbers, lists and dicts"):
        Space.from_dict({**data, "graph": object()})
