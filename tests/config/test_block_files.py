"""Files of a user's own blocks: what is refused, what a study remembers, and blocks that are typed in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks import BLOCKS, measure
from nas.config import block_files
from nas.config.block_files import Origin, check_blocks, load_blocks, origin, origins, own_blocks
from nas.errors import BlockError, SpaceError
from nas.space.space import Space
from tests.conftest import REPOSITORY, Run

OWN = '''\
from typing import Annotated

from torch import Tensor, nn

import nas


@nas.block("own_scale")
class Scale(nn.Module):
    """x (B, C, H, W) -> (B, C, H, W)

    Scales what enters.
    """

    def __init__(self, *, by: Annotated[int, nas.OneOf(2, 3), "factor"] = 2) -> None:
        super().__init__()
        self.by = by
        self.weight = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.by
'''


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A file with one block; what a test adds is gone after it."""
    before = set(BLOCKS)
    path = tmp_path / "own.py"
    path.write_text(OWN)
    yield path
    for name in set(BLOCKS) - before:
        BLOCKS.remove(name)
    block_files._loaded.clear()


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nas\n\nclass A(:\n", "bad.py:3: not valid Python: invalid syntax"),
        ("import nas\nx = 1 / 0\n", "bad.py:2: ZeroDivisionError: division by zero"),
        ("def f():\n    raise SystemExit(3)\nf()\n", "bad.py:2: SystemExit: 3"),
        ("import not_there_at_all\n", "bad.py:1: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("x = 1\n", 'bad.py: no block in it; a block is a class with @nas.block("name")'),
        (OWN.replace("own_scale", "cbam"), "bad.py:8: block 'cbam' exists already; give yours another name"),
        (OWN.replace("own_scale", "9"), "bad.py:8: block '9': a name is letters, digits, '_' and '-', beginning"),
        (
            OWN.replace(" = 2) ->", ") ->"),
            "bad.py:8: block 'own_scale': 'by' needs OneOf, Range or Width, and an allowed",
        ),
        (
            OWN.replace(': Annotated[int, nas.OneOf(2, 3), "factor"]', ""),
            "bad.py:8: block 'own_scale': 'by' needs OneOf",
        ),
        ("import nas\n\n@nas.block('f')\ndef f(x): ...\n", "bad.py:3: block 'f': must be a class of torch.nn.Module"),
        (OWN.replace("self, *", "self, width: int, *"), "bad.py:8: block 'own_scale': 'width' is none of in_channels"),
        ("x = '\x00'", "bad.py: not valid Python: source code string cannot contain null bytes"),
    ],
)
def test_a_broken_file_is_told_in_one_line(run: Run, own: Path, text: str, message: str) -> None:
    Path("bad.py").write_text(text)
    names = set(BLOCKS)
    code, out, err = run("blocks", "--blocks", "bad.py")
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert message.replace("bad.py: not valid Python: source", "not valid Python: source") in err.replace(
        "bad.py:1: not valid", "not valid"
    )
    assert set(BLOCKS) == names, "nothing of it stays"


def test_a_file_that_is_none(run: Run) -> None:
    assert (
        "nas: error: absent.py: cannot be read: No such file or directory" in run("blocks", "--blocks", "absent.py")[2]
    )
    Path("folder").mkdir()
    assert "nas: error: folder: is no file of blocks" in run("blocks", "--blocks", "folder")[2]
    Path("bytes.py").write_bytes(b"\xff\xfe\xff")
    assert "nas: error: bytes.py: not a text file in UTF-8" in run("blocks", "--blocks", "bytes.py")[2]
    Path("large.py").write_text("#" * (1 << 21))
    assert "nas: error: large.py: larger than 1024 KiB" in run("blocks", "--blocks", "large.py")[2]


def test_commands_know_the_blocks_of_a_file(run: Run, own: Path) -> None:
    Path("own.yaml").write_text(
        "name: own\ninput: [1, 8, 8]\ngraph:\n  a: {block: own_scale, by: {choose: [2, 3]}}\n  head: {block: classifier}\n"
    )
    code, _, err = run("space", "check", "own.yaml")
    assert (code, "no block 'own_scale'" in err, "(a block of your own is given with --blocks FILE)" in err) == (
        2,
        True,
        True,
    )
    for words in (["check"], ["show"], ["count"], ["sample"], ["cost", "--assignment", '{"a.by": 3}']):
        code, out, err = run("space", words[0], "own.yaml", "--blocks", str(own), *words[1:])
        assert code == 0, err
        assert out
    code, out, err = run("blocks", "own_scale", "--blocks", str(own))
    assert (code, err) == (0, "")
    assert "own_scale  Scales what enters." in out
    assert "by: 2, 3 (default 2): factor" in out


