"""A front as a notebook shows it: its table and its picture, as HTML that needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Final

from nas.front.png import draw
from nas.front.table import TIED, columns
from nas.front.view import FrontView
from nas.text.markup import Html, table, tag

PIXELS_PER_INCH: Final = 100
"""A notebook has room for a picture of 760 pixels."""


def front_html(view: FrontView, title: str, notes: Sequence[str] = ()) -> Html:
    """The title, lines of text, the networks of the front, and the picture where accuracies can be drawn; all text escaped."""
    shown = columns(view)
    rows = list(zip(*(column.cells for column in shown), strict=True))
    lines = [view.counts, *([TIED] if view.is_tested else []), *notes]
    return tag(
        "div",
        tag("p", tag("strong", title)),
        [tag("p", line) for line in lines],
        table([column.name for column in shown], rows) if rows else None,
        _picture(view) if rows else None,
    )


def _picture(view: FrontView) -> Html:
    """The picture as an image in the text itself."""
    file = io.BytesIO()
    draw(view).savefig(file, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return tag("img", src=f"data:image/png;base64,{data}", alt=f"Pareto front of {view.title}", style="max-width: 100%")
