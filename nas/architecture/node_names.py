"""What a node of an architecture may be called.

A node's name is the path of its module, so it stands in the source that `torch.fx` writes for a compiled model and in
exported files, which are run. Architectures come out of files and databases that others wrote: whatever is no plain path
of words is refused, whichever way it came in.
"""

from __future__ import annotations

import keyword
import re
from functools import cache, lru_cache
from typing import Final

from torch import fx, nn

from nas.errors import AssignmentError
from nas.text.formatting import shorten

MAX_CHARACTERS: Final = 1_000
MAX_WORDS: Final = 100
"""Python's own limits on nested source lie at about ten times as much."""
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)


@lru_cache(maxsize=1 << 14)
def check_name(name: str) -> None:
    """Raises AssignmentError unless `name` can be the path of a module: ``rest.0.cells.1.attention``."""
    place = f"architecture: node {shorten(name)}"
    parts = name.split(".", MAX_WORDS)
    if len(name) > MAX_CHARACTERS or len(parts) > MAX_WORDS:
        raise AssignmentError(f"{place}: a name has at most {MAX_CHARACTERS:,} characters in {MAX_WORDS} words")
    for depth, part in enumerate(parts):
        if not (_WORD.fullmatch(part) or (depth and _NUMBER.fullmatch(part))):
            raise AssignmentError(
                f"{place}: a name is words of letters, digits and underscores joined by dots, and begins with no digit"
            )
        if problem := taken(part, top=depth == 0):
            raise AssignmentError(f"{place}: {problem}")


def taken(word: str, *, top: bool) -> str | None:
    """Why no module can have this word as its name, on its own (`top`) or below another; None when one can."""
    if word.startswith("__"):
        return f"'{word}' begins with two underscores, as Python's own attributes do"
    if keyword.iskeyword(word):
        return f"'{word}' is a word of Python's grammar"
    if top and word == "self":
        return "'self' is the module that the name is looked up in"
    if word in _attributes(top):
        return f"every module of PyTorch has an attribute '{word}' already"
    return None


@cache
def _attributes(top: bool) -> frozenset[str]:
    # Of an instance: `training`, `_parameters` and others are no attributes of the class.
    return frozenset(dir(fx.GraphModule(nn.Module(), fx.Graph()) if top else nn.Module()))
