"""A front as a table: the same columns in a terminal, on a page and in a note; and as plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nas.analysis.replicates import summary_text
from nas.front.view import FrontView, Network
from nas.objectives import OBJECTIVES
from nas.text.formatting import value_text

if TYPE_CHECKING:
    from rich.console import Group

TIED: Final = "tied, below: on the test set, by Welch's t-test over the seeds (5 %)"
"""What stands in the column `vs cheaper`."""


@dataclass(frozen=True)
class Column:
    """A column of the table, with a cell for each member."""

    name: str
    cells: tuple[str, ...]
    is_text: bool = False
    """Set to the left."""
    can_go: bool = False
    """May be left out where there is little room."""
    is_metric: bool = False
    """What networks are chosen by."""


def columns(view: FrontView) -> list[Column]:
    """The members of a front, cheapest first; with test accuracies and ties where members were retrained."""
    tested, members = view.is_tested, view.members
    found = [
        Column("trial", tuple(str(one.trial) for one in members)),
        Column(view.metric.heading, tuple(one.text for one in members), is_metric=True),
        _values(view, "parameters"),
        _values(view, "macs", can_go="macs" not in view.objectives),
        *(_values(view, name) for name in view.costs if name not in ("parameters", "macs")),
    ]
    if tested:
        found.append(Column("test (seeds)", tuple(_test(one) for one in members)))
        found.append(Column("vs cheaper", tuple(str(one.verdict or "") for one in members), is_text=True))
    seconds = tuple(f"{one.seconds:.1f}" if one.seconds == one.seconds else "" for one in members)
    found.append(Column("seconds", seconds, can_go=True))
    named = any(one.published for one in members)
    found.append(Column("hash", tuple(one.hash[:8] for one in members), is_text=True, can_go=named))
    if named:
        found.append(Column("published", tuple(one.published or "" for one in members), is_text=True))
    return found


def front_table(view: FrontView, title: str, *, last: int | None = None) -> Group:
    """The table for a terminal of eighty columns; with the counts of the networks beside it.

    With `last` only that many members, the dearest, and no counts: of a search that runs, which has its own.
    """
    from rich.console import Group
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    shown = [column for column in columns(view) if not (view.is_tested and column.can_go)]
    for column in shown:
        table.add_column(
            column.name,
            justify="left" if column.is_text else "right",
            no_wrap=column.name != "published",  # the only one that may take a second line
            overflow="fold",
        )
    first = max(0, len(view.members) - last) if last else 0
    for row in list(zip(*(column.cells for column in shown), strict=True))[first:]:
        table.add_row(*row)
    return Group(table, *([view.counts] if last is None else []), *([TIED] if view.is_tested else []))


def front_records(view: FrontView) -> list[dict[str, Any]]:
    """The members as plain data, cheapest first; accuracy is null in a task that has none.

    Where networks are chosen by accuracy it has a standard error, null where nobody knows on how many images it was measured.
    Where the view knows of tests, each member has what the test set said about it under the key "test"; null when it was not
    retrained.
    """
    return [
        {
            "trial": one.trial,
            "hash": one.hash,
            "accuracy": one.values.get("accuracy"),
            "standard_error": one.standard_error,
            "parameters": int(one.values["parameters"]),
            "macs": int(one.values["macs"]),
            **{name: one.values.get(name) for name in view.further},
            "state": one.state,
            "assignment": one.assignment,
            "published": one.published,
            **({"test": view.tests.record(one.trial, one.hash)} if view.tests else {}),
        }
        for one in view.members
    ]


def _values(view: FrontView, name: str, *, can_go: bool = False) -> Column:
    """What the members have of this objective, as its row has it written."""
    row = OBJECTIVES[name]
    cells = tuple(value_text(row, one.values[name]) if name in one.values else "" for one in view.members)
    return Column(row.heading, cells, can_go=can_go)


def _test(one: Network) -> str:
    return summary_text(one.test, short=True) if one.test else ""
