"""The argument and options with which a user names one network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nas.commands import shell_completion
from nas.commands.options import ShapeType, blocks_option, read_assignment, storage_option, study_option
from nas.limits import MAX_CLASSES

if TYPE_CHECKING:
    from nas.network.lookup import Network

F = TypeVar("F", bound=Callable[..., Any])


def which_options(command: F) -> F:
    """Adds ``--study``, ``--storage``, ``--blocks``, ``--input``, ``--classes`` and ``--assignment``."""
    for option in (
        click.option(
            "--assignment", metavar="FILE|JSON|NAME", help="An architecture of the space that stands for the network."
        ),
        click.option("--classes", type=click.IntRange(2, MAX_CLASSES), help="Number of classes; default: its own."),
        click.option("--input", "input_shape", type=ShapeType(), help="Image shape; default: its own."),
        blocks_option,
        storage_option,
        study_option("Study of the trial; may be left out where there is only one."),
    ):
        command = option(command)
    return command


def network_options(command: F) -> F:
    """Adds the argument ``TRIAL|NAME`` and the options that belong to it."""
    return click.argument("word", metavar="TRIAL|NAME", shell_complete=shell_completion.configs)(which_options(command))


def which(
    *,
    word: str,
    study: str | None,
    storage: str | None,
    input_shape: tuple[int, ...] | None,
    classes: int | None,
    assignment: str | None,
) -> Network:
    """The network that these arguments mean. With an assignment, `word` is a space."""
    from nas.network.lookup import find_network, of_assignment
    from nas.space.space import Space

    if assignment is not None:
        space = Space.load(word)
        return of_assignment(space, read_assignment(assignment, space), input_shape, classes)
    return find_network(word, study=study, storage=storage, input=input_shape, classes=classes)
