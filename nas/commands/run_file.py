"""`-c FILE`: the options of a command out of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from nas.commands.options import LimitsType, NamesType
from nas.errors import SearchError
from nas.searches.options import SearchOptions

F = TypeVar("F", bound=Callable[..., Any])


def _read(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Makes defaults of what the file says; what is typed counts more."""
    if path is None:
        return
    from nas.config.yaml_document import Document

    document = Document.load(path, SearchError)
    values = document.mapping((), document.data, "a run")
    document.check_keys((), values, [option.name for option in fields(SearchOptions)], "a run")
    known = {parameter.name: parameter for parameter in ctx.command.params}
    found = {}
    for name, value in values.items():
        if value is None:
            continue
        parameter = known[name]
        if isinstance(value, list) and not (parameter.multiple or isinstance(parameter.type, NamesType)):
            document.fail((name,), f"{name}: must be one value, not a list")
        if isinstance(value, dict) and not isinstance(parameter.type, LimitsType):
            document.fail((name,), f"{name}: must be one value, not a mapping")
        given = tuple(map(str, value)) if isinstance(value, list) else value
        try:
            parameter.type_cast_value(ctx, given if isinstance(given, tuple | dict) else str(given))
        except click.BadParameter as problem:
            document.fail((name,), f"{name}: {problem.message}")
        found[name] = given
    ctx.default_map = {**(ctx.default_map or {}), **found}


def run_file_option(command: F) -> F:
    """Adds ``-c`` to a command that has the options of a search."""
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        callback=_read,
        expose_value=False,
        is_eager=True,
        help="Options from a file, such as the one that a search writes beside its study; those typed count more.",
    )(command)
