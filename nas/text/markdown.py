"""Markdown in which what comes from a database stays data: it is shown as it is and starts nothing."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Final

from nas.text.sanitize import visible

GAP: Final = 3 * "\N{NO-BREAK SPACE}"
_MARKS: Final = frozenset("\\`*_{}[]<>#|!$~&")
_BACKTICKS: Final = re.compile(r"`+")


def plain(text: str) -> str:
    """Text that is shown as it is, in one line."""
    return "".join(f"\\{letter}" if letter in _MARKS else letter for letter in " ".join(visible(text).split()))


def code(text: str) -> str:
    """Text as a span of code in one line, also in a table: unlike `plain`, an address in it becomes no link."""
    words = " ".join(visible(text).split()).replace(
        "|", "\N{DIVIDES}"
    )  # in a table nothing else keeps a bar from ending its cell
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(words)), default=0))
    room = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{fence}{room}{words}{room}{fence}" if words else ""


def block(language: str, text: str) -> list[str]:
    """Lines of a block of code. Its fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    return [f"{fence}{language}", *visible(text).strip("\n").splitlines(), fence]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> list[str]:
    """Lines of a table. Cells are Markdown; the columns in `numbers` are set to the right."""
    last = len(head) - 1
    rules = "|".join("---:" if column in numbers else "---" for column in range(len(head)))

    def line(cells: Sequence[str]) -> str:
        # The dashboard's page leaves no room between columns. In a text it stands behind, where a broken line hides it.
        return f"| {' | '.join(_spaced(cell, column, last, numbers) for column, cell in enumerate(cells))} |"

    return [line(head), f"|{rules}|", *map(line, rows)]


def _spaced(cell: str, column: int, last: int, numbers: Sequence[int]) -> str:
    number, before_text = column in numbers, column < last and column + 1 not in numbers
    return (GAP if number and column else "") + cell + (GAP if before_text or (not number and column < last) else "")


def folded(yaml: str, width: int = 110) -> str:
    """YAML with long lines broken after commas: the dashboard's page is as wide as the longest line."""
    return "\n".join(part for line in yaml.splitlines() for part in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    if line.lstrip().startswith("#"):
        return _comment(line.strip()[1:], indent, width)
    code, mark, comment = line.partition("  # ")
    parts = _comment(comment, indent, width) if mark else []
    code = code.rstrip()
    while len(code) > width and (cut := code.rfind(", ", len(indent) + 1, width)) > 0:
        parts.append(code[: cut + 1])
        code = f"{indent}    {code[cut + 2 :]}"
    return [*parts, code]


def _comment(text: str, indent: str, width: int) -> list[str]:
    words = text.strip()
    start = f"{indent}#{' ' * max(1, len(text) - len(text.lstrip()))}"
    return textwrap.wrap(words, width, initial_indent=start, subsequent_indent=start)
