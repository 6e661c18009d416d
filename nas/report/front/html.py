"""A front as one HTML file that opens without a network: hover over a point to see the network."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.errors import NasError
from nas.objectives import OBJECTIVES
from nas.report.front.view import BLUE, FAINT, GREY, INK, ORANGE, PALE, Shown
from nas.text.formatting import counted
from nas.text.sanitize import visible

if TYPE_CHECKING:
    import pandas as pd

LINES: Final = 9
"""Of other choices in a hover text."""


def write_html(shown: Shown, path: Path) -> None:
    """Writes the page. Raises NasError when the file cannot be written."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(shown.costs))
    for column, cost in enumerate(shown.costs, 1):
        traces = _traces(shown, cost)
        for trace in traces:
            trace.legendgroup = trace.name
            if column > 1:
                trace.showlegend = False
            figure.add_trace(trace, row=1, col=column)
        at = [x for trace in traces for x in trace.x if x is not None and x > 0]
        # Powers of ten, but on an axis that hardly shows one of them as many numbers as have room.
        ticks = {"dtick": 1, "minor": {"dtick": "D1"}} if at and max(at) > 30 * min(at) else {"tickformat": "~s"}
        figure.update_xaxes(type="log", title=OBJECTIVES[cost].label, row=1, col=column, **ticks)
        figure.update_yaxes(title=shown.accuracy_label, row=1, col=column)
    notes = shown.subtitle + (f"  ·  {counted(shown.untrained, 'trial')} untrained" if shown.untrained else "")
    title = f"<b>{_safe(shown.title)}</b><br><span style='font-size:13px;color:{FAINT}'>{_safe(notes)}</span>"
    figure.update_layout(
        # In pixels from the edge, however high the window is; the legend grows upwards from the plot.
        title={"text": title, "x": 0, "xanchor": "left", "y": 1, "yanchor": "top", "pad": {"t": 16, "l": 16}},
        template="plotly_white",
        font={"color": INK},
        hovermode="closest",
        hoverlabel={"align": "left", "font": {"size": 12}},
        legend={"orientation": "h", "y": 1, "yanchor": "bottom", "x": 0},
        margin={"t": 132},
    )
    # The library goes into the file: the page must open without a network. A fixed id keeps equal pages equal.
    page = figure.to_html(include_plotlyjs=True, full_html=True, div_id="front", config={"displaylogo": False})
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None


def _safe(text: str) -> str:
    """plotly reads texts as a kind of HTML."""
    return html.escape(visible(text))


def _traces(shown: Shown, cost: str) -> list[Any]:
    import plotly.graph_objects as go

    def dots(frame: pd.DataFrame, name: str, marker: Mapping[str, Any], **more: Any) -> Any:
        return go.Scatter(
            x=frame[cost].tolist(),
            y=(frame["accuracy"] * 100).tolist(),
            mode="markers",
            marker=marker,
            name=name,
            hovertext=[_card(row) for row in frame.to_dict("records")],
            hoverinfo="text",
            **more,
        )

    xs, ys = shown.staircase(cost)
    steps = go.Scatter(
        x=xs, y=ys, mode="lines", line={"color": BLUE, "shape": "hv"}, hoverinfo="skip", showlegend=False, name="front"
    )
    traces = [dots(shown.complete, "trials", {"color": GREY, "size": 8, "opacity": 0.75})]
    if len(shown.stopped):
        hollow = {"color": GREY, "size": 7, "symbol": "circle-open"}
        traces.append(dots(shown.stopped, "stopped early", hollow))
    edge = {"color": "white", "width": 1}
    traces += [steps, dots(shown.front, "Pareto front", {"color": BLUE, "size": 11, "line": edge})]
    if len(shown.published):
        names = dots(shown.published, "published networks", {"color": ORANGE, "size": 12, "line": edge})
        names.update(
            mode="markers+text",
            text=[_safe(name) for name in shown.published["published"]],
            textposition=_positions(shown, cost),
            textfont={"color": ORANGE},
        )
        traces.append(names)
    return traces + _tests(shown, cost)


