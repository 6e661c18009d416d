"""What a block is, read from the text of its file: the same as when the file is run, or an error that says where."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
from torch import nn

import blocks
import blocks.base
from blocks.base import BLOCKS, DECLARED, Block, OneOf, block, declare
from blocks.declarations import declared
from nas.errors import BlockError
from nas.plugins.registry import Registry

FILE = '''
from typing import Annotated
from blocks.base import OneOf, Range, Width, block

PAPER = "A and B 2020"
Size = Annotated[int, OneOf(1, 3), "side of the kernel"]


@block("mine", source=f"{PAPER}, eq. 1", some_on=("switch",))
class Mine:
    """x (B, C, H, W) -> (B, channels, H, W)

    Does nothing. Or something.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        channels: Width = "x1",
        size: Annotated[Size, "another line"] = 3,
        offset: Annotated[float, Range(-1.0, 1.0, (-1.0, 1.0)), "what is added"] = -0.5,
        switch: Annotated[bool, OneOf(True, False), "whether it is on"] = True,
    ) -> None: ...
'''


def test_a_block_is_known_without_running_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"{FILE}\nraise RuntimeError('it was run')\n")
    (found,) = declared(tmp_path, "others")
    assert (found.name, found.home, found.source) == ("mine", ("others.mine", "Mine"), "A and B 2020, eq. 1")
    assert found.summary == "Does nothing."
    assert found.filled_in == ("in_channels",)
    assert {key: (str(one.allowed), one.default, one.meaning) for key, one in found.hyperparameters.items()} == {
        "channels": ("1 to 65536, or x0.5, x1, x2 … relative to the input", "x1", "channels of the output"),
        "size": ("1, 3", 3, "another line"),
        "offset": ("-1.0 to 1.0", -0.5, "what is added"),
        "switch": ("true, false", True, "whether it is on"),
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("OneOf(1, 3)", "OneOf(*range(3))", r"mine.py:6: '\*range\(3\)' describes a block and is not written out"),
        ('f"{PAPER}, eq. 1"', "PAPERS[0]", r"mine.py:9: 'PAPERS\[0\]' describes a block and is not written out"),
        ("Size = A", "Sizes = A", r"mine.py:21: 'Size' describes a block and is not written out"),
        ("__init__", "__new__", r"mine.py:10: class Mine has no constructor of its own"),
        ("= -0.5", "= 2.0", r"block 'mine': 'offset' needs OneOf, Range or Width, and an allowed default"),
    ],
)
def test_what_cannot_be_read_without_running_it_is_an_error(old: str, new: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE.replace(old, new))
    with pytest.raises(TypeError, match=message):
        list(declared(tmp_path, "others"))


def test_every_file_says_the_same_when_it_is_run() -> None:
    for path in Path(blocks.__file__).parent.glob("*.py"):
        importlib.import_module("blocks" if path.stem == "__init__" else f"blocks.{path.stem}")  # compares, or raises
    for name, one in BLOCKS.items():
        if one.home[0].startswith("blocks."):
            assert DECLARED.get(one.home) is one, f"{name} is known only when its file is run"
            assert (one.module.__module__, one.module.__qualname__) == one.home


class Changing(nn.Module):
    def __init__(self, in_channels: int, *, size: Annotated[int, OneOf(1, 3), "a side"] = 3) -> None: ...


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Block:
    """`Changing`, known from the text of its file alone."""
    monkeypatch.setattr(blocks.base, "BLOCKS", Registry("block", "nas.nothing", BlockError))
    block("changing", source="a test, 1")(Changing)
    made = blocks.base.BLOCKS["changing"]
    monkeypatch.setattr(blocks.base, "BLOCKS", Registry("block", "nas.nothing", BlockError))
    monkeypatch.setattr(blocks.base, "DECLARED", {})
    found = replace(made)
    declare(found)
    return found


def test_a_block_of_a_file_that_is_run_after_all_stays_what_it_is(read: Block) -> None:
    block("changing", source="a test, 1")(Changing)
    assert blocks.base.BLOCKS["changing"] is read


@pytest.mark.parametrize(("name", "source"), [("changing", "a test, 2"), ("changed", "a test, 1")])
def test_a_block_that_is_another_when_its_file_is_run_is_refused(read: Block, name: str, source: str) -> None:
    with pytest.raises(BlockError, match=f"block '{name}': its file does not say what it is when it is run"):
        block(name, source=source)(Changing)
    assert dict(blocks.base.BLOCKS) == {"changing": read}


def test_another_class_does_not_take_the_name_of_one_that_was_only_read(read: Block) -> None:
    class Other(Changing): ...

    with pytest.raises(BlockError, match="block 'changing' exists already; give yours another name"):
        block("changing", source="a test, 1")(Other)
    with pytest.raises(BlockError, match="block 'changing' exists already"):
        declare(replace(read, home=("blocks.elsewhere", "Changing")))
    assert blocks.base.BLOCKS["changing"] is read
