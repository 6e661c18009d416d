"""The front of a study as a picture: PNG for a report, interactive HTML for a look around."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.front import pareto

if TYPE_CHECKING:
    import pandas as pd

LABELS = {
    "parameters": "parameters",
    "macs": "multiply-accumulates for one image",
    "activation_bytes": "peak activation bytes for one image",
}
# Okabe and Ito's colours, which people with any colour vision can tell apart.
GREY, BLUE, ORANGE = "#9aa0a6", "#0072B2", "#D55E00"


def plot_front(trials: pd.DataFrame, objectives: Sequence[str], path: Path, *, title: str) -> None:
    """Accuracy (%) against each cost, front and published networks marked, to a .png or .html file at `path`."""
    costs = [name for name in objectives if name != "accuracy"] or ["parameters"]
    complete = trials[trials["state"] == "complete"].drop_duplicates("hash")
    front = pareto(trials, objectives)
    draw = _html if path.suffix.lower() == ".html" else _png
    draw(complete, front, costs, path, title)


def _step(front: pd.DataFrame, cost: str) -> tuple[list[float], list[float]]:
    """The best accuracy (%) that each cost buys, as the corners of a staircase."""
    best, xs, ys = 0.0, [], []
    for x, y in zip(front[cost], front["accuracy"] * 100, strict=True):
        if y > best:
            best = y
            xs.append(float(x))
            ys.append(float(y))
    return xs, ys


def _png(complete: pd.DataFrame, front: pd.DataFrame, costs: Sequence[str], path: Path, title: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.8 * len(costs), 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for place, cost in enumerate(costs):
        axes = figure.add_subplot(1, len(costs), place + 1)
        ordered = front.sort_values(cost)
        axes.scatter(complete[cost], complete["accuracy"] * 100, s=22, color=GREY, label="trials", zorder=2)
        xs, ys = _step(ordered, cost)
        axes.step(xs, ys, where="post", color=BLUE, linewidth=1.4, zorder=3)
        axes.scatter(ordered[cost], ordered["accuracy"] * 100, s=36, color=BLUE, label="Pareto front", zorder=4)
        known = complete[complete["published"].notna()].sort_values("accuracy")
        axes.scatter(
            known[cost],
            known["accuracy"] * 100,
            s=90,
            facecolors="none",
            edgecolors=ORANGE,
            linewidths=1.6,
            marker="D",
            label="published networks",
            zorder=5,
        )
        axes.set_xscale("log")
        axes.margins(x=0.12, y=0.12)
        axes.set_xlabel(LABELS[cost])
        axes.set_ylabel("validation accuracy (%)")
        axes.grid(True, which="major", color="#e3e5e8", linewidth=0.8, zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
        _label(figure, axes, known, cost)
        if place == 0 and len(complete):
            axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    figure.savefig(path, metadata={"Software": None})


def _label(figure: Any, axes: Any, known: pd.DataFrame, cost: str) -> None:
    """Names beside the published networks: on the side where there is room, moved up until none covers another."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    taken: list[Any] = []
    for row in known.to_dict("records"):
        point = (row[cost], row["accuracy"] * 100)
        on_right = axes.transData.transform(point)[0] < (inside.x0 + inside.x1) / 2
        text = axes.annotate(
            row["published"],
            point,
            xytext=(9 if on_right else -9, 0),
            textcoords="offset points",
            ha="left" if on_right else "right",
            va="center",
            fontsize=8,
            color=ORANGE,
            zorder=6,
        )
        for step in range(1, 40):
            box = text.get_window_extent(renderer).padded(1)
            if not any(box.overlaps(other) for other in taken) and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                break
            # 0, +11, −11, +22, −22 … points up and down
            text.set_position((9 if on_right else -9, 11 * ((step + 1) // 2) * (1 if step % 2 else -1)))
        taken.append(text.get_window_extent(renderer).padded(1))


def _html(complete: pd.DataFrame, front: pd.DataFrame, costs: Sequence[str], path: Path, title: str) -> None:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=1, cols=len(costs))
    for column, cost in enumerate(costs, 1):
        ordered = front.sort_values(cost)
        xs, ys = _step(ordered, cost)
        known = complete[complete["published"].notna()]
        traces = [
            go.Scatter(
                x=complete[cost].tolist(),
                y=(complete["accuracy"] * 100).tolist(),
                mode="markers",
                marker={"color": GREY, "size": 8},
                name="trials",
                hovertext=_cards(complete),
                hoverinfo="text",
            ),
            go.Scatter(x=xs, y=ys, mode="lines", line={"color": BLUE, "shape": "hv"}, hoverinfo="skip", showlegend=False),
            go.Scatter(
                x=ordered[cost].tolist(),
                y=(ordered["accuracy"] * 100).tolist(),
                mode="markers",
                marker={"color": BLUE, "size": 10},
                name="Pareto front",
                hovertext=_cards(ordered),
                hoverinfo="text",
            ),
            go.Scatter(
                x=known[cost].tolist(),
                y=(known["accuracy"] * 100).tolist(),
                mode="markers+text",
                marker={"color": ORANGE, "size": 14, "symbol": "diamond-open", "line": {"width": 2}},
                text=known["published"].tolist(),
                textposition="bottom center",
                textfont={"color": ORANGE},
                name="published networks",
                hovertext=_cards(known),
                hoverinfo="text",
            ),
        ]
        for trace in traces:
            trace.legendgroup = trace.name
            if column > 1:
                trace.showlegend = False
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(type="log", title=LABELS[cost], row=1, col=column)
        figure.update_yaxes(title="validation accuracy (%)", row=1, col=column)
    figure.update_layout(title=title, template="plotly_white", hovermode="closest", legend={"orientation": "h", "y": -0.18})
    # The library goes into the file: the page must open without a network.
    figure.write_html(path, include_plotlyjs=True, full_html=True, div_id="front")


def _cards(frame: pd.DataFrame) -> list[str]:
    """What a point tells: costs, then every choice."""
    import html

    cards = []
    for row in frame.to_dict("records"):
        name = f" · {row['published']}" if isinstance(row["published"], str) else ""
        lines = [
            f"<b>trial {row['trial']}{name}</b>",
            f"{row['accuracy']:.2%} · {row['parameters']:,} parameters · {row['macs']:,} MACs",
            f"hash {row['hash'][:8]} · {row['seconds']:.1f} s",
        ]
        choices = [f"{key}: {value}" for key, value in row["assignment"].items()]
        lines += [html.escape("  ".join(choices[i : i + 3])) for i in range(0, len(choices), 3)][:14]
        if len(choices) > 42:
            lines.append(f"… {len(choices)} choices in all")
        cards.append("<br>".join(lines))
    return cards
