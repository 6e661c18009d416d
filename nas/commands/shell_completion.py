"""What a shell offers when Tab is pressed behind an argument or an option. `nas completion` makes shells ask."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem

from nas.config.shipped_files import every
from nas.errors import NasError


def _starting(names: list[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _shipped(kind: str, incomplete: str) -> list[CompletionItem]:
    return _starting([path.stem for path in every(kind)], incomplete)


def spaces(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped spaces; where none is meant, files."""
    return _shipped("search_spaces", incomplete) or [CompletionItem(incomplete, type="file")]


def configs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Published networks; where none is meant, files."""
    return _shipped("studies", incomplete) or [CompletionItem(incomplete, type="file")]


def blocks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of blocks."""
    from blocks import BLOCKS

    return _starting(sorted(BLOCKS), incomplete)


def datasets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Data sets; behind the colon of one that takes a place, folders."""
    from nas.data.sources import DATASETS

    head, colon, _ = incomplete.partition(":")
    if colon and head in DATASETS:
        return [CompletionItem(incomplete, type="dir")]
    return _starting([f"{name}:" if one.place else name for name, one in DATASETS.items()], incomplete)


def studies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Studies of the database that ``--storage`` names."""
    from nas.store import DEFAULT_URL, Store

    try:
        with Store.open(ctx.params.get("storage") or os.environ.get("NAS_STORAGE") or DEFAULT_URL) as store:
            return _starting([study["study"] for study in store.studies()], incomplete)
    except NasError:  # no database yet: nothing to offer, and a shell has no place for a message
        return []
