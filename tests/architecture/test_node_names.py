"""A node's name stands in source code that is run: names out of files and databases are words, or refused in one line."""

from __future__ import annotations

import ast
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from safetensors.torch import save
from torch import fx, nn

from nas.architecture.architecture import INPUT, Architecture, Node
from nas.architecture.compile import compile_model
from nas.architecture.node_names import OF_GRAPHS, OF_MODULES, check_name
from nas.config.shipped_files import every
from nas.errors import AssignmentError, SpaceError
from nas.export.python import Notes, to_python
from nas.limits import MAX_NODES
from nas.network.weights import Card
from nas.space.published import PublishedConfig
from nas.space.space import Space
from nas.store import Store
from tests.conftest import Run
from tests.export.networks import SHAPE, around
from tests.store.filling import fill, make_study

TASK = {"dataset": "digits", "root": None, "validation": 0.2, "seed": 0, "input": [3, 32, 32], "classes": 10}


def hostile(ran: Path) -> dict[str, str]:
    """Names that would run code in the source that they stand in: it makes the file `ran`."""
    touch = f"__import__('pathlib').Path({str(ran)!r}).touch()"
    return {
        "fx": f'n1")\n    {touch}\n    x = getattr(self, "stem',
        "exported": f'stem": {touch}, "b',
        "attribute": f"stem or {touch}",
        "mangled": "stem.__class__",
        "grammar": "stem.None",
        "module": "stem.training",
    }


def renamed(text: str, name: str) -> str:
    """The JSON of an architecture with another name for its first node; its hash stays the same."""
    data = json.loads(text)
    old = data["nodes"][0]["name"]
    data["nodes"][0]["name"] = name
    for node in data["nodes"]:
        node["inputs"] = [name if one == old else one for one in node["inputs"]]
    return json.dumps(data)


def as_json(folder: Path, name: str) -> list[list[str]]:
    config = PublishedConfig.load("kong_baseline")
    (folder / "network.json").write_text(renamed(config.architecture().to_json(), name))
    images = ["--input", "3,32,32"]
    return [["export", "network.json", *images, "-o", "n.py"], ["latency", "network.json", *images]]


def as_card(folder: Path, name: str) -> list[list[str]]:
    from PIL import Image

    architecture = PublishedConfig.load("kong_baseline").architecture()
    card = Card(architecture, (3, 32, 32), 10, tuple("abcdefghij"), (0.5,) * 3, (0.5,) * 3).to_dict()
    card["architecture"] = json.loads(renamed(json.dumps(card["architecture"]), name))
    state = compile_model(architecture, (3, 32, 32), 10).state_dict()
    (folder / "w.safetensors").write_bytes(save(dict(state), metadata={"nas": json.dumps(card)}))
    Image.new("RGB", (32, 32)).save(folder / "x.png")
    weights = ["--weights", "w.safetensors"]
    return [["predict", "kong_baseline", "x.png", *weights], ["export", "kong_baseline", *weights, "-o", "n.py"]]


def as_row(folder: Path, name: str) -> list[list[str]]:
    with Store.open(f"sqlite:///{folder / 'nas.db'}", create=True) as store:
        make_study(store, task=TASK)
        fill(store, "first", 2)
    with sqlite3.connect(folder / "nas.db") as database:
        for digest, text in database.execute("SELECT hash, json FROM nas_architectures").fetchall():
            database.execute("UPDATE nas_architectures SET json = ? WHERE hash = ?", (renamed(text, name), digest))
    database.close()
    return [["export", "best", "-o", "n.py"], ["latency", "best"]]


