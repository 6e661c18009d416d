"""Architectures drawn to SVG and PNG."""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from blocks import BLOCKS
from blocks.base import Scalar
from nas.architecture.architecture import Architecture, Node
from nas.architecture.cost import cost, facts
from nas.drawing.draw import draw, markup
from nas.drawing.groups import Group, group
from nas.errors import Infeasible, NasError
from nas.space.published import PublishedConfig
from nas.space.space import Space
from nas.text.formatting import short
from tests.store.filling import draw as draw_sample

INPUT = (3, 32, 32)


def node(name: str, block: str, *inputs: str, **values: Scalar) -> Node:
    params = {key: parameter.default for key, parameter in BLOCKS[block].hyperparameters.items()} | values
    return Node(name, block, tuple(sorted(params.items())), inputs)


@pytest.fixture(scope="module")
def sample() -> Architecture:
    return draw_sample(Space.load("attn_cnn"), random.Random(5))[2]


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_same_architecture_gives_the_same_bytes(sample: Architecture, tmp_path: Path, ending: str) -> None:
    draw(sample, INPUT, 10, tmp_path / f"a.{ending}", "title")
    draw(Architecture.from_json(sample.to_json()), INPUT, 10, tmp_path / f"b.{ending}", "title")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_an_svg_is_well_formed_and_says_what_it_shows(sample: Architecture, tmp_path: Path) -> None:
    draw(sample, INPUT, 10, tmp_path / "a.svg", "sample 5 of attn_cnn", fold=False)
    text = (tmp_path / "a.svg").read_text()
    ElementTree.fromstring(text)
    # matplotlib writes each text as outlines below a comment with the words
    words = re.findall(r"<!-- (.*?) -->", text)
    assert "sample 5 of attn_cnn" in words
    assert any(f"{cost(sample, INPUT, 10).parameters:,} parameters" in line for line in words)
    assert {"input", "3×32×32", "10"} <= set(words)
    for block, count in sample.blocks.items():
        assert words.count(block) >= count
    for group_ in group(sample).members:
        if isinstance(group_, Group):
            assert group_.path in words


def test_hyperparameters_are_named_unless_they_say_nothing_new(tmp_path: Path) -> None:
    nodes = (
        node("stem", "conv", "input", channels=16),
        node("same", "conv", "stem", channels=16, kernel_size=5),
        node("head", "classifier", "same"),
    )
    draw(Architecture(nodes, "head"), INPUT, 10, tmp_path / "a.svg")
    words = re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text())
    assert "channels 16" in words  # the stem widens 3 channels
    assert "kernel_size 5" in words  # a width that changes nothing is no news


