"""`nas report`: one study as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from nas.commands.options import blocks_option, output_path, say, storage_option, study_option
from nas.text.sanitize import file_stem


@click.command(name="report")
@study_option("May be left out where the database holds only one.")
@storage_option
@blocks_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="An .html file.  [default: STUDY.html]")
def command(study: str | None, storage: str | None, output: Path | None) -> None:
    """Write a study as one HTML page that opens anywhere.

    The front with a drawing of each network, published networks claimed and measured, hypervolume, which choices
    matter, what each block did, learning curves, how trials ended, and what they were measured on.

    \b
    nas report -o report.html
    nas report --study attn_cnn-cifar10 --storage sqlite:///nas.db
    """
    from nas.network.lookup import study_name
    from nas.store import DEFAULT_URL, Store

    if output is not None:
        output_path(output, (".html",))
    with Store.open(storage or DEFAULT_URL) as store:
        name = study_name(store, study)
        path = output or output_path(Path(f"{file_stem(name)}.html"), (".html",))
        from nas.analysis.evidence import Evidence
        from nas.report.page import write_page

        write_page(Evidence.read(store, name), store.measurements(), path)
    say(str(path))