def _tests(shown: Shown, cost: str) -> list[Any]:
    """Diamonds: what was measured on a test set (filled, with one standard deviation) or claimed for one (hollow)."""
    import plotly.graph_objects as go

    labelled = set(shown.published["published"])
    traces = []
    for points, color, label in (
        (_trials(shown.retrained(cost, tied=False)), BLUE, "retrained"),
        (_trials(shown.retrained(cost, tied=True)), PALE, "retrained, no better than a cheaper one"),
        (shown.replayed(cost), ORANGE, "replayed"),
        ([(name, x, y, 0.0) for name, x, y in shown.claimed(cost)], ORANGE, shown.claim_label),
    ):
        if not points:
            continue
        names, xs, ys, deviations = (list(column) for column in zip(*points, strict=True))
        hollow = label == shown.claim_label
        kind = f"{label}, by the paper" if hollow else f"test accuracy, {label}"
        spread = [f" ± {deviation:.2f}" if deviation else "" for deviation in deviations]
        fresh = [_safe(str(name)) if color == ORANGE and name not in labelled else "" for name in names]
        labelled |= {str(name) for name in names}
        traces.append(
            go.Scatter(
                x=xs,
                y=ys,
                mode="markers+text",
                text=fresh,
                textposition="top center",
                textfont={"color": ORANGE},
                marker={"color": color, "size": 10, "symbol": "diamond-open" if hollow else "diamond"},
                error_y={"type": "data", "array": deviations, "visible": not hollow, "thickness": 1.2},
                name=label,
                hovertext=[
                    f"<b>{y:.2f}{wide} % · {_safe(str(name))}</b><br>{kind}"
                    for name, y, wide in zip(names, ys, spread, strict=True)
                ],
                hoverinfo="text",
            )
        )
    return traces


def _trials(points: list[tuple[int, float, float, float]]) -> list[tuple[str, float, float, float]]:
    return [(f"trial {trial}", x, y, deviation) for trial, x, y, deviation in points]


def _positions(shown: Shown, cost: str) -> list[str]:
    """A side for each name, such that names of neighbours do not meet on a page of usual size."""
    import numpy as np

    from nas.drawing.geometry import Rect
    from nas.drawing.label_placement import overlap

    width, height = 1000.0, 480.0
    x = np.log10(shown.published[cost].to_numpy(float))
    y = shown.published["accuracy"].to_numpy(float)
    all_x = np.log10(shown.complete[cost].to_numpy(float))
    all_y = shown.complete["accuracy"].to_numpy(float)
    xs = width * (x - all_x.min()) / max(float(np.ptp(all_x)), 1e-9)
    ys = height * (y - all_y.min()) / max(float(np.ptp(all_y)), 1e-9)
    sides = {
        "middle left": (-1.0, 0.0),
        "middle right": (1.0, 0.0),
        "top center": (0.0, 1.0),
        "bottom center": (0.0, -1.0),
        "top left": (-1.0, 1.0),
        "bottom left": (-1.0, -1.0),
        "top right": (1.0, 1.0),
        "bottom right": (1.0, -1.0),
    }
    taken: list[Rect] = [Rect(px - 8, py - 8, 16, 16) for px, py in zip(xs, ys, strict=True)]
    chosen: list[str] = []
    for name, px, py in zip(shown.published["published"], xs, ys, strict=True):
        long = 7.0 * len(str(name))
        options: list[tuple[int, int, str, Rect]] = []
        for side, (dx, dy) in sides.items():
            box = Rect(px + dx * (9 + long / 2) - long / 2, py + dy * 16 - 7, long, 14)
            outside = box.x < 0 or box.x + box.width > width
            options.append((sum(overlap(box, other) for other in taken) + int(outside), len(options), side, box))
        _, _, side, box = min(options)
        chosen.append(side)
        taken.append(box)
    return chosen


def _card(row: Mapping[str, Any]) -> str:
    """What a point tells: its costs, which blocks it has how often, and its first other choices."""
    name = f" · {row['published']}" if isinstance(row["published"], str) else ""
    lines = [
        f"<b>{row['accuracy']:.2%}{_safe(name)}</b>",
        f"{row['parameters']:,} parameters · {row['macs']:,} MACs",
        f"trial {row['trial']} · {row['state']} · {row['hash'][:12]}",
    ]
    choices = row["assignment"]
    blocks = Counter(str(value) for key, value in choices.items() if key.endswith("block"))
    parts = [f"{block} ×{number}" if number > 1 else block for block, number in blocks.most_common()]
    lines += [_safe(", ".join(parts[i : i + 5])) for i in range(0, len(parts), 5)]
    others = [f"{key} = {value}" for key, value in choices.items() if not key.endswith("block")]
    shown = [_safe("   ".join(others[i : i + 2])) for i in range(0, len(others), 2)]
    lines += shown[:LINES]
    if len(shown) > LINES:
        lines.append(f"… and {len(others) - 2 * LINES} more choices")
    return "<br>".join(lines)