def test_a_png_is_legible_and_not_blank(sample: Architecture, tmp_path: Path) -> None:
    draw(sample, INPUT, 10, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 800
        assert 0.3 < image.width / image.height < 4
        assert len(image.convert("L").resize((64, 64)).getcolors(4096)) > 10


@pytest.mark.parametrize("space", ["attn_cnn", "nas_bench_macro"])
def test_every_block_of_random_architectures_is_drawn(space: str, tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(3):
        architecture = draw_sample(Space.load(space), rng)[2]
        draw(architecture, INPUT, 10, tmp_path / "a.svg", fold=False)
        words = re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text())
        for block, count in architecture.blocks.items():
            assert words.count(block) >= count


def test_refusals_are_one_line(sample: Architecture, tmp_path: Path) -> None:
    for path, says in (
        (tmp_path / "a.jpeg", "written as .svg or .png, not as '.jpeg'"),
        (tmp_path / "picture", "not as 'picture'"),
        (tmp_path / "absent" / "a.svg", "cannot be written: No such file or directory"),
    ):
        with pytest.raises(NasError, match=says) as caught:
            draw(sample, INPUT, 10, path)
        assert "\n" not in str(caught.value)
    with pytest.raises(Infeasible):
        draw(sample, (3, 2, 2), 10, tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


def outline(member: Node | Group) -> object:
    return member.name if isinstance(member, Node) else (member.path, [outline(inner) for inner in member.members])


def test_groups_follow_the_paths() -> None:
    architecture = Architecture(
        (
            node("stem", "identity", "input"),
            node("rest.0.widen", "identity", "stem"),
            node("rest.0.cells.0.a", "identity", "rest.0.widen"),
            node("rest.0.cells.0.b", "add", "rest.0.cells.0.a", "rest.0.widen"),
            node("rest.0.cells.1.a", "identity", "rest.0.cells.0.b"),
            node("rest.1.widen", "identity", "rest.0.cells.1.a"),
            node("head.pool", "identity", "rest.1.widen"),
            node("head.logits", "classifier", "head.pool"),
        ),
        "head.logits",
    )
    assert [outline(member) for member in group(architecture).members] == [
        "stem",
        ("rest.0", ["rest.0.widen", ("rest.0.cells.0", ["rest.0.cells.0.a", "rest.0.cells.0.b"]), "rest.0.cells.1.a"]),
        "rest.1.widen",
        ("head", ["head.pool", "head.logits"]),
    ]


def test_what_is_entered_or_left_twice_is_no_group() -> None:
    architecture = Architecture(
        (
            node("stem", "identity", "input"),
            node("pair.0", "identity", "stem"),
            node("pair.1", "identity", "stem"),
            node("both.a", "add", "pair.0", "pair.1"),
            node("both.b", "add", "pair.0", "both.a"),
            node("head", "classifier", "both.b"),
        ),
        "head",
    )
    assert [outline(member) for member in group(architecture).members] == [
        "stem",
        "pair.0",
        "pair.1",
        "both.a",
        "both.b",
        "head",
    ]


def test_parallel_branches_and_dense_cells(tmp_path: Path) -> None:
    nodes = [node("stem", "conv", "input", channels=16)]
    for branch, length in enumerate((1, 2, 3)):
        before = "stem"
        for place in range(length):
            nodes.append(node(f"mixed.branch{branch}.{place}", "conv", before, channels=16))
            before = nodes[-1].name
    nodes.append(node("mixed.join", "concat", "mixed.branch0.0", "mixed.branch1.1", "mixed.branch2.2"))
    seen = ["mixed.join"]
    for place in range(5):
        nodes.append(node(f"dense.{place}.join", "concat", *seen))
        nodes.append(node(f"dense.{place}.conv", "conv", f"dense.{place}.join", channels=16))
        seen.append(nodes[-1].name)
    nodes.append(node("twice", "add", seen[-1], seen[-1]))
    nodes.append(node("head", "classifier", "twice"))
    architecture = Architecture(tuple(nodes), "head")
    draw(architecture, INPUT, 10, tmp_path / "a.svg", fold=False)
    words = re.findall(r"<!-- (.*?) -->", (tmp_path / "a.svg").read_text())
    assert words.count("conv") == architecture.blocks["conv"]
    assert words.count("48×32×32") == 2  # the join, and the first of the dense cell that just passes it on


def chain(length: int) -> Architecture:
    """A stem, `length` equal residual cells, a last cell that differs, and a classifier."""
    nodes = [node("stem", "conv", "input", channels=16)]
    for place in range(length + 1):
        before = nodes[-1].name
        kernel = 3 if place < length else 5
        nodes.append(node(f"cells.{place}.op", "conv", before, channels=16, kernel_size=kernel))
        nodes.append(node(f"cells.{place}.merge", "add", f"cells.{place}.op", before))
    nodes.append(node("head", "classifier", nodes[-1].name))
    return Architecture(tuple(nodes), "head")


def words_of(path: Path) -> list[str]:
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def test_equal_parts_in_a_row_are_drawn_once_with_their_number(tmp_path: Path) -> None:
    draw(chain(17), INPUT, 10, tmp_path / "folded.svg")
    words = words_of(tmp_path / "folded.svg")
    assert "cells.0 … 16  × 17" in words
    assert words.count("add") == 2  # of the folded cells, and of the one with the larger kernel
    one = facts(chain(17), INPUT, 10)["cells.0.op"].parameters
    assert short(17 * one) in words  # the frame counts every copy
    draw(chain(17), INPUT, 10, tmp_path / "whole.svg", fold=False)
    assert words_of(tmp_path / "whole.svg").count("add") == 18


def test_what_is_read_from_elsewhere_or_stands_twice_is_not_folded(tmp_path: Path) -> None:
    draw(chain(2), INPUT, 10, tmp_path / "two.svg")
    assert words_of(tmp_path / "two.svg").count("add") == 3
    nodes = [node("stem", "conv", "input", channels=16)]
    for place in range(4):
        nodes.append(node(f"op.{place}", "conv", nodes[-1].name, channels=16))
    nodes.append(node("skip", "add", nodes[-1].name, "op.1"))  # reads the middle of the chain
    nodes.append(node("head", "classifier", "skip"))
    draw(Architecture(tuple(nodes), "head"), INPUT, 10, tmp_path / "skip.svg")
    assert words_of(tmp_path / "skip.svg").count("conv") == 5


def test_shade_and_legend_follow_the_measure(tmp_path: Path) -> None:
    for measure, words in (("parameters", "share of all parameters:"), ("macs", "share of all MACs:")):
        draw(chain(1), INPUT, 10, tmp_path / f"{measure}.svg", measure=measure)  # type: ignore[arg-type]
        assert words in words_of(tmp_path / f"{measure}.svg")
    assert (tmp_path / "parameters.svg").read_bytes() != (tmp_path / "macs.svg").read_bytes()


def test_a_drawing_for_a_page_keeps_its_letters_and_escapes_them() -> None:
    svg = markup(chain(3), INPUT, 10, 'a "label" <b>')
    ElementTree.fromstring(svg)
    assert "cells.0 … 2  × 3" in svg
    assert "a &quot;label&quot; &lt;b&gt;" in svg
    assert "#" not in svg  # colours are the page's


@pytest.mark.parametrize("name", ["davis_densenet_bc", "balashov_aicnn", "kong_aim_cam"])
def test_no_lone_block_has_a_column_to_itself(name: str) -> None:
    config = PublishedConfig.load(name)
    architecture = Space.load(config.space).from_assignment(config.assignment, config.input, config.classes)
    drawing = ElementTree.fromstring(markup(architecture, config.input, config.classes, name))
    height = float(drawing.attrib["height"])
    boxes = [{key: float(box.attrib[key]) for key in ("x", "width", "y")} for box in drawing.iter("rect")]
    for box in boxes:
        middle = box["x"] + box["width"] / 2
        column = [other for other in boxes if abs(other["x"] + other["width"] / 2 - middle) < 40]
        assert len(column) > 1 or height < 200
