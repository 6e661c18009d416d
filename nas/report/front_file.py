"""The front of a study as a file: a PNG, or a page to look around in."""

from __future__ import annotations

from pathlib import Path

from nas.front.view import FrontView
from nas.store import Store


def write_front(store: Store, view: FrontView, path: Path) -> None:
    """Writes the front that is seen in `view`, of the study with that title, to a .png or .html file.

    Equal trials give equal bytes. Raises NasError when the file cannot be written.
    """
    if path.suffix.lower() == ".html":
        from nas.analysis.evidence import Evidence
        from nas.report.page import write_front_page

        write_front_page(Evidence.read(store, view.title), view, path)
    else:
        from nas.front.png import write_png

        write_png(view, path)
