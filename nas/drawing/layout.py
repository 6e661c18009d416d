"""Where to put the boxes and wires of an architecture: layers from top to bottom, groups inside groups.

The parts of a group are set in rows by their longest path from where the group's tensor enters. A wire to the next row
runs in the gap between them; a longer one leaves its row by the gap, runs down a lane beside the rows it skips, and
enters its target from the side or through the gap above. So no wire ever meets a box that is not its own. A group is
laid out first and then takes part in its parent as one box with one entry on top and one exit below. What is too tall
breaks into columns, wherever just one tensor passes.

Lengths are in points (1/72 inch); y grows downwards; x = 0 is the axis on which a group is entered and left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import networkx as nx

from nas.drawing.geometry import Part, Picture, Rect, Wire
from nas.drawing.wiring import ARROW, LABEL, TRACK, Rows

PADDING: Final = 10.0
"""Between the frame of a group and what is in it."""
GUTTER: Final = 30.0
"""Between two columns."""
TALL: Final = 640.0
"""A whole network higher than this breaks into columns."""
TALL_GROUP: Final = 1000.0
"""The same for a group in it."""
ASPECT: Final = 1.2
"""Width over height that columns are chosen for."""
EMPTY: Final = 2.0
"""How much empty paper counts: with less a lone block gets a column to itself."""
ENTRY: Final = -1
"""In the graph of a level: where its tensor comes from …"""
EXIT: Final = -2
"""… and what reads the one that leaves it."""


def block_picture(name: str, width: float, height: float) -> Picture:
    """The picture of one block."""
    return Picture(width / 2, width / 2, height, boxes={name: Rect(-width / 2, 0, width, height)})


def framed(content: Picture, path: str, header_width: float, header_height: float) -> Picture:
    """`content` inside the frame of the group at `path`. The header is written on both sides of the axis."""
    left = max(content.left + PADDING, header_width)
    right = max(content.right + PADDING, header_width)
    height = content.height + header_height
    picture = Picture(left, right, height, frames={path: Rect(-left, 0, left + right, height)})
    picture.put(content, 0, header_height)
    picture.wires.append(Wire(((0, 0), (0, header_height)), arrow=False))
    return picture


def level(parts: Sequence[Part], exit: int | None, *, tall: float = TALL_GROUP) -> Picture:
    """Lays out the parts of one group, given so that each comes after those it reads.

    The tensor that enters comes in at (0, 0); that of the part `exit` leaves at (0, height); None: nothing leaves. What
    gets higher than `tall` breaks into columns.
    """
    graph = _graph(parts, exit)
    rows = _rows(graph)
    picture = Rows(parts, rows, exit).picture()
    if picture.height <= tall:
        return picture
    cuts = [row for row in range(1, max(rows) + 1) if _passes_one(graph, rows, row)]
    choices = [(_badness(picture.width, [picture.height]), picture)]
    for columns in range(2, len(cuts) + 2):
        starts = _balanced(parts, rows, cuts, columns)
        candidate, heights = _in_columns(parts, rows, exit, starts)
        choices.append((_badness(candidate.width, heights), candidate))
        if candidate.width > 3 * ASPECT * candidate.height:
            break
    return min(choices, key=lambda choice: choice[0])[1]


def _badness(width: float, heights: Sequence[float]) -> float:
    """What speaks against columns with these heights: how far from the wanted aspect, and how much paper stays empty."""
    tallest = max(heights)
    empty = 1 - sum(heights) / (len(heights) * tallest)
    return abs(math.log(width / tallest / ASPECT)) + EMPTY * empty


def _graph(parts: Sequence[Part], exit: int | None) -> nx.DiGraph[int]:
    """Which part, by its number, reads which."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from((ENTRY, *range(len(parts))))
    for place, part in enumerate(parts):
        graph.add_edges_from((ENTRY if source is None else source, place) for source in part.inputs)
    if exit is not None:
        graph.add_edge(exit, EXIT)
    return graph


