"""Text of others, made harmless: for a terminal, for the name of a file, as the name of a study, as JSON.

Names, reasons and messages come out of files and databases that anybody may have written. What controls a terminal or turns
the direction of writing is shown as what it is: ``\\x1b``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

from nas.errors import NasError

_CONTROLS: Final = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # but for tab and line feed
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"  # direction, lines, byte order
    "\ud800-\udfff\U000e0000-\U000e007f"  # half a character (a file name that is not UTF-8), invisible tags
    "]"
)
_BREAKS: Final = re.compile(r"[\t\n]")
MOST_CHARACTERS: Final = 200
"""Longest name of a study; Optuna's column holds 512."""
_STEM_BYTES: Final = 120
_SHOWN: Final = 60
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_MOST_LEVELS: Final = 100


def visible(text: object) -> str:
    """`text` in which no character controls a terminal; lines and tabs stay."""
    return _CONTROLS.sub(_escaped, str(text))


def one_line(text: object) -> str:
    """The text as `visible` gives it, in one line."""
    return _BREAKS.sub(_escaped, visible(text))


def in_cell(text: str) -> str:
    """A text for a cell of a CSV file, which a spreadsheet takes for no formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def expanded(path: str | Path) -> Path:
    """A path that a user gave, with the folder of a user in place of ``~``; as it is where there is no such user.

    Raises NasError for what no system takes as a path.
    """
    found = Path(os.path.expanduser(path))  # noqa: PTH111  (Path.expanduser raises RuntimeError)
    try:
        found.exists()
    except (OSError, ValueError) as problem:
        raise NasError(f"{beginning(str(path))}: no path ({getattr(problem, 'strerror', None) or problem})") from None
    return found


def file_stem(name: str) -> str:
    """A name as one part of a path, without an ending: ``../a b`` is ``a-b``."""
    words = re.sub(r"[^\w.-]+", "-", _CONTROLS.sub("-", name)).strip(".-")
    return words.encode()[:_STEM_BYTES].decode(errors="ignore") or "study"


def problem_of_name(name: str) -> str | None:
    """Why a new study cannot have this name, in words; None when it can."""
    if not name.strip():
        return "a name must not be empty"
    if len(name) > MOST_CHARACTERS:
        return f"a name has at most {MOST_CHARACTERS} characters, not {len(name):,}"
    if found := _CONTROLS.search(name) or _BREAKS.search(name):
        return f"a name holds no {_escaped(found)}, which controls a terminal or is no character"
    if found := re.search(r"[/\\]", name):
        return f"a name holds no '{found[0]}': files are called after it"
    if name[0] in ".-" or name != name.strip():
        return "a name begins with no dot or hyphen, and has no blank at its ends"
    return None


def beginning(text: str) -> str:
    """So much of a text as fits into a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {9: "\\t", 10: "\\n"}.get(code, f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def read_json(text: str | bytes) -> Any:
    """What a JSON text holds. Raises ValueError when it is none, or is nested deeper than 100 levels.

    The parser itself stops only at Python's own limit of recursion, and what Python collects as garbage up there fails too
    and writes its traceback to standard error.
    """
    if isinstance(text, bytes):
        text = text.decode()
    if isinstance(text, str) and text.count("[") + text.count("{") > _MOST_LEVELS:
        level = 0
        for bracket in _BRACKETS.finditer(text):
            first = text[bracket.start()]
            level += 0 if first == '"' else 1 if first in "[{" else -1
            if level > _MOST_LEVELS:
                raise ValueError(f"nested deeper than {_MOST_LEVELS} levels")
    return json.loads(text)
