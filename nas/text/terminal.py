"""What people see in a terminal: text is shown as it is. Square brackets in it are no styles, and no character is a command."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from nas.text.sanitize import visible


class Terminal(Console):
    """A console in which strings are data; what is to look different is a `styled` text."""

    def __init__(self, **options: Any) -> None:
        """Those of `rich.console.Console`."""
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Renders as rich does, with visible characters alone."""
        return super().render_str(visible(text), **options)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text of these parts, some of which are pairs of text and style: ``styled(("name", "bold"), " rest")``."""
    return Text.assemble(*(visible(part) if isinstance(part, str) else (visible(part[0]), part[1]) for part in parts))
