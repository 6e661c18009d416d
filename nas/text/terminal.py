"""What people see in a terminal: text is shown as it is. Square brackets in it are no styles, and no character is a command."""

from __future__ import annotations

import io
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from nas.text.log import LOG, is_open
from nas.text.sanitize import visible

LOG_COLUMNS: Final = 132
"""Width of a table in a log."""


class Terminal(Console):
    """A console in which strings are data; what is to look different is a `styled` text."""

    def __init__(self, *, kept: bool = True, **options: Any) -> None:
        """Those of `rich.console.Console`. `kept`: whether the log of the run has what is printed too."""
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})
        self.kept = kept

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints as rich does, and into the log of the run where there is one."""
        super().print(*objects, **options)
        if self.kept and is_open():
            page = io.StringIO()
            Terminal(kept=False, file=page, width=LOG_COLUMNS, color_system=None).print(*objects, **options)
            LOG.info("%s", page.getvalue())

    def render_str(self, text: str, **options: Any) -> Text:
        """Renders as rich does, with visible characters alone."""
        return super().render_str(visible(text), **options)


def styled(*parts: str | tuple[str, str]) -> Text:
    """Text of these parts, some of which are pairs of text and style: ``styled(("name", "bold"), " rest")``."""
    return Text.assemble(*(visible(part) if isinstance(part, str) else (visible(part[0]), part[1]) for part in parts))
