"""What `nas replay` and `nas retrain` share: options of training, progress, results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nas.commands.log_options import Loudness, loudness
from nas.commands.options import print_json, ray_address_option, search_option

if TYPE_CHECKING:
    from nas.data.task import Tell
    from nas.replays.jobs import Ran
    from nas.replays.options import TrainingOptions
    from nas.replays.plan import Plan
    from nas.replays.progress import Progress

F = TypeVar("F", bound=Callable[..., Any])


def training_options(seeds: int, share: str, steps: str, precision: str) -> Callable[[F], F]:
    """The options of `nas.replays.options.TrainingOptions` that both commands take; `seeds` is the default, `share`, `steps` and
    `precision` those of the training images, of the steps and of the arithmetic, in words.
    """
    options = [
        click.option(
            "--steps",
            type=int,
            help=f"Steps of the optimizer; the schedule is stretched over them.  [default: {steps}]",
        ),
        click.option("--epochs", type=int, help="The same in epochs."),
        click.option(
            "--fraction", type=float, help=f"Share of the training images, of every class.  [default: {share}]"
        ),
        click.option("--seeds", type=int, default=seeds, show_default=True, help="Trainings with different seeds."),
        click.option(
            "--recipe", metavar="NAME|FILE", help="Another recipe: fast, modern, paper-like, finetune, or a YAML file."
        ),
        click.option("--batch-size", type=int, help="Another batch size."),
        click.option("--precision", metavar="NAME", help=f"auto, fp32, bf16 or fp16.  [default: {precision}]"),
        click.option("--data-root", metavar="DIR", help="Folder of downloaded data sets.  [default: ~/.cache/nas]"),
        search_option("data_cache"),
        search_option("data_memory"),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="NAME",
            help="auto, cpu or cuda; auto takes CUDA where there is one, never Apple's GPU (MPS).",
        ),
        click.option("--threads", type=int, help="CPU threads.  [default: PyTorch's; on Ray, --cpus-per-trial]"),
        click.option("--again", is_flag=True, help="Train anew what has a result already."),
        click.option("--output", default="nas-replays", show_default=True, metavar="DIR", help="Weights and pictures."),
        ray_address_option,
        click.option("--cpus-per-trial", type=float, help="On Ray.  [default: --threads, or 1]"),
        click.option(
            "--gpus-per-trial", type=float, help="On Ray; may be a fraction.  [default: 1 where there are GPUs]"
        ),
        click.option("--max-concurrent", type=int, help="On Ray: most trainings at once.  [default: as many as fit]"),
    ]

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


RAY = ("ray_address", "cpus_per_trial", "gpus_per_trial", "max_concurrent")


def run_and_show(
    make_plans: Callable[[TrainingOptions, Tell], list[Plan]], *, storage: str | None, as_json: bool, **values: Any
) -> int:
    """Trains what `make_plans` plans under the options `values`, shows what comes of it, and returns the exit code.

    One network is trained in this process. Several, or one with an option of Ray, are trained side by side on Ray. The
    exit code is 0 when every training has a result.
    """
    from nas.replays.options import TrainingOptions
    from nas.report.paper_comparison import comparison_record, comparisons, print_comparison
    from nas.report.paper_comparison_pictures import draw_comparison
    from nas.report.published_tables import print_ran, ran_record
    from nas.report.training_pictures import draw
    from nas.text.terminal import Terminal

    ray = {name: values.pop(name) for name in RAY}
    options = TrainingOptions(storage=storage, **values)
    run = _runner({name: value for name, value in ray.items() if value is not None}, options.threads)
    console = Terminal()
    progress = _view(as_json)
    plans = make_plans(options, progress.note)
    rans: list[Ran] = []
    records: list[dict[str, Any]] = []
    states: set[str] = set()
    try:
        for ran in run(plans, options, progress):
            pictures = draw(ran)
            rans.append(ran)
            states |= set(ran.measured["state"])
            if as_json:
                records.append(ran_record(ran, pictures))
            else:
                print_ran(console, ran, pictures)
        for group in comparisons(rans):
            pictures = draw_comparison(group)
            if not as_json:
                print_comparison(console, group, pictures)
            for record in records:
                if record["name"] in {other.plan.title for other in group}:
                    record["comparison"] = comparison_record(group, pictures)
    finally:
        if as_json and records:  # also when one of several could not be trained
            print_json(records)
    if "out_of_memory" in states:
        return 2  # a smaller batch size mends it
    return 0 if states <= {"complete", "diverged"} else 1


def _view(as_json: bool) -> Progress:
    """What shows trainings: nothing with `--quiet`, bars in a terminal, lines elsewhere."""
    from nas.replays.progress import Lines, LiveView, Logged, Progress
    from nas.text.log import show_details
    from nas.text.terminal import Terminal

    if loudness() == Loudness.QUIET:
        return Logged(Progress())
    if as_json or not sys.stdout.isatty():
        return Logged(Lines())
    view = LiveView(Terminal(kept=False))
    if loudness() == Loudness.VERBOSE:
        show_details(view.note)
    return Logged(view)


def _runner(
    chosen: Mapping[str, Any], threads: int | None
) -> Callable[[list[Plan], TrainingOptions, Progress], Iterator[Ran]]:
    """What runs plans, given the options of Ray that the user has chosen. Raises SearchError for one that cannot be."""
    from nas.execution.options import RayOptions
    from nas.replays.in_process import run

    ray_options = RayOptions(**{"cpus_per_trial": threads or 1, **chosen})

    def run_plans(plans: list[Plan], options: TrainingOptions, progress: Progress) -> Iterator[Ran]:
        if len(plans) == 1 and not chosen:
            return run(plans, options, progress)
        from nas.replays.on_ray import run_on_ray

        return run_on_ray(plans, options, ray_options, progress)

    return run_plans