@pytest.mark.parametrize("way", [as_json, as_card, as_row])
@pytest.mark.parametrize("kind", list(hostile(Path())))
def test_no_way_in_runs_code_from_a_name(
    way: Callable[[Path, str], list[list[str]]], kind: str, run: Run, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    for arguments in way(tmp_path, hostile(ran)[kind]):
        code, out, err = run(*arguments)
        assert not ran.exists(), (arguments, "code ran")
        assert (code, out, len(err.splitlines())) == (2, "", 1), (arguments, out, err)
        assert "architecture: node" in err


def refusal(text: str) -> str | None:
    """What is said of the JSON of an architecture that is not taken."""
    try:
        Architecture.from_json(text)
    except AssignmentError as problem:
        return str(problem)
    return None


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.text(max_size=20),
        st.from_regex(r"[A-Za-z_0-9.]{1,20}", fullmatch=True),
        st.sampled_from(
            [*dir(torch.nn.Module()), "class", "a.lambda", "__a", "a.0.b", "a.01", "a..b", "self", "x", "torch"]
        ),
    )
)
def test_every_name_is_refused_or_harmless(name: str) -> None:
    text = renamed(around("conv").to_json(), name)
    problem = refusal(text)
    if problem is not None:
        assert len(problem.splitlines()) == 1
        assert problem.isprintable()
        return
    architecture = Architecture.from_json(text)
    model = compile_model(architecture, SHAPE, 7)
    assert model(torch.zeros(2, *SHAPE)).shape == (2, 7)
    assert name in dict(model.named_modules())
    source = to_python(architecture, SHAPE, 7, Notes("a"))
    assert ast.dump(ast.parse(source)).count("Call(") == ast.dump(
        ast.parse(to_python(Architecture.from_json(renamed(text, "a.b" if "." in name else "a")), SHAPE, 7, Notes("a")))
    ).count("Call(")
    space: dict[str, object] = {"__name__": "network"}
    exec(compile(source, "network.py", "exec"), space)
    network = space["Network"]()  # type: ignore[operator]
    assert network(torch.zeros(2, *SHAPE)).shape == (2, 7)


def test_a_node_inside_another_and_endless_architectures_are_refused() -> None:
    with pytest.raises(AssignmentError, match=r"'stem.inner' stands inside the node 'stem'"):
        Architecture.from_json(around("conv").to_json().replace("body.0.under_test", "stem.inner"))
    for name in ("a" * 2_000, ".".join("a" * 101)):
        with pytest.raises(AssignmentError, match="at most"):
            check_name(name)
    check_name(".".join("a" * 100))
    params: dict[str, object] = {}
    nodes = [{"name": f"n{i}", "block": "zero", "params": params, "inputs": ["input"]} for i in range(MAX_NODES + 1)]
    with pytest.raises(AssignmentError, match="at most 10,000 nodes"):
        Architecture.from_json(json.dumps({"nodes": nodes, "output": "n0"}))


def test_every_attribute_of_this_versions_modules_is_refused() -> None:
    module, model = (
        {name for name in dir(one) if not name.startswith("__")}
        for one in (nn.Module(), fx.GraphModule({}, fx.Graph()))
    )
    assert module <= OF_MODULES
    assert model <= OF_MODULES | OF_GRAPHS


def test_a_name_is_checked_wherever_a_node_is_made() -> None:
    with pytest.raises(AssignmentError, match="words of letters"):
        Node("a b", "zero", (), (INPUT,))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("class: {block: conv}", r"space.yaml:\d: node 'class': 'class' is a word of Python's grammar"),
        ("train: {block: conv}", r"node 'train': every module of PyTorch has an attribute 'train' already"),
        ("graph: {block: conv}", r"node 'graph': every module of PyTorch has an attribute 'graph' already"),
        ("__init__: {block: conv}", r"begins with two underscores"),
        (f"{'a' * 101}: {{block: conv}}", r"at most 100 characters, not 101"),
    ],
)
def test_a_space_says_the_line_of_a_name_that_no_module_can_have(graph: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"name: s\ninput: [3, 8, 8]\ngraph:\n  {graph}\n  head: {{block: classifier}}\n")
    with pytest.raises(SpaceError, match=message):
        Space.load(path)


def test_every_published_network_still_reads() -> None:
    for path in every("search_spaces"):
        Space.load(path)
    for path in every("studies"):
        config = PublishedConfig.load(path)
        if config.without_network is not None:  # claims alone
            continue
        architecture = config.architecture()
        assert Architecture.from_json(architecture.to_json()) == architecture
