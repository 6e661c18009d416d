"""Objectives of a user's own, one of each kind, from the search to the page."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import torch

import nas
from nas.architecture.cost import cost
from nas.config.block_files import load_blocks
from nas.errors import NasError, SearchError
from nas.network.probes import PROBES
from nas.objectives import OBJECTIVES
from nas.pareto import hypervolume, scaled_loss
from nas.searches.options import SearchOptions
from nas.space.space import Space
from nas.store import Store
from tests.conftest import Run
from tests.small_search import QUICK, space_file, storage

__all__ = ["space_file", "storage"]

NODES = nas.Objective(
    "nodes",
    "minimize",
    "exact",
    (1, 1000),
    label="nodes of the graph",
    form="grouped",
    count=lambda network, *_: len(network.nodes),
)
LOSS = nas.Objective("loss", "minimize", "learned", (1e-3, 1e2), label="validation loss")


class SynFlow(nas.Probe):
    """Of Tanaka et al. 2020: how much flows through a network whose weights are made positive, as a logarithm."""

    objective = nas.Objective("synflow", "maximize", "measured", (-100.0, 100.0), "linear", label="synaptic flow")
    calls: list[str]

    def __init__(self) -> None:
        self.calls = []

    def measure(
        self, architecture: nas.Architecture, input: tuple[int, ...], classes: int, device: torch.device
    ) -> float:
        self.calls.append(architecture.hash)
        model = nas.compile_model(architecture, input, classes).double().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        model(torch.ones(1, *input, dtype=torch.float64)).sum().backward()
        flows = [(p * p.grad).sum() for p in model.parameters() if p.grad is not None]
        return torch.stack(flows).sum().log().item()


@pytest.fixture(autouse=True)
def registered() -> Iterator[SynFlow]:
    """Objectives and a probe that are gone after the test."""
    before, probes = dict(OBJECTIVES), dict(PROBES)
    nas.register_objective(NODES)
    nas.register_objective(LOSS)
    probe = SynFlow()
    nas.register_probe(probe)
    yield probe
    OBJECTIVES.clear()
    OBJECTIVES.update(before)
    for name in set(PROBES) - set(probes):
        PROBES.remove(name)


OPTIONS = {"recipe": QUICK, "epochs": 1, "max_concurrent": 1, "seed_points": "none"}


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_an_objective_of_each_kind_is_searched_stored_exported_and_shown(
    space_file: Path, storage: str, registered: SynFlow, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("accuracy", "loss", "nodes", "synflow")
    found = nas.search(space_file, storage=storage, objectives=names, trials=4, sampler="tpe", **OPTIONS)  # type: ignore[arg-type]
    trials = found.trials
    assert found.states == {"complete": 4}
    assert sorted(registered.calls) == sorted(trials["hash"])  # each network once
    assert 0 < found.hypervolume < 1
    with Store.open(storage) as store:
        for row in trials.to_dict("records"):
            architecture = store.architecture(row["hash"])
            assert row["nodes"] == len(architecture.nodes)
            assert row["synflow"] == pytest.approx(
                SynFlow().measure(architecture, (1, 16, 16), 10, torch.device("cpu")), abs=5
            )
            assert store.readings(row["hash"], "synflow")[0].value == row["synflow"]
    best = {"accuracy": "max", "loss": "min", "nodes": "min", "synflow": "max"}
    for name, way in best.items():  # whoever is best in one objective is on the front
        assert getattr(found.front[name], way)() == getattr(trials[name], way)()

    study = optuna.load_study(study_name="tiny-digits", storage=storage)
    assert [trial.values for trial in study.trials] == trials[list(names)].to_numpy().tolist()

    # From here on as another process would: nothing is registered.
    for name in ("loss", "nodes", "synflow"):
        del OBJECTIVES[name]
    monkeypatch.setenv("NAS_STORAGE", storage)
    assert list(nas.load_study(storage=storage).pareto()["synflow"]) == list(found.front["synflow"])
    monkeypatch.setenv("NAS_STORAGE", storage)
    code, out, err = run("study", "export", "tiny-digits", "-o", "trials.csv", "--storage", storage)
    assert (code, err) == (0, "")
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["synflow"]) for row in rows] == list(trials["synflow"])
    assert [float(row["nodes"]) for row in rows] == list(trials["nodes"])
    code, out, _ = run("study", "pareto", "--storage", storage)
    assert code == 0
    assert all(name in out for name in ("loss", "nodes", "synflow"))
    code, out, _ = run("study", "pareto", "--json", "--storage", storage)
    assert [row["synflow"] for row in json.loads(out)] == list(found.front["synflow"])
    assert run("report", "-o", "page.html", "--storage", storage)[0] == 0
    page = (tmp_path / "page.html").read_text()
    for label in ("validation loss", "nodes of the graph", "synaptic flow"):
        assert f" against {label};" in page
    assert run("study", "pareto", "-o", "front.png", "--storage", storage)[0] == 0
    assert run("study", "pareto", "-o", "front.html", "--storage", storage)[0] == 0
    assert "synaptic flow" in (tmp_path / "front.html").read_text()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.long
def test_what_is_exact_and_what_is_measured_bound_a_search(space_file: Path, storage: str, registered: SynFlow) -> None:
    """The sampler `pareto`, which has the proxy as a feature, finds what fits."""
    space = Space.load(space_file)
    values, nodes = {}, {}
    for assignment in space.enumerate():
        network = space.from_assignment(assignment)
        values[network.hash] = SynFlow().measure(network, space.input, 10, torch.device("cpu"))
        nodes[network.hash] = len(network.nodes)
    bound = sorted(values.values())[len(values) // 2]
    assert bound > 0
    found = nas.search(
        space_file,
        storage=storage,
        objectives=("accuracy", "parameters"),
        limits={"synflow": bound, "nodes": 2},
        features=("synflow",),
        trials=5,
        **OPTIONS,  # type: ignore[arg-type]
    )
    assert (found.trials["synflow"] <= bound).all()
    assert (found.trials["nodes"] == 2).all()
    assert max(nodes.values()) > 2
    assert max(values.values()) > bound
    # and without being a feature: what breaks a bound is measured, kept and not trained
    registered.calls.clear()
    other = nas.search(
        space_file, storage=storage, study="other", limits={"synflow": bound}, trials=4, sampler="random", cache=False, **OPTIONS,  # type: ignore[arg-type]
    )  # fmt: skip
    assert (other.trials["synflow"] <= bound).all()
    assert set(registered.calls).isdisjoint(found.trials["hash"])  # the database knows those
    with Store.open(storage) as store:
        refused = set(registered.calls) - set(other.trials["hash"])
        assert refused
        assert all(store.readings(digest, "synflow")[0].row is None for digest in refused)


def test_a_space_file_may_bound_them(tmp_path: Path, space_file: Path) -> None:
    path = tmp_path / "bounded.yaml"
    path.write_text(space_file.read_text() + "constraints: {nodes: {max: 2}, synflow: {min: 0.5}}\n")
    space = Space.load(path)
    network = space.from_assignment(next(space.enumerate()))
    price = cost(network, space.input, 10)
    assert str(space.violation(price)) == f"nodes {len(network.nodes)} > 2"
    assert space.limit(nodes=99).violation(price) is None  # what is not measured yet breaks nothing
    assert str(space.limit(nodes=99).violation(price.with_values({"synflow": 0.25}))) == "synflow 0.25 < 0.5"


def test_scales_are_fixed_and_a_front_needs_none() -> None:
    import pandas as pd

    assert scaled_loss("synflow", [100.0, 0.0, -100.0]).tolist() == [0.0, 0.5, 1.0]
    assert scaled_loss("loss", [1e-4, 1e2]).tolist() == [0.0, 1.0]
    frame = pd.DataFrame(
        {"state": "complete", "hash": list("ab"), "trial": [0, 1], "accuracy": [0.5, 0.6], "synflow": [1.0, 2.0]}
    )
    assert hypervolume(frame, ("accuracy", "synflow")) == pytest.approx(0.6 * 0.51)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "accuracy"}, "objective 'accuracy': nas has one of that name"),
        ({"name": "Energy"}, "small letters, digits and _, such as energy_joules, not 'Energy'"),
        ({"name": "state"}, "objective 'state': trials have a column of that name"),
        ({"direction": "up"}, "direction must be one of minimize, maximize, not 'up'"),
        ({"known": "guessed"}, "known must be one of learned, exact, measured, not 'guessed'"),
        ({"range": (0, 1)}, "range must be from a smaller to a larger number, both above 0, not 0 to 1"),
        ({"count": None}, "objective 'depth': an exact one needs count="),
    ],
)
def test_mistakes_are_one_line(changes: dict[str, object], says: str) -> None:
    values: dict[str, object] = {
        "name": "depth",
        "direction": "minimize",
        "known": "exact",
        "range": (1, 10),
        "count": len,
    }
    with pytest.raises(NasError) as caught:
        nas.register_objective(nas.Objective(**{**values, **changes}))  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_an_option_that_names_what_nobody_knows(run: Run) -> None:
    start = ("search", "--space", "nas_bench_macro")
    for options, says in (
        (("--objectives", "accuracy,synflw"), "no objective 'synflw'; known: accuracy, parameters"),
        (
            ("--limits", "accuracy=1"),
            "limits: nothing is known of 'accuracy' before a training; known: parameters, macs",
        ),
        (("--limits", "macs"), "must be like activation_bytes=2M, not 'macs'"),
        (("--limits", "macs=-1"), "must be a number above 0"),
        (("--features", "macs"), "features: must be of latency, synflow, not 'macs'"),
        (("--latency-device", "tpu"), "'tpu' is not one of 'cpu', 'cuda'"),
    ):
        code, out, err = run(*start, *options)
        assert (code, out) == (2, "")
        assert says in err
        assert len(err.splitlines()) == 1


def test_what_a_probe_cannot_do_is_one_line(space_file: Path, storage: str) -> None:
    class Broken(nas.Probe):
        objective = nas.Objective("broken", "minimize", "measured", (1, 10))

        def measure(self, *given: object) -> float:
            raise RuntimeError("no\nidea")

    nas.register_probe(Broken())
    with pytest.raises(NasError, match=r"^broken of network [0-9a-f]{8}: RuntimeError: no idea$"):
        nas.search(space_file, storage=storage, objectives=("accuracy", "broken"), trials=1, **OPTIONS)  # type: ignore[arg-type]
    PROBES.remove("broken")
    with pytest.raises(SearchError, match="objective 'broken': this process has no probe that measures it"):
        nas.search(space_file, storage=storage, objectives=("accuracy", "broken"), trials=1, **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(NasError, match="takes an object of a class derived from nas.Probe"):
        nas.register_probe(Broken)  # type: ignore[arg-type]


PROBE = """\
import nas


