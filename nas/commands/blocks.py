"""`nas blocks`: every block with its hyperparameters, allowed values and source."""

from __future__ import annotations

import click

from nas.commands import shell_completion
from nas.commands.options import blocks_option, json_option, print_json
from nas.errors import NasError, nearest


@click.command(name="blocks")
@click.argument("names", nargs=-1, shell_complete=shell_completion.blocks)
@blocks_option
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """List the blocks that a space may use, all or those NAMES.

    \b
    nas blocks
    nas blocks aim cam
    nas blocks my_block --blocks my_blocks.py
    """
    from blocks import BLOCKS

    for name in names:
        if name not in BLOCKS:
            raise NasError(f"no block '{name}'{nearest(name, BLOCKS)}; `nas blocks` lists them")
    chosen = [BLOCKS[name] for name in names or sorted(BLOCKS)]
    if as_json:
        print_json(
            [
                {
                    "name": block.name,
                    "summary": block.summary,
                    "source": block.source,
                    "link": block.link,
                    "hyperparameters": {
                        name: {
                            "meaning": parameter.meaning,
                            "allowed": str(parameter.allowed),
                            "default": parameter.default,
                        }
                        for name, parameter in block.hyperparameters.items()
                    },
                }
                for block in chosen
            ]
        )
        return
    from rich.padding import Padding

    from nas.text.terminal import Terminal, styled

    console = Terminal()
    for block in chosen:
        console.print(styled((block.name, "bold"), f"  {block.summary}"))
        if source := "  ".join(text for text in (block.source, block.link) if text):
            console.print(Padding(styled((source, "dim")), (0, 0, 0, 4)))
        for name, parameter in block.hyperparameters.items():
            default = str(parameter.default).lower() if isinstance(parameter.default, bool) else parameter.default
            meaning = f": {parameter.meaning}" if parameter.meaning else ""
            line = styled(f"{name}: {parameter.allowed} ", (f"(default {default})", "dim"), meaning)
            console.print(Padding(line, (0, 0, 0, 4)))
