"""`nas replay`: published networks, checked against their papers and trained again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nas.commands import shell_completion
from nas.commands.log_options import log_options
from nas.commands.options import json_option, print_json, say, storage_option
from nas.commands.training_options import run_and_show, training_options
from nas.errors import NasError

if TYPE_CHECKING:
    from nas.space.published import PublishedConfig


@click.command(name="replay")
@click.argument("names", nargs=-1, shell_complete=shell_completion.configs)
@click.option("--all", "every", is_flag=True, help="Every published config.")
@click.option("--list", "listing", is_flag=True, help="List the configs, their claims, and what was measured here.")
@click.option("--check", "checking", is_flag=True, help="Build and compare costs with the claims; no training.")
@click.option(
    "--data",
    metavar="NAME",
    shell_complete=shell_completion.datasets,
    help="Other data, as of `nas search`: digits, imagefolder:PATH, …  [default: the paper's]",
)
@click.option("--image-size", type=int, metavar="PIXELS", help="Resize images to this side.  [default: the paper's]")
@click.option("--pretrained/--no-pretrained", default=True, help="Start from weights where the paper does, or never.")
@click.option(
    "--validation", type=float, default=0.0, show_default=True, help="Share of training images held out for curves."
)
@training_options(seeds=1, share="the paper's", steps="the paper's epochs", precision="the paper's, fp32")
@storage_option
@log_options
@json_option
def command(
    names: tuple[str, ...],
    every: bool,
    listing: bool,
    checking: bool,
    storage: str | None,
    as_json: bool,
    **values: Any,
) -> int:
    """Check published networks against their papers (--check), or train them again and measure them on the test set.

    Training follows the paper's recipe on as many training images as the paper takes; whatever is changed by an option
    is printed and stored as a deviation. A replay that was killed resumes from its last epoch by the same command; one
    that is done is not trained again. One network is trained in this process; several, or one with an option of Ray,
    are trained side by side on Ray. With --check the exit code is 1 when a config no longer builds what it states.

    \b
    nas replay --list
    nas replay --all --check
    nas replay kong_baseline kong_aim kong_aim_cam --seeds 3
    nas replay kong_aim_cam --epochs 5 --fraction 0.1 --data imagefolder:cifar10
    """
    if listing and checking:
        raise NasError("--list and --check: one at a time")
    if every and names:
        raise NasError(f"--all and names ({', '.join(names)}): one or the other")
    if listing:
        return _list(names, storage, as_json)
    if not names and not every:
        raise NasError("name a published config, or --all; `nas replay --list` shows them")
    if checking:
        return _check(names, as_json)
    from nas.replays.in_process import replay_plans
    from nas.space.published import published_configs

    return run_and_show(
        lambda options, tell: replay_plans(_configs(names) or published_configs(), options, tell),
        storage=storage,
        as_json=as_json,
        **values,
    )


def _configs(names: tuple[str, ...]) -> list[PublishedConfig]:
    from nas.space.published import PublishedConfig

    return [PublishedConfig.load(name) for name in dict.fromkeys(names)]


def _check(names: tuple[str, ...], as_json: bool) -> int:
    from nas.replays import check_all

    checks = check_all(names)
    if as_json:
        print_json([check.record() for check in checks])
    else:
        from nas.report.published_tables import print_check
        from nas.text.terminal import Terminal

        console = Terminal()
        for place, check in enumerate(checks):
            if place:
                console.print()
            print_check(console, check)
    broken = [check for check in checks if check.problem]
    for check in broken:
        say(f"{check.name}: {check.problem}", err=True)
    return 1 if broken else 0


def _list(names: tuple[str, ...], storage: str | None, as_json: bool) -> int:
    from nas.replays.results import past_replays
    from nas.report.published_tables import config_records, print_configs
    from nas.space.published import every_config

    configs = _configs(names) or every_config()
    replays = past_replays(storage)
    if as_json:
        print_json(config_records(configs, replays))
    else:
        from nas.text.terminal import Terminal

        print_configs(Terminal(), configs, replays)
    return 0
