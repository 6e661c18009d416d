"""`-q`, `-v` and `--log-file`: how much a command that runs says, and where it is kept."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from nas.text.log import LOG, open_log, show_details
from nas.version import __version__

F = TypeVar("F", bound=Callable[..., Any])


class Loudness(StrEnum):
    """How much a command says beside its result."""

    QUIET = "--quiet"
    NORMAL = "normal"
    VERBOSE = "--verbose"


_KEY: Final = "nas.loudness"


def loudness() -> Loudness:
    """What the command that runs was told."""
    context = click.get_current_context(silent=True)
    return Loudness.NORMAL if context is None else context.meta.get(_KEY, Loudness.NORMAL)


def _set(ctx: click.Context, param: click.Parameter, given: bool) -> None:
    if not given:
        return
    wanted = Loudness(param.opts[-1])
    if ctx.meta.setdefault(_KEY, wanted) != wanted:
        raise click.UsageError("--quiet and --verbose: one or the other", ctx)
    if wanted == Loudness.VERBOSE:
        show_details()


def _open(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None:
        open_log(path)
        LOG.info("nas %s: %s", __version__, shlex.join(["nas", *sys.argv[1:]]))


def log_options(command: F) -> F:
    """Adds ``-q``, ``-v`` and ``--log-file``; `loudness` says what was given."""
    eager: dict[str, Any] = {"expose_value": False, "is_eager": True}
    options = [
        click.option(
            "-q", "--quiet", is_flag=True, callback=_set, help="Only errors, and the result at the end.", **eager
        ),
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            callback=_set,
            help="Also what every worker does, and what Ray and the trainings themselves say.",
            **eager,
        ),
        click.option(
            "--log-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            callback=_open,
            help="Append all of it to a file, with times, whatever is shown; passwords are masked.",
            **eager,
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
