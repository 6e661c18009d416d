"""`nas completion`: what a shell reads to complete commands, options and names."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from nas.errors import NasError

SHELLS = ("bash", "zsh", "fish")


@click.command(name="completion")
@click.argument("shell", required=False, type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str | None) -> None:
    """Print what bash, zsh or fish must read to complete commands, options, spaces, studies and published networks.

    \b
    nas completion bash >> ~/.bashrc
    nas completion zsh >> ~/.zshrc
    nas completion fish > ~/.config/fish/completions/nas.fish
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    completer = get_completion_class(shell) if shell in SHELLS else None
    if completer is None:
        raise NasError(f"no completion for the shell '{shell}'; name one of {', '.join(SHELLS)}")
    click.echo(completer(ctx.find_root().command, {}, "nas", "_NAS_COMPLETE").source())
