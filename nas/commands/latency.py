"""`nas latency`: how long networks take on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nas.commands import shell_completion
from nas.commands.network_argument import which, which_options
from nas.commands.options import json_option, print_json, whole
from nas.limits import MAX_BATCH
from nas.objectives import LATENCY

if TYPE_CHECKING:
    from nas.network.latency import Timed
    from nas.network.lookup import Network


class BatchesType(click.ParamType[tuple[int, ...]]):
    """``1,64``: sizes of batches."""

    name = "N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Whole numbers above 0."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(whole(part, MAX_BATCH) for part in parts):
            self.fail(f"must be sizes of batches such as 1,64, not '{value}'; at most {MAX_BATCH:,}", param, ctx)
        return tuple(dict.fromkeys(int(part) for part in parts))


@click.command(name=LATENCY.name)
@click.argument("words", metavar="TRIAL|NAME...", nargs=-1, required=True, shell_complete=shell_completion.configs)
@which_options
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--batch", "batches", type=BatchesType(), default="1,64", show_default=True, help="Sizes of batches.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Of PyTorch on a CPU.  [default: one for each core]")
@click.option("--again", is_flag=True, help="Measure also what was measured on this device before.")
@json_option
def command(
    words: tuple[str, ...],
    device: str,
    batches: tuple[int, ...],
    threads: int | None,
    again: bool,
    as_json: bool,
    **named: Any,
) -> None:
    """Measure how long networks take: TRIALs of a study, or published networks by NAME.

    The median time of a forward pass in float32 after a warm-up, its quartiles, and images a second. The study
    database keeps it with the device; another call shows what is known.

    \b
    nas latency 23 30 --study attn_cnn-digits
    nas latency kong_aim_cam kong_baseline --batch 1,16,256 --threads 1
    nas latency 23 --device cuda --json
    """
    networks = [which(word=word, **named) for word in words]
    rows = [
        (network, timed)
        for network in networks
        for timed in _timed(network, batches, device, threads, again, named["storage"])
    ]
    if as_json:
        print_json([_record(network, timed) for network, timed in rows])
        return
    from rich.table import Table

    from nas.text.terminal import Terminal

    first = rows[0][1]
    used = f", {first.threads} thread{'s' * (first.threads != 1)}" if first.threads else ""
    table = Table(
        title=f"Latency on {first.device}{used}",
        title_justify="left",
        title_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
    )
    table.add_column("network", overflow="fold")
    for name in ("batch", "median ms", "quartiles ms", "images/s", "runs"):
        table.add_column(name, justify="right", no_wrap=True)
    for network, timed in rows:
        table.add_row(
            network.title,
            str(timed.batch),
            f"{timed.milliseconds:.3g}",
            f"{timed.low:.3g} to {timed.high:.3g}",
            f"{timed.images_per_second:,.0f}",
            str(timed.runs),
        )
    Terminal().print(table)


def _timed(
    network: Network, batches: tuple[int, ...], device: str, threads: int | None, again: bool, storage: str | None
) -> list[Timed]:
    """What the database knows, or else is measured now and kept where there is a database."""
    import torch

    from nas.network.latency import Timed, find_device, measure
    from nas.store import Store
    from nas.train import device_name

    place = find_device(device)
    count = 0 if device != "cpu" else threads or torch.get_num_threads()
    url = network.database(storage)
    known: dict[int, Timed] = {}
    if url is not None and not again:
        with Store.open(url) as store:
            for reading in reversed(store.readings(network.architecture.hash, LATENCY.name)):
                timed = Timed(**vars(reading))
                same = (timed.input, timed.classes, timed.device, timed.threads)
                if same == (network.input, network.classes, device_name(place), count):
                    known[timed.batch] = timed
    found = []
    for batch in batches:
        timed = known.get(batch) or measure(
            network.architecture, network.input, network.classes, batch=batch, device=place, threads=threads
        )
        found.append(timed)
        if url is not None and batch not in known:
            with Store.open(url) as store:
                store.add_reading(timed)
    return found


def _record(network: Network, timed: Timed) -> dict[str, Any]:
    return {
        "network": network.title,
        "hash": timed.hash,
        "device": timed.device,
        "threads": timed.threads,
        "batch": timed.batch,
        "milliseconds": timed.milliseconds,
        "quartiles": [timed.low, timed.high],
        "images_per_second": timed.images_per_second,
        "runs": timed.runs,
        "input": list(timed.input),
        "torch": timed.version,
        "measured_at": str(timed.measured_at),
    }
