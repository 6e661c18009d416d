"""`nas push`: what `nas fit` has written, to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

import click

from nas.commands.options import say


@click.command(name="push")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--public", is_flag=True, help="Let everybody see a repository that is made by this.")
def command(folder: Path, repository: str, public: bool) -> None:
    """Upload the model card and the files in FOLDER, which `nas fit` has written, to the Hugging Face Hub.

    The repository is made, private, where it is not there. The token is that of `hf auth login`, or HF_TOKEN.

    \b
    nas push photos-fit me/photos
    """
    from nas.export.hub import push

    say(push(folder, repository, private=not public))
