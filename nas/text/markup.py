"""HTML in which everything is escaped that is not HTML already."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from nas.text.sanitize import visible


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | Iterable[Child] | None"
_VOID: Final = frozenset({"br", "hr", "img", "meta"})


def text(child: Child) -> Html:
    """A child, or several one after the other, as HTML; None is nothing."""
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int | float):
        return Html(html.escape(visible(child)))
    return Html("".join(text(item) for item in child))


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """An element. `class_` and `data_x` become ``class`` and ``data-x``; True is a bare attribute, None is left out."""
    written = []
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            written.append(f" {key}")
        elif value is not None and value is not False:
            written.append(f' {key}="{html.escape(visible(value))}"')
    start = f"<{name}{''.join(written)}>"
    return Html(start) if name in _VOID else Html(f"{start}{text(children)}</{name}>")


def section(title: str, *children: Child, id: str, lead: Child = None) -> Html:
    """A part of the page with its heading and a sentence that says what is seen."""
    return tag("section", tag("h2", title), tag("p", lead, class_="lead") if lead else None, *children, id=id)


def table(head: Sequence[str], rows: Iterable[Sequence[Child]], numbers: Iterable[int] = ()) -> Html:
    """A table; the columns in `numbers` are set to the right. It scrolls sideways where it does not fit."""
    right = set(numbers)

    def cells(kind: str, row: Sequence[Child]) -> list[Html]:
        return [tag(kind, cell, class_="n" if place in right else None) for place, cell in enumerate(row)]

    body = [tag("tr", cells("td", row)) for row in rows]
    return tag("div", tag("table", tag("thead", tag("tr", cells("th", head))), tag("tbody", body)), class_="scroll")