class Edges(nas.Probe):
    objective = nas.Objective("edges", "minimize", "measured", range=(1, 1000))

    def measure(self, architecture, input, classes, device):
        return sum(len(node.inputs) for node in architecture.nodes)


nas.register_probe(Edges())
"""


def test_a_probe_may_stand_alone_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "probe.py"
    file.write_text(PROBE)
    options = SearchOptions("plain", blocks=(str(file),), objectives=("accuracy", "edges"), limits={"edges": 40})
    assert options.objectives == ("accuracy", "edges")
    space = Space.load("plain")
    network = space.from_assignment(space.sample(random.Random(0)))
    assert PROBES["edges"].measure(network, (3, 32, 32), 10, torch.device("cpu")) >= len(network.nodes)
    file.write_text(PROBE + "# changed\n")
    assert load_blocks(file) == []
    file.write_text("import nas\n")
    with pytest.raises(NasError, match="probe.py: no block in it"):
        load_blocks(file)


def test_two_that_must_be_learned_need_another_sampler(space_file: Path, storage: str) -> None:
    with pytest.raises(
        SearchError, match="sampler pareto: learns one objective, not accuracy and loss; use --sampler tpe"
    ):
        nas.search(space_file, storage=storage, objectives=("accuracy", "loss"), trials=1, **OPTIONS)  # type: ignore[arg-type]