def _rows(graph: nx.DiGraph[int]) -> list[int]:
    """The row of each part: the length of the longest path to it."""
    parts = graph.subgraph(place for place in graph if place >= 0)
    row_of = {place: row for row, places in enumerate(nx.topological_generations(parts)) for place in places}
    return [row_of[place] for place in sorted(row_of)]


def _passes_one(graph: nx.DiGraph[int], rows: Sequence[int], row: int) -> bool:
    """Whether what goes from above `row` to it and below is one tensor, made by the row just above."""
    above = [ENTRY, *(place for place, its in enumerate(rows) if its < row)]
    crossing = {source for source, _ in nx.edge_boundary(graph, above)}
    return len(crossing) == 1 and ENTRY not in crossing and rows[crossing.pop()] == row - 1


def _balanced(parts: Sequence[Part], rows: Sequence[int], cuts: Sequence[int], columns: int) -> list[int]:
    """The first rows of the 2nd, 3rd, … column such that their heights differ least."""
    last = max(rows) + 1
    heights = [0.0] * last
    for part, row in zip(parts, rows, strict=True):
        heights[row] = max(heights[row], part.picture.height + LABEL + ARROW)
    starts = [0, *cuts, last]
    # best[n][i]: the least sum of squared heights of rows 0 … starts[i] in n columns, and the cuts that give it
    best: list[dict[int, tuple[float, list[int]]]] = [{0: (0.0, [])}]
    for _ in range(columns):
        found: dict[int, tuple[float, list[int]]] = {}
        for end in range(1, len(starts)):
            options = [
                (squares + sum(heights[starts[begin] : starts[end]]) ** 2, [*chosen, starts[begin]])
                for begin, (squares, chosen) in best[-1].items()
                if begin < end
            ]
            if options:
                found[end] = min(options)
        best.append(found)
    return best[columns][len(starts) - 1][1][1:]


def _in_columns(
    parts: Sequence[Part], rows: Sequence[int], exit: int | None, starts: Sequence[int]
) -> tuple[Picture, list[float]]:
    """Columns beside each other, and their heights; the tensor goes from the end of one up to the start of the next."""
    bounds = [0, *starts, max(rows) + 1]
    columns: list[Picture] = []
    for first, end in pairwise(bounds):
        members = [place for place, row in enumerate(rows) if first <= row < end]
        renumbered = {place: index for index, place in enumerate(members)}
        inside = [
            Part(
                parts[place].picture,
                tuple(renumbered.get(source) if source is not None else None for source in parts[place].inputs),
                parts[place].is_block,
            )
            for place in members
        ]
        if end == bounds[-1]:
            leaves = None if exit is None else renumbered[exit]
        else:
            later = (part for part, row in zip(parts, rows, strict=True) if row >= end)
            leaves = next(renumbered[s] for part in later for s in part.inputs if s in renumbered)
        columns.append(level(inside, leaves, tall=math.inf))
    top = TRACK
    low = top + max(column.height for column in columns) + TRACK
    total = Picture(columns[0].left, 0.0, low + (TRACK if exit is not None else 0.0))
    x = 0.0
    axes: list[float] = []
    for index, column in enumerate(columns):
        x += column.left if index else 0.0
        axes.append(x)
        total.put(column, x, top)
        total.right = x + column.right
        x = total.right + GUTTER
    if any(None in part.inputs for part in parts):
        total.wires.append(Wire(((0, 0), (0, top)), arrow=False))
    for index, column in enumerate(columns[:-1]):
        gutter = axes[index] + column.right + GUTTER / 2
        points = (
            (axes[index], top + column.height),
            (axes[index], low),
            (gutter, low),
            (gutter, 0.0),
            (axes[index + 1], 0.0),
            (axes[index + 1], top),
        )
        total.wires.append(Wire(points, arrow=False))
    if exit is not None:  # from the last column back to the axis, below everything
        below = low + TRACK
        total.wires.append(
            Wire(((axes[-1], top + columns[-1].height), (axes[-1], below), (0, below), (0, total.height)), arrow=False)
        )
    return total, [column.height for column in columns]
