from __future__ import annotations

import re
from pathlib import Path

import pytest

from nas.errors import SpaceError
from nas.space.space import Space

GOOD = """\
name: small
input: [3, 8, 8]
graphs:
  cell:
    op:    {block: {choose: [conv, identity]}, kernel_size: {choose: [1, 3]}}
    merge: {block: add, inputs: [op, {choose: [none, input]}]}
graph:
  stem:  {block: conv, channels: 8}
  cells: {graph: cell, repeat: {choose: [1, 2]}}
  head:  {block: classifier, pool: average}
constraints: {parameters: {max: 30.0e+6}}
"""

# what to replace, by what, the line of the error, and what the error says
BAD = [
    ("name: small", "name: 3", 1, "name: must be a text, not 3"),
    ("name: small\n", "", 1, "the key 'name' is missing"),
    ("input: [3, 8, 8]", "input: [3, 8]", 2, r"must be \[channels, height, width\]"),
    ("graphs:", "graph_s:", 3, "unknown key 'graph_s'; did you mean 'graphs'"),
    ("[conv, identity]", "[cnv, identity]", 5, "node 'op': no block 'cnv'; did you mean 'conv'"),
    ("kernel_size:", "kernelsize:", 5, "no hyperparameter 'kernelsize'; did you mean 'kernel_size'"),
    ("[1, 3]}", "[1, 4]}", 5, "kernel_size of block 'conv' must be 1, 3, 5, 7, not 4"),
    ("[1, 3]}", "[3, 3]}", 5, "duplicate option 3"),
    ("[1, 3]}", "[]}", 5, "choose has no options"),
    ("[op, ", "[opp, ", 6, "no node 'opp' in this graph; did you mean 'op'"),
    ("[op, {choose: [none, input]}]", "[head]", 6, "no node 'head' in this graph; nodes before it: input, op"),
    ("[op, ", "[merge, ", 6, "cyclic graph: merge -> merge"),
    ("[op, {choose: [none, input]}]", "[input, input]", 5, "node 'op': no other node takes it as input"),
    ("[op, {choose: [none, input]}]", "[{choose: [none, op]}]", 6, "at least one must always be there"),
    ("{block: add, ", "{block: conv, ", 6, "block 'conv' takes one input, not 2; merge first"),
    ("{block: add, inputs: [op, {choose: [none, input]}]}", "{graph: cell}", 4, "cyclic graph: 'cell' contains 'cell'"),
    ("channels: 8", "channels: x0", 8, "channels of block 'conv' must be"),
    ("channels: 8", "channels: 8, channels: 9", 8, "duplicate key 'channels'"),
    (
        "{block: conv, channels: 8}",
        "{blok: conv}",
        8,
        "needs exactly one of 'block', 'graph' and 'choose'.*did you mean",
    ),
    ("{graph: cell,", "{graph: cel,", 9, "no graph 'cel'; did you mean 'cell'"),
    ("repeat: {choose: [1, 2]}", "repeat: many", 9, "repeat must be a whole number from 0 to 1000, not 'many'"),
    ("repeat: {choose: [1, 2]}", "share: true", 9, "there is no repeat"),
    ("repeat: {choose: [1, 2]}", "repeat: {chose: [1, 2]}", 9, r"must be a value or {choose: \[...\]}"),
    ("parameters:", "parameter:", 11, "unknown key 'parameter'; did you mean 'parameters'"),
    ("{max: 30.0e+6}", "{max: -1}", 11, "max must be a number from 0, not -1"),
    ("{max: 30.0e+6}", "{max: 1, min: 2}", 11, "min 2 is above max 1"),
    ("channels: 8", "channels: !!python/object:os.system 8", 8, "is not plain data"),
    (
        "{block: conv, channels: 8}",
        "&a {block: conv}\n  more: *a",
        9,
        "anchors and aliases are not part of the grammar",
    ),
    ("head:  {block: classifier, pool: average}", "head:  {block: conv}", 10, "ends with 8×8×8, not with 10 logits"),
    ("channels: 8}", "channels: 8", 9, "not valid YAML"),
    (
        "kernel_size: {choose: [1, 3]}",
        "present: false, inputs: [{choose: [input, none]}, input]",
        5,
        "takes one input|fixed input",
    ),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), BAD)
def test_a_mistake_is_named_with_its_line(old: str, new: str, line: int, message: str, tmp_path: Path) -> None:
    assert GOOD.count(old) >= 1
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(SpaceError) as caught:
        Space.load(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}:{line}: "), text
    assert re.search(message, text), text


def test_the_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    space = Space.load(path)
    assert space.size == 3 * 2 + (3 * 2) ** 2
    assert space.constraints["parameters"].max == 30e6


def test_shapes_that_can_never_meet_are_found_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: s\ninput: [3, 8, 8]\ngraph:\n  smaller: {block: conv, stride: 2}\n"
        "  sum: {block: add, inputs: [smaller, input]}\n  head: {block: classifier}\n"
    )
    with pytest.raises(SpaceError, match=r"bad.yaml:5: node 'sum': .*3×4×4 and 3×8×8; no architecture fits"):
        Space.load(path)


@pytest.mark.parametrize("text", ["", "just a word", "- a\n- list\n", "\x00", "{" * 5000])
def test_what_is_no_space_file_is_one_clear_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        Space.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_nearest_shipped_space(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="did you mean 'nas_bench_macro'"):
        Space.load("nas_bench_marco")
    with pytest.raises(SpaceError, match="no such file"):
        Space.load(tmp_path / "absent.yaml")
    with pytest.raises(SpaceError, match="this is a folder"):
        Space.load(tmp_path)
