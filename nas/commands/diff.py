"""`nas diff`: what makes one network out of another."""

from __future__ import annotations

from pathlib import Path

import click

from nas.commands import shell_completion
from nas.commands.options import (
    ShapeType,
    blocks_option,
    json_option,
    output_path,
    print_json,
    say,
    storage_option,
    study_option,
)
from nas.limits import MAX_CLASSES


@click.command(name="diff")
@click.argument("before", shell_complete=shell_completion.configs)
@click.argument("after", shell_complete=shell_completion.configs)
@study_option("Of the trials; may be left out where the database holds only one.")
@storage_option
@blocks_option
@click.option("--input", "input_shape", type=ShapeType(), help="Image shape for both; default: each one's own.")
@click.option("--classes", type=click.IntRange(2, MAX_CLASSES), help="For both; default: each one's own.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also draw both, to .svg or .png.")
@json_option
def command(
    before: str,
    after: str,
    study: str | None,
    storage: str | None,
    input_shape: tuple[int, ...] | None,
    classes: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare two networks: blocks that are added, removed or changed, and what that costs.

    BEFORE and AFTER are trials (numbers or hashes), published configs, or files of architectures.

    \b
    nas diff 12 23
    nas diff kong_aim kong_aim_cam -o difference.png
    nas diff attn_cnn-digits:23 kong_aim_cam --input 1,16,16
    """
    if output is not None:
        output_path(output, (".svg", ".png"))
    from nas.architecture.difference import difference
    from nas.network.lookup import find_network
    from nas.report.difference_text import difference_record, print_difference

    first, second = (
        find_network(word, study=study, storage=storage, input=input_shape, classes=classes) for word in (before, after)
    )
    found = difference(first.architecture, second.architecture)
    if as_json:
        print_json(difference_record(first, second, found))
    else:
        from nas.text.terminal import Terminal

        print_difference(Terminal(), first, second, found)
    if output is not None:
        from nas.drawing.difference import draw_difference

        draw_difference(first, second, found, output)
        say(str(output), err=as_json)