def test_a_file_is_run_once_and_one_that_has_changed_replaces_its_blocks(own: Path) -> None:
    assert load_blocks(own, own) == ["own_scale", "own_scale"]
    first = BLOCKS["own_scale"].module
    assert load_blocks(str(own)) == ["own_scale"]
    assert BLOCKS["own_scale"].module is first
    facts = measure("own_scale", (("by", 2),), ((1, 4, 4),), 10)
    own.write_text(OWN.replace("nn.Linear(1, 1)", "nn.Linear(7, 7)").replace('"own_scale"', '"other_scale"'))
    assert load_blocks(own) == ["other_scale"]
    assert "own_scale" not in BLOCKS
    own.write_text(OWN.replace("nn.Linear(1, 1)", "nn.Linear(9, 9)"))
    load_blocks(own)
    assert measure("own_scale", (("by", 2),), ((1, 4, 4),), 10).parameters == 90 > facts.parameters
    own.write_text(OWN + "raise ValueError('not yet')\n")
    with pytest.raises(BlockError, match=r"own.py:\d+: ValueError: not yet"):
        load_blocks(own)
    assert measure("own_scale", (("by", 2),), ((1, 4, 4),), 10).parameters == 90, "the last version that worked stays"


def test_a_space_is_read_again_when_its_blocks_have_changed(own: Path) -> None:
    space = own.with_suffix(".yaml")
    space.write_text(
        "name: own\ninput: [1, 8, 8]\ngraph:\n  a: {block: own_scale, by: {choose: [2, 3]}}\n  head: {block: classifier}\n"
    )
    load_blocks(own)
    assert Space.load(space) is Space.load(space), "as long as nothing changes it is read once"
    more = OWN.replace("nas.OneOf(2, 3), ", "nas.OneOf(2, 4), ").replace("= 2) ->", "= 4) ->")
    own.write_text(more)
    load_blocks(own)
    with pytest.raises(SpaceError, match=r"own.yaml:4: .*by.*2, 4"):
        Space.load(space)


def test_a_study_notices_that_a_block_has_changed_or_is_missing(own: Path) -> None:
    load_blocks(own)
    begun = origins(["conv", "own_scale"])
    assert list(begun) == ["own_scale"], "ours need no fingerprint"
    assert begun["own_scale"].place == str(own)
    check_blocks("first", begun)
    own.write_text(f"# another comment\n{OWN}")
    load_blocks(own)
    with pytest.raises(BlockError, match=r"study 'first' was begun with another version of the block 'own_scale' \("):
        check_blocks("first", begun)
    with pytest.raises(
        BlockError, match="study 'first' uses the block 'gone' of a.py, which is not there; give it with --blocks"
    ):
        check_blocks("first", {"gone": Origin("a.py", "00")})


def test_another_process_gets_the_text_of_the_file_and_not_its_name(own: Path) -> None:
    load_blocks(own)
    given = own_blocks(["conv", "own_scale"])
    assert [file.text for file in given.files] == [OWN]
    own.unlink()
    BLOCKS.remove("own_scale")
    block_files._loaded.clear()
    given.load()
    given.load()
    assert BLOCKS["own_scale"].make({"by": 3}, ((1, 4, 4),), 10)


CELLS = '''
import linecache, sys
def cell(number, text):
    name = f"<ipython-input-{number}-abc>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), globals())
cell(1, "import nas\\nfrom torch import nn\\nFACTOR = 3\\n")
cell(2, "def times(x):\\n    return x * FACTOR\\n")
text = """@nas.block("typed")
class Typed(nn.Module):
    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, %d)
    def forward(self, x):
        return times(self.conv(x))
"""
cell(3, text % 1)
from nas.config.block_files import origins
first = origins(["typed"])
cell(4, text % 3)
assert origins(["typed"]) != first
from nas.architecture.architecture import Architecture, Node
from nas.export.python import Notes, to_python
nodes = (Node("typed", "typed", (), ("input",)), Node("head", "classifier", tuple(sorted(
    (one.name, one.default) for one in nas.blocks_of("classifier"))), ("typed",)))
'''


@pytest.mark.long
def test_cells_of_a_notebook(tmp_path: Path) -> None:
    code = CELLS.replace('nas.blocks_of("classifier")', "BLOCKS['classifier'].hyperparameters.values()").replace(
        "nodes = (", "from blocks import BLOCKS\nnodes = ("
    )
    code += "print(to_python(Architecture(nodes, 'head'), (1, 8, 8), 10, Notes('Typed.')))\n"
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "FACTOR = 3" in done.stdout
    assert "self.conv = nn.Conv2d(in_channels, in_channels, 3)" in done.stdout, "the latest cell counts"
    assert "nas.block" not in done.stdout
    (tmp_path / "typed.py").write_text(done.stdout)
    alone = subprocess.run(
        [sys.executable, "-I", "typed.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert "(1, 1, 8, 8) -> (1, 10)" in alone.stdout, alone.stderr


def test_a_block_whose_source_is_nowhere_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    code = (
        "import nas\nfrom torch import nn\n"
        "@nas.block('typed')\nclass Typed(nn.Module):\n    def forward(self, x):\n        return x\n"
        "from nas.config.block_files import origins\norigins(['typed'])\n"
    )
    done = python(tmp_path, "-c", code)
    assert "BlockError: block 'typed': its source cannot be read" in done.stderr
    assert "write it into a file, and name that with --blocks or nas.load_blocks" in done.stderr


def test_blocks_of_ours_have_no_origin() -> None:
    assert all(origin(block) is None for block in BLOCKS.values() if block.module.__module__.startswith("blocks."))
