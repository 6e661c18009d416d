"""Blocks of a user's own: in files that are named on the command line, in a notebook or a script, or in an installed package.

A file is run because the user names it, once, under a module name made from its text; its text goes with a search to the workers,
and nothing is ever run because a database, a card or a file of a network names it. What a study remembers of such blocks is a
fingerprint, by which it notices that one has changed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import inspect
import linecache
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from nas.errors import BlockError
from nas.objectives import OBJECTIVES
from nas.plugins.registry import changes
from nas.text.sanitize import expanded

if TYPE_CHECKING:
    from blocks.base import Block

OWN_HINT = " (a block of your own is given with --blocks FILE)"
"""What an error about a block that is not there ends with."""

MOST_BYTES = 1 << 20
_CELL = re.compile(r"<(ipython|python)-input-|.*[/\\]ipykernel_")
"""How Jupyter, IPython and Python's prompt call what was typed into them."""


@dataclass(frozen=True)
class BlockFile:
    """A file of blocks as it was when it was read."""

    path: str
    """Path as the user named it."""
    text: str

    @property
    def digest(self) -> str:
        """The SHA-256 of its text, hexadecimal."""
        return _digest(self.text)

    @property
    def module(self) -> str:
        """The name of the module that it becomes."""
        return f"nas_blocks_{self.digest[:16]}"


@dataclass(frozen=True)
class Origin:
    """Where a block comes from that is not one of ours."""

    place: str
    """File or module."""
    digest: str
    """SHA-256 of the source, hexadecimal."""


@dataclass(frozen=True)
class OwnBlocks:
    """What another process needs for the blocks of a user's own; Ray carries it there."""

    files: tuple[BlockFile, ...] = ()
    modules: tuple[str, ...] = ()
    """Modules of installed packages, or beside the user's script."""
    typed: tuple[Block, ...] = ()
    """Blocks of the script or notebook itself, which Ray sends as they are."""

    def load(self) -> None:
        """Adds those that are not there yet."""
        from blocks.base import BLOCKS

        for file in self.files:
            use(file)
        for name in self.modules:
            importlib.import_module(name)
        for block in self.typed:
            BLOCKS.add(block.name, block, block.module)


_loaded: dict[str, tuple[BlockFile, tuple[str, ...]]] = {}
"""Files that were run, by the name of their module, with the names of their blocks."""


def load_blocks(*paths: str | Path) -> list[str]:
    """Runs Python files with blocks of your own, classes with ``@nas.block("name")``, and returns the names of the blocks.

    Spaces can then use them. A metric, a loss or whatever else can be added by a decorator may stand there too, or alone. A file
    that has changed since replaces its earlier blocks. Raises BlockError with file, line and reason when a file cannot be read or
    run, or adds nothing, and when the name of a block is taken.
    """
    return [name for path in paths for name in use(_read(path))]


