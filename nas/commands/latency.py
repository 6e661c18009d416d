"""`nas latency`: how long networks take on this machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nas.commands import shell_completion
from nas.commands.network_argument import which, which_options
from nas.commands.options import json_option, print_json, search_option, whole
from nas.limits import MAX_BATCH
from nas.objectives import LATENCY

if TYPE_CHECKING:
    from nas.device.timing import Timing
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
@click.option("--device", type=click.Choice(["cpu", "cuda"]), help="Where a runtime is timed.  [default: cpu]")
@click.option("--batch", "batches", type=BatchesType(), help="Sizes of batches.  [default: 1,64; of a command 1]")
@click.option("--threads", type=click.IntRange(1, 1024), help="Of a CPU.  [default: one for each core]")
@search_option("latency_runtime", also=("--runtime",))
@search_option("latency_command", also=("--command",))
@search_option("latency_format", also=("--format",))
@search_option("latency_timeout", also=("--timeout",))
@click.option("--again", is_flag=True, help="Measure also what was measured on this device before.")
@json_option
def command(
    words: tuple[str, ...],
    device: str | None,
    batches: tuple[int, ...] | None,
    threads: int | None,
    again: bool,
    latency_runtime: str | None,
    latency_command: str | None,
    latency_format: str,
    latency_timeout: str,
    as_json: bool,
    **named: Any,
) -> None:
    """Measure how long networks take: TRIALs of a study, or published networks by NAME.

    The median time of a forward pass after a warm-up, its quartiles, and images a second: in PyTorch, in another runtime, or as
    a command of yours says it of the file that it is given. The study database keeps it with the device; another call shows
    what is known.

    \b
    nas latency 23 30 --study attn_cnn-digits
    nas latency kong_aim_cam kong_baseline --batch 1,16,256 --threads 1
    nas latency 23 --device cuda --json
    nas latency 23 30 --runtime onnx --threads 1
    nas latency 23 30 --command "python on_board.py {file}"
    """
    from nas.searches.options import timing_of

    timing = timing_of(device, latency_runtime, latency_command, latency_format, latency_timeout)
    if timing.command is not None and (device, batches or (1,), threads) != (None, (1,), None):
        raise click.UsageError("--device, --batch and --threads do not reach a --command: it decides them")
    networks = [which(word=word, **named) for word in words]
    times: _Clock | _Commanded = _Commanded(timing)
    if timing.command is None:
        times = _Clock(timing, batches or (1, 64), device or "cpu", threads)
    rows = [(network, timed) for network in networks for timed in _timed(network, times, again, named["storage"])]
    if as_json:
        print_json([_record(network, timed) for network, timed in rows])
        return
    from rich.table import Table

    from nas.text.terminal import Terminal

    first = rows[0][1]
    used = f", {first.threads} thread{'s' * (first.threads != 1)}" if first.threads else ""
    ran = f", runtime {first.runtime}" if timing.runtime is not None else ""
    table = Table(
        title=f"Latency on {first.device}{used}{ran}"
        if timing.command is None
        else f"Latency by {timing.command.shown}",
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


@dataclass(frozen=True)
class _Clock:
    """Times networks in a runtime on this machine."""

    timing: Timing
    batches: tuple[int, ...]
    device: str
    threads: int | None

    def expected(self, network: Network) -> list[Timed]:
        """What there is to measure, without values."""
        import torch

        from nas.network.latency import Timed, find_device, timing_settings
        from nas.train import device_name

        count = 0 if self.device != "cpu" else self.threads or torch.get_num_threads()
        name, runtime = device_name(find_device(self.device)), self.timing.found
        asked = network.architecture.hash, network.input, network.classes, name
        return [Timed(LATENCY.name, *asked, timing_settings(runtime, batch, count), math.nan) for batch in self.batches]

    def measure(self, network: Network, wanted: Timed) -> Timed:
        """One of them."""
        from nas.network.latency import find_device, measure

        asked = network.architecture, network.input, network.classes
        place, runtime = find_device(self.device), self.timing.found
        return measure(*asked, batch=wanted.batch, device=place, threads=self.threads, runtime=runtime)


@dataclass(frozen=True)
class _Commanded:
    """Lets a command of the user's measure."""

    timing: Timing

    def expected(self, network: Network) -> list[Timed]:
        """What there is to measure, without its value."""
        import torch

        from nas.network.latency import Timed
        from nas.network.probe import expected

        asked = network.architecture, network.input, network.classes
        return [Timed(**vars(expected(self.timing.probe(), *asked, torch.device("cpu"), "")))]

    def measure(self, network: Network, wanted: Timed) -> Timed:
        """Runs the command."""
        import torch

        from nas.network.latency import Timed
        from nas.network.probe import take

        asked = network.architecture, network.input, network.classes
        return Timed(**vars(take(self.timing.probe(), *asked, torch.device("cpu"))))


def _timed(network: Network, times: _Clock | _Commanded, again: bool, storage: str | None) -> list[Timed]:
    """What the database knows, or else is measured now and kept where there is a database."""
    from nas.network.latency import Timed
    from nas.store import Store

    url = network.database(storage)
    known: list[Timed] = []
    if url is not None and not again:
        with Store.open(url) as store:
            known = [Timed(**vars(one)) for one in store.readings(network.architecture.hash, LATENCY.name)]
    found = []
    for wanted in times.expected(network):
        timed = next((one for one in known if one.is_like(wanted)), None)
        if timed is None:
            timed = times.measure(network, wanted)
            if url is not None:
                with Store.open(url) as store:
                    store.add_reading(timed)
        found.append(timed)
    return found


def _record(network: Network, timed: Timed) -> dict[str, Any]:
    return {
        "network": network.title,
        "hash": timed.hash,
        "device": timed.device,
        "threads": timed.threads,
        "runtime": None if timed.command else timed.runtime,
        "command": timed.command,
        "batch": timed.batch,
        "milliseconds": timed.milliseconds,
        "quartiles": [timed.low, timed.high],
        "images_per_second": timed.images_per_second,
        "runs": timed.runs,
        "input": list(timed.input),
        "version": timed.version,
        "measured_at": str(timed.measured_at),
    }
