"""What one network has that another has not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from nas.architecture.architecture import Architecture, Node
from nas.architecture.difference import Difference, difference
from nas.drawing.difference import draw_difference
from nas.network.lookup import find_network
from nas.space.space import Space
from tests.drawing.test_draw import chain, node, words_of
from tests.store.filling import draw as draw_sample


def statuses(found: Difference) -> list[tuple[str, str]]:
    return [(change.status, change.node.name) for change in found.changes if change.status != "same"]


def net(*nodes: Node) -> Architecture:
    return Architecture(nodes, nodes[-1].name)


STEM, HEAD = node("stem", "conv", "input", channels=16), "head"


def test_a_network_and_itself() -> None:
    found = difference(chain(3), chain(3))
    assert found.same
    assert found.count("same") == len(chain(3).nodes)


def test_a_block_put_in_between_is_all_that_is_new() -> None:
    plain = net(STEM, node("op", "conv", "stem", channels=16), node(HEAD, "classifier", "op"))
    more = net(
        STEM,
        node("op", "conv", "stem", channels=16),
        node("attention", "se", "op"),
        node("merge", "add", "attention", "stem"),
        node(HEAD, "classifier", "merge"),
    )
    assert statuses(difference(plain, more)) == [("added", "attention"), ("added", "merge")]
    assert statuses(difference(more, plain)) == [("removed", "attention"), ("removed", "merge")]


def test_changed_values_and_replaced_blocks_are_told() -> None:
    old = net(STEM, node("op", "conv", "stem", channels=16), node(HEAD, "classifier", "op"))
    wide = net(
        node("stem", "conv", "input", channels=32),
        node("op", "conv", "stem", channels=16, kernel_size=5),
        node(HEAD, "classifier", "op"),
    )
    found = difference(old, wide)
    assert [change.values for change in found.changes if change.values] == [
        (("channels", 16, 32),),
        (("kernel_size", 3, 5),),
    ]
    other = net(STEM, node("op", "aim", "stem"), node(HEAD, "classifier", "op"))
    (change,) = (change for change in difference(old, other).changes if change.status != "same")
    assert change.before is not None
    assert (change.before.block, change.node.block) == ("conv", "aim")


def test_a_new_edge_is_a_change_and_the_order_of_a_sum_is_none() -> None:
    def two(*inputs: str) -> Architecture:
        return net(
            STEM,
            node("a", "conv", "stem", channels=16),
            node("b", "conv", "a", channels=16),
            node("sum", "add", *inputs),
            node(HEAD, "classifier", "sum"),
        )

    found = difference(two("a", "b"), two("b", "stem"))
    assert statuses(found) == [("changed", "sum")]
    assert [change.rewired for change in found.changes if change.status == "changed"] == [True]
    assert statuses(difference(two("a", "b"), two("b", "a"))) == []


def test_more_copies_of_a_cell_are_added_copies() -> None:
    found = difference(chain(3), chain(5))
    added = [name for status, name in statuses(found) if status == "added"]
    assert len(added) == 4
    assert found.count("removed") == 0


@pytest.mark.parametrize("space", ["attn_cnn", "nas_bench_macro"])
def test_every_node_stands_once_and_in_order(space: str) -> None:
    rng = random.Random(3)
    before, after = (draw_sample(Space.load(space), rng)[2] for _ in range(2))
    found = difference(before, after)
    assert [change.before for change in found.changes if change.before] == list(before.nodes)
    assert [change.after for change in found.changes if change.after] == list(after.nodes)
    assert found.marks_before.keys() == {item.name for item in before.nodes}


def test_both_are_drawn_side_by_side(tmp_path: Path) -> None:
    first, second = find_network("kong_aim"), find_network("kong_aim_cam")
    found = difference(first.architecture, second.architecture)
    for name in ("a.svg", "b.svg", "a.png"):
        draw_difference(first, second, found, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    words = words_of(tmp_path / "a.svg")
    assert {"kong_aim", "kong_aim_cam", "only on the right"} <= set(words)
    assert words.count("cam") == 4
    assert words.count("aim") == 8