def _read(path: str | Path) -> BlockFile:
    file = expanded(path)
    try:
        if file.exists() and not file.is_file():
            raise BlockError(f"{path}: is no file of blocks")
        if file.stat().st_size > MOST_BYTES:
            raise BlockError(f"{path}: larger than {MOST_BYTES >> 10} KiB; a file of blocks is written by hand")
        return BlockFile(str(path), file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BlockError(f"{path}: not a text file in UTF-8") from None
    except OSError as problem:
        raise BlockError(f"{path}: cannot be read: {problem.strerror}") from None


class _Loader(importlib.abc.InspectLoader):
    """Makes a module of a text."""

    def __init__(self, file: BlockFile) -> None:
        self.file = file

    def get_source(self, fullname: str) -> str:
        return self.file.text

    def get_code(self, fullname: str) -> CodeType:
        try:
            return self.source_to_code(self.file.text, self.file.path)
        except SyntaxError as problem:
            line = f":{problem.lineno}" if problem.lineno else ""
            raise BlockError(f"{self.file.path}{line}: not valid Python: {problem.msg}") from None
        except ValueError as problem:  # a zero byte, in older Pythons
            raise BlockError(f"{self.file.path}: not valid Python: {problem}") from None


def use(file: BlockFile) -> tuple[str, ...]:
    """Runs a file that has not been run yet. Returns the names of its blocks."""
    from blocks.base import BLOCKS

    if file.module in _loaded:
        return _loaded[file.module][1]
    loader = _Loader(file)
    spec = importlib.util.spec_from_loader(file.module, loader, origin=file.path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = file.path
    # Where a traceback shows a line it is that of the text which was run, whatever the file says by then.
    linecache.cache[file.path] = (len(file.text), None, file.text.splitlines(keepends=True), file.path)
    earlier = {name: BLOCKS[name] for other, names in _loaded.values() if other.path == file.path for name in names}
    for name in earlier:
        BLOCKS.remove(name)
    before, added, known = set(BLOCKS), changes(), dict(OBJECTIVES)
    sys.modules[file.module] = module
    try:
        _run(loader, module, file)
        names = tuple(name for name in BLOCKS if name not in before)
        if changes() == added and all(known.get(name) is row for name, row in OBJECTIVES.items()):
            raise BlockError(f'{file.path}: no block in it; a block is a class with @nas.block("name")')
    except BaseException:
        del sys.modules[file.module]
        for name in [name for name in BLOCKS if name not in before]:
            BLOCKS.remove(name)
        for name, block in earlier.items():
            BLOCKS.add(name, block, block.module)
        raise
    for key in [key for key, (other, _) in _loaded.items() if other.path == file.path]:
        del _loaded[key]
    _loaded[file.module] = file, names
    return names


def _run(loader: _Loader, module: ModuleType, file: BlockFile) -> None:
    code = loader.get_code(module.__name__)
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as problem:  # whatever a file can do
        frames = reversed(traceback.extract_tb(problem.__traceback__))
        line = next((frame.lineno for frame in frames if frame.filename == code.co_filename), None)
        place = file.path if line is None else f"{file.path}:{line}"
        text = " ".join(str(problem).split())
        if not isinstance(problem, BlockError):
            text = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
        raise BlockError(f"{place}: {text}") from problem


# What is known of a block's source -----------------------------------------------------------------------------------


def module_source(name: str) -> str:
    """The source of a module as it was run. Raises OSError where it is not known."""
    if name in _loaded:
        return _loaded[name][0].text
    module = sys.modules.get(name)
    if module is None:
        raise OSError(f"module '{name}' is not imported")
    if getattr(module, "__file__", None) is None:  # a notebook, or Python's prompt
        cells = [
            _runs("".join(entry[2])) for key, entry in linecache.cache.items() if _CELL.match(key) and len(entry) > 2
        ]
        return "\n\n".join(cells)
    return inspect.getsource(module)


def _runs(cell: str) -> str:
    """A cell; nothing where it has more than Python in it, such as ``%time``."""
    try:
        ast.parse(cell)
    except SyntaxError:
        return ""
    return cell


def origin(block: Block) -> Origin | None:
    """Where a block comes from; None for one of ours. Raises BlockError when its source is not known."""
    name, definition = block.home
    if name.partition(".")[0] == "blocks":
        return None
    if (home := _home(block)) is not None:
        return Origin(home.path, home.digest)
    try:
        source = module_source(name)
    except OSError:
        source = ""
    if name == "__main__":  # the rest of a script or notebook says what is searched, and changes
        source = _definition(source, definition)
    if not source:
        raise BlockError(
            f"block '{block.name}': its source cannot be read, and a search has to tell whether it has changed; write it into a "
            "file, and name that with --blocks or nas.load_blocks"
        )
    return Origin(name, _digest(source))


def origins(names: Iterable[str]) -> dict[str, Origin]:
    """Where these blocks come from, without ours."""
    from blocks.base import BLOCKS

    found = {name: origin(BLOCKS[name]) for name in sorted(set(names))}
    return {name: one for name, one in found.items() if one is not None}


def own_blocks(names: Iterable[str]) -> OwnBlocks:
    """What another process needs for these blocks, with all files that were read. Raises BlockError as `origin` does."""
    from blocks.base import BLOCKS

    others = [block for name in sorted(origins(names)) if _home(block := BLOCKS[name]) is None]
    typed = [block for block in others if block.home[0] == "__main__"]
    modules = dict.fromkeys(block.home[0] for block in others if block not in typed)
    return OwnBlocks(tuple(file for file, _ in _loaded.values()), tuple(modules), tuple(typed))


def check_blocks(study: str, blocks: Mapping[str, Origin]) -> None:
    """Raises BlockError when a block that a study was begun with is not there, or is another version."""
    from blocks.base import BLOCKS

    for name, begun in blocks.items():
        if ":" in name:  # a metric, which a network can be built without
            continue
        if name not in BLOCKS:
            raise BlockError(
                f"study '{study}' uses the block '{name}' of {begun.place}, which is not there; give it with --blocks FILE"
            )
        now = origin(BLOCKS[name])
        if now is None or now.digest != begun.digest:
            place = "blocks" if now is None else now.place
            raise BlockError(
                f"study '{study}' was begun with another version of the block '{name}' ({begun.place}, now {place}): its results "
                "do not hold for this one; give that version with --blocks FILE, or name another --study"
            )


def file_of_module(module: str) -> BlockFile | None:
    """The file that a module was made of; None where it is none of `load_blocks`."""
    return _loaded[module][0] if module in _loaded else None


def _home(block: Block) -> BlockFile | None:
    return next((file for file, names in _loaded.values() if block.name in names), None)


def _definition(source: str, name: str) -> str:
    found = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name]
    return (ast.get_source_segment(source, found[-1]) or "") if found else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
