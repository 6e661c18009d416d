"""`nas replay`: published networks, checked against their papers and trained again."""

from __future__ import annotations

import click

from nas.commands.options import json_option, print_json, storage_option
from nas.errors import NasError


@click.command(name="replay")
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every published config.")
@click.option("--list", "listing", is_flag=True, help="List the configs, their claims, and what was measured here.")
@click.option("--check", "checking", is_flag=True, help="Build and compare costs with the claims; no training.")
@storage_option
@json_option
def command(
    names: tuple[str, ...], every: bool, listing: bool, checking: bool, storage: str | None, as_json: bool
) -> int:
    """Check published networks against their papers, or train them again.

    With --check the exit code is 1 when a config no longer builds what it states.

    \b
    nas replay --list
    nas replay --all --check
    nas replay kong_aim_cam --check --json
    """
    if listing and checking:
        raise NasError("--list and --check: one at a time")
    if every and names:
        raise NasError(f"--all and names ({', '.join(names)}): one or the other")
    if listing:
        return _list(names, storage, as_json)
    if not names and not every:
        raise NasError("name a published config, or --all; `nas replay --list` shows them")
    return _check(names, as_json)


def _check(names: tuple[str, ...], as_json: bool) -> int:
    from nas.replay import check_all

    checks = check_all(names)
    if as_json:
        print_json([check.record() for check in checks])
    else:
        from rich.console import Console

        from nas.report.replays import print_check

        console = Console(highlight=False)
        for place, check in enumerate(checks):
            if place:
                console.print()
            print_check(console, check)
    broken = [check for check in checks if check.problem]
    for check in broken:
        click.echo(f"{check.name}: {check.problem}", err=True)
    return 1 if broken else 0
