"""`nas search`: search a space for networks, or continue a study."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nas.commands.log_options import Loudness, log_options, loudness
from nas.commands.options import (
    json_option,
    no_pretrained_option,
    output_path,
    say,
    search_options,
    start_word,
    try_to_write,
)
from nas.commands.run_file import run_file_option
from nas.text.sanitize import file_stem

if TYPE_CHECKING:
    from nas.searches.progress import Progress
    from nas.searches.search import SearchResult


@click.command(name="search")
@run_file_option
@search_options
@no_pretrained_option
@click.option("--no-seed-points", is_flag=True, hidden=True)  # as it was spelled before there were three
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Picture of the front.  [default: STUDY.png]"
)
@log_options
@json_option
def command(as_json: bool, plot: Path | None, no_seed_points: bool, no_pretrained: bool, **values: Any) -> int:
    """Search a space for networks on the Pareto front of accuracy and cost.

    Run the same command again to resume the study. Ctrl-C ends in good order; what was finished is kept.

    \b
    nas search --space attn_cnn
    nas search --space attn_cnn --data cifar10 --epochs 20 --trials 200 --max-parameters 2M
    nas search --space my_space.yaml --data imagefolder:photos --time 8h --retrain 3
    nas search -c attn_cnn-imagefolder.run.yaml --trials 64
    """
    from nas.searches.options import SearchOptions
    from nas.searches.search import search

    if plot is not None:
        output_path(plot, (".png", ".html"))
    elif not as_json:
        try_to_write(Path(f".nas-{os.getpid()}.png"))
    if no_seed_points:
        values["seed_points"] = "none"
    values["pretrained"] = start_word(values["pretrained"], no_pretrained)
    result = search(SearchOptions(**values), progress_view(as_json))
    if as_json:
        say(json.dumps(_summary(result), indent=2))
    else:
        _show(result, plot or Path(f"{file_stem(result.study)}.png"), values["storage"], values["blocks"])
    return 130 if result.ended == "interrupted" else 0


def progress_view(as_json: bool) -> Progress:
    """What shows a search: nothing beside `--json` and `--quiet`, a live view in a terminal, lines elsewhere."""
    from nas.searches.progress import Lines, LiveView, Progress
    from nas.searches.relay import Logged
    from nas.text.log import show_details
    from nas.text.terminal import Terminal

    view: Progress
    if loudness() == Loudness.QUIET or (as_json and loudness() == Loudness.NORMAL):
        view = Progress()
    elif as_json or not sys.stdout.isatty():
        view = Lines()
    else:
        view = LiveView(Terminal(kept=False))
        if loudness() == Loudness.VERBOSE:
            show_details(view.note)
    return Logged(view)


def _summary(result: SearchResult) -> dict[str, Any]:
    from nas.front.table import front_records
    from nas.front.view import view_of
    from nas.report.final_network import final_record
    from nas.report.published_tables import ran_record

    view = view_of(result.trials, result.objectives, title=result.study, images=result.measured_on)
    return {
        "study": result.study,
        "storage": result.storage,
        "ended": result.ended,
        "states": result.states,
        "cached": int(result.trials["source"].notna().sum()),
        "hypervolume": result.hypervolume,
        "objectives": list(result.objectives),
        "front": front_records(view),
        "retrained": [ran_record(ran, ()) for ran in result.retrained],
        "final": None if result.final is None else final_record(result.final),
    }


def _show(result: SearchResult, plot: Path, storage: str | None, blocks: Sequence[str]) -> None:
    from nas.front.table import front_table
    from nas.front.view import front_view
    from nas.report.final_network import print_final, print_retrained
    from nas.report.front_file import write_front
    from nas.store import DEFAULT_URL, Store
    from nas.text.terminal import Terminal

    console = Terminal()
    counts = ", ".join(f"{number} {state}" for state, number in sorted(result.states.items()))
    if result.front.empty:
        console.print(f"study {result.study}: {counts or 'no trials'}; no complete trial, so no front yet")
        if result.states.get("untrained"):
            console.print(f"what untrained networks share: nas why --study {shlex.quote(result.study)}", soft_wrap=True)
        return
    with Store.open(storage or DEFAULT_URL) as store:
        view = front_view(store.study(result.study), result.trials, store.measurements())
        write_front(store, view, plot)
    console.print(front_table(view, f"Pareto front of {result.study}"))
    why = {"done": "all trials are done", "exhausted": "nothing is left to try"}.get(result.ended, result.ended)
    console.print(f"{counts}; hypervolume {result.hypervolume:.4f}; ended: {why}")
    console.print(f"picture      {plot}", soft_wrap=True)
    if result.retrained:
        print_retrained(console, result.retrained)
    if result.final is not None:
        print_final(console, result.final)
    for line in next_commands(result.study, result.storage, storage, blocks, final=result.final is not None):
        console.print(line, soft_wrap=True)


def next_commands(
    study: str, shown: str, storage: str | None, blocks: Sequence[str] = (), *, final: bool = False
) -> list[str]:
    """What to type after a search of `study` in the database that the user named `storage`; `shown` hides the password.

    `blocks`: files of the user's own. `final`: whether there is a network to take away.
    """
    where, own = at(storage, shown), with_blocks(blocks)
    name = shlex.quote(study)
    best = shlex.quote(f"{study}:best")
    take = [
        f"export       nas export {best}{where}{own} -o network.onnx",
        f"predict      nas predict {best} photo.jpg{where}{own}",
    ]
    return [
        *(take if final else ()),
        f"look closer  nas study show {name}{where}",
        f"dashboard    nas dashboard --study {name}{where}{own}",
        "continue     the same command with a larger --trials",
    ]


def at(storage: str | None, shown: str) -> str:
    """`--storage` as a further command needs it; nothing where NAS_STORAGE or the default finds the database again."""
    return "" if storage in (None, os.environ.get("NAS_STORAGE")) else f" --storage {shlex.quote(shown)}"


def with_blocks(blocks: Sequence[str]) -> str:
    """`--blocks` as a further command needs it."""
    return "".join(f" --blocks {shlex.quote(file)}" for file in blocks)
