"""A difference of two networks as lines for a terminal, and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from nas.architecture.difference import Change, Difference
from nas.space.choices import plain
from nas.text.terminal import styled

if TYPE_CHECKING:
    from rich.console import Console

    from nas.network.lookup import Network

SIGNS: Final = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}
COSTS: Final = {"parameters": "parameters", "MACs": "macs", "activation bytes": "activation_bytes"}


def print_difference(console: Console, before: Network, after: Network, found: Difference) -> None:
    """Costs side by side, then one line for each node that differs; equal ones in a row are one line."""
    console.print(styled((f"{before.title} → {after.title}", "bold")))
    if (before.input, before.classes) != (after.input, after.classes):
        options = [f"--{name}" for name in ("input", "classes") if getattr(before, name) != getattr(after, name)]
        images = f"{_images(before)}, and {_images(after)}"
        console.print(f"  for other images: {images}; made alike by {' and '.join(options)}", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for _ in range(3):
        table.add_column(justify="right", no_wrap=True)
    table.columns[0].justify = "left"
    table.add_column(justify="right", no_wrap=True)
    for name, attribute in COSTS.items():
        old, new = getattr(before.cost, attribute), getattr(after.cost, attribute)
        table.add_row(name, f"{old:,}", f"{new:,}", _growth(old, new))
    blocks = len(after.architecture.nodes) - len(before.architecture.nodes)
    numbers = [str(len(network.architecture.nodes)) for network in (before, after)]
    table.add_row("blocks", *numbers, f"{blocks:+}" if blocks else "same")
    console.print(table)
    if found.same:
        console.print("the same network")
        return
    for run in _runs(found):
        console.print(_line(run), soft_wrap=True)
    if unchanged := found.count("same"):
        console.print("1 block is the same" if unchanged == 1 else f"{unchanged} blocks are the same", style="dim")


def difference_record(before: Network, after: Network, found: Difference) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "before": _network_record(before),
        "after": _network_record(after),
        "same_network": found.same,
        "nodes": [
            {
                "status": change.status,
                "before": None if change.before is None else change.before.name,
                "after": None if change.after is None else change.after.name,
                "block_before": None if change.before is None else change.before.block,
                "block_after": None if change.after is None else change.after.block,
                "values": {name: [old, new] for name, old, new in change.values},
                "rewired": change.rewired,
            }
            for change in found.changes
        ],
    }


def _network_record(network: Network) -> dict[str, Any]:
    return {
        "title": network.title,
        "hash": network.architecture.hash,
        "input": list(network.input),
        "classes": network.classes,
        "parameters": network.cost.parameters,
        "macs": network.cost.macs,
        "activation_bytes": network.cost.activation_bytes,
    }


def _growth(old: int, new: int) -> str:
    if old == new:
        return "same"
    if not old or new > 10 * old:
        return f"{new - old:+,}" + (f" (× {new / old:,.0f})" if old else "")
    return f"{new - old:+,} ({(new - old) / old:+.1%})"


def _images(network: Network) -> str:
    return f"{'×'.join(map(str, network.input))} with {network.classes} classes"


def _runs(found: Difference) -> list[list[Change]]:
    """Nodes that differ, those together that differ alike and follow one another but for nodes that stayed."""
    runs: list[list[Change]] = []
    for change in found.changes:
        if change.status == "same":
            continue
        if runs and _kind(runs[-1][-1]) == _kind(change):
            runs[-1].append(change)
        else:
            runs.append([change])
    return runs


def _kind(change: Change) -> object:
    old = None if change.before is None else change.before.block
    params = change.node.params if change.status in ("added", "removed") else ()
    return (change.status, old, change.node.block, change.values, params, change.rewired)


def _line(run: Sequence[Change]) -> Text:
    change, last = run[0], run[-1]
    sign, style = SIGNS[change.status]
    line = Text(f"{sign} ", style=style)
    line.append(change.node.name if len(run) == 1 else f"{change.node.name} … {last.node.name} (× {len(run)})")
    line.append("  ")
    if change.before is not None and change.after is not None and change.before.block != change.after.block:
        line.append(f"{change.before.block} → {change.after.block}", style="bold")
    else:
        line.append(change.node.block, style="bold")
    if change.status in ("added", "removed"):
        values = ", ".join(f"{name} {plain(value)}" for name, value in change.node.params)
    else:
        values = ", ".join(f"{name} {plain(old)} → {plain(new)}" for name, old, new in change.values)
    if values:
        line.append(f"  {values}")
    if change.rewired and change.before is not None and change.after is not None:
        line.append(f"  reads {', '.join(change.before.inputs)} → {', '.join(change.after.inputs)}")
    return line
