"""Random space files for property tests."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import yaml
from hypothesis.strategies import DrawFn

from nas.space.space import Space

HEAD = {"block": "classifier", "pool": "average"}


@st.composite
def _value(draw: DrawFn, *options: Any) -> Any:
    chosen = draw(st.lists(st.sampled_from(options), min_size=1, max_size=3, unique=True))
    return chosen[0] if len(chosen) == 1 else {"choose": chosen}


@st.composite
def _block(draw: DrawFn) -> dict[str, Any]:
    node: dict[str, Any] = {"block": draw(_value("conv", "identity", "zero"))}
    if "conv" in str(node["block"]):
        for key, options in (("channels", ("x1", 4)), ("kernel_size", (1, 3)), ("norm", ("none", "batch"))):
            if draw(st.booleans()):
                node[key] = draw(_value(*options))
    if draw(st.integers(0, 4)) == 0:
        node["present"] = {"choose": [True, False]}
    if draw(st.integers(0, 3)) == 0:
        node["repeat"] = draw(_value(0, 1, 2, 3))
        node["share"] = draw(st.booleans())
        if "conv" in str(node["block"]) and draw(st.booleans()):
            node["first"] = {"kernel_size": draw(_value(1, 3, 5)), "norm": draw(_value("none", "batch"))}
    return node


@st.composite
def _graph(draw: DrawFn, subgraphs: list[str]) -> dict[str, Any]:
    graph: dict[str, Any] = {}
    for place in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["block", "block", "graph", "choose", "concat"]))
        if kind == "graph" and subgraphs:
            node: dict[str, Any] = {"graph": draw(_value(*subgraphs))}
            if draw(st.booleans()):
                node["repeat"] = draw(_value(0, 1, 2))
                node["share"] = draw(st.booleans())
        elif kind == "choose":
            node = {"choose": {"left": draw(_block()), "right": draw(_block())}}
        elif kind == "concat":
            others = draw(_value("none", "input", *graph))
            node = {"block": "concat", "inputs": [list(graph)[-1] if graph else "input", others]}
        else:
            node = draw(_block())
        graph[f"n{place}"] = node
    return graph


@st.composite
def space_data(draw: DrawFn) -> dict[str, Any]:
    """A small space as the plain data of its file."""
    graphs: dict[str, Any] = {}
    for name in ("inner", "outer")[: draw(st.integers(0, 2))]:
        graphs[name] = draw(_graph(list(graphs)))
    top = draw(_graph(list(graphs)))
    for name in graphs:
        top[f"use_{name}"] = {"graph": name}  # a graph that is used nowhere is refused
        if draw(st.booleans()):
            top[f"use_{name}"]["share"] = "everywhere"
            top[f"again_{name}"] = {"graph": name, "share": "everywhere", "repeat": draw(_value(0, 1, 2))}
    top["head"] = HEAD
    return {"name": "random", "input": [2, 6, 6], "graphs": graphs, "graph": top}


def read(data: dict[str, Any], folder: Any) -> Space:
    """The space of this data, by way of a file."""
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return Space.load(path)
