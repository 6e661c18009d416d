"""What `nas replay` and `nas retrain` share: options of training, progress, results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nas.commands.options import print_json

if TYPE_CHECKING:
    from nas.replays.engine import Ran
    from nas.replays.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])


def training_options(seeds: int, share: str) -> Callable[[F], F]:
    """The options of `nas.replays.options.TrainingOptions` that both commands take; `seeds` is the default, `share` that of the
    training images, in words.
    """
    options = [
        click.option("--epochs", type=int, help="Other epochs; the schedule is stretched over them."),
        click.option(
            "--fraction", type=float, help=f"Share of the training images, of every class.  [default: {share}]"
        ),
        click.option("--seeds", type=int, default=seeds, show_default=True, help="Trainings with different seeds."),
        click.option("--recipe", metavar="FILE", help="Another training recipe (YAML)."),
        click.option("--batch-size", type=int, help="Another batch size."),
        click.option("--data-root", metavar="DIR", help="Folder of downloaded data sets.  [default: ~/.cache/nas]"),
        click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu or cuda."),
        click.option("--threads", type=int, help="CPU threads.  [default: PyTorch's]"),
        click.option("--again", is_flag=True, help="Train anew what has a result already."),
        click.option("--output", default="nas-replays", show_default=True, metavar="DIR", help="Weights and pictures."),
    ]

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def run_and_show(run: Callable[[Progress], Iterator[Ran]], as_json: bool) -> int:
    """Runs, shows each result as it comes, and returns the exit code: 0 when every training has a result."""
    from rich.console import Console

    from nas.replays.progress import Lines, LiveView
    from nas.report.replay_pictures import draw
    from nas.report.replays import print_ran, ran_record

    console = Console(highlight=False)
    progress = LiveView(console) if sys.stdout.isatty() and not as_json else Lines()
    records: list[dict[str, Any]] = []
    states: set[str] = set()
    try:
        for ran in run(progress):
            pictures = draw(ran)
            states |= set(ran.measured["state"])
            if as_json:
                records.append(ran_record(ran, pictures))
            else:
                print_ran(console, ran, pictures)
    finally:
        if as_json and records:  # also when one of several could not be trained
            print_json(records)
    if "out_of_memory" in states:
        return 2  # a smaller batch size mends it
    return 0 if states <= {"complete", "diverged"} else 1
