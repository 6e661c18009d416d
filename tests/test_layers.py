"""The floor plan: packages in an order in which imports go one way, no circle anywhere, hardly a module that lies loose."""

from __future__ import annotations

import ast
from pathlib import Path

import networkx as nx
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

ORDER = [
    (("nas.__main__", "nas.cli", "nas.commands"), "the command line: options, words, exit codes"),
    (("nas.dashboard", "nas.bench"), "Optuna Dashboard on our tables; samplers compared on tables of trained networks"),
    (("nas", "nas.api"), "studies from Python: `nas.search` and `nas.load_study`"),
    (("nas.report",), "tables, the page of a study, pictures of fronts and trainings"),
    (("nas.fits",), "from photos to a model: references beside a search, and the choice among all"),
    (
        ("nas.searches", "nas.replays"),
        "the two drivers: the search; published networks and members of a front trained again",
    ),
    (("nas.front",), "a Pareto front as every output shows it"),
    (
        ("nas.analysis", "nas.drawing", "nas.device", "nas.export"),
        "numbers out of trials; pictures of networks; the device where a network runs; files to take away",
    ),
    (
        ("nas.network", "nas.execution"),
        "one network: lookup, weights, latency, predictions; trainings on Ray side by side",
    ),
    (("nas.store", "nas.sampler", "nas.train"), "the study database; the sampler `pareto`; training of one network"),
    (("nas.data", "nas.space"), "data sets as arrays of bytes; design spaces and the published networks in them"),
    (
        ("nas.architecture", "nas.config", "nas.pareto"),
        "a network as data, and its cost; YAML and recipes; Pareto fronts",
    ),
    (("nas.text", "nas.statistics", "nas.system"), "text as people read it; how sure an accuracy is; the machine"),
    (("blocks",), "the blocks; of the rest they know how to be added by name, and errors"),
    (
        ("nas.plugins", "nas.objectives", "nas.states", "nas.limits", "nas.errors", "nas.version"),
        "what can be added from outside; what all others speak of",
    ),
]
"""From the top: a package imports from those behind it alone, in its own line or in a later one."""

PLACES = [package for packages, _ in ORDER for package in packages]
MOST_LOOSE = 10


def _module(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module(path): path for top in ("nas", "blocks") for path in sorted((REPOSITORY / top).rglob("*.py"))}


def _package(module: str) -> str:
    return module if module == "nas" else ".".join(module.split(".")[: 1 if module.startswith("blocks") else 2])


def imports(source: str) -> set[str]:
    """The modules of ours that a file imports: at its top, inside functions, and for the type checker."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.update({whole} if whole in FILES else {node.module} & FILES.keys())
    return found


def _graph() -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(FILES)
    for module, path in FILES.items():
        graph.add_edges_from((module, other) for other in imports(path.read_text()))
    return graph


@pytest.fixture(scope="module")
def modules() -> nx.DiGraph[str]:
    return _graph()


def test_lazy_imports_and_those_for_types_count() -> None:
    source = (
        "if TYPE_CHECKING:\n    from nas.store import Store\ndef f():\n    from nas import cli\n    import nas.api\n"
    )
    assert imports(source) == {"nas.store", "nas.cli", "nas.api"}


def test_imports_go_one_way(modules: nx.DiGraph[str]) -> None:
    place = {package: number for number, package in enumerate(PLACES)}
    lost = sorted({package for module in modules if (package := _package(module)) not in place})
    assert not lost, f"no place in the order: {', '.join(lost)}"
    faults = [f"{a} imports {b}" for a, b in modules.edges if place[_package(a)] > place[_package(b)]]
    assert not faults, "from below to above:\n" + "\n".join(faults)


def test_no_circle_of_modules_or_packages(modules: nx.DiGraph[str]) -> None:
    packages = nx.DiGraph((_package(a), _package(b)) for a, b in modules.edges if _package(a) != _package(b))
    for graph in (modules, packages):
        circle = next(iter(nx.simple_cycles(graph)), None)
        assert circle is None, " -> ".join([*(circle or ()), *(circle or ())[:1]])


def test_every_place_is_taken() -> None:
    empty = set(PLACES) - {_package(module) for module in FILES}
    assert not empty


def test_few_modules_lie_loose() -> None:
    loose = [path.name for path in (REPOSITORY / "nas").glob("*.py")]
    assert len(loose) <= MOST_LOOSE, sorted(loose)


def table() -> str:
    """The order as CONTRIBUTING.md shows it."""
    rows = [f"| {', '.join(f'`{_shown(package)}`' for package in packages)} | {what} |" for packages, what in ORDER]
    return "\n".join(["| from the top | what it is |", "|---|---|", *rows])


def _shown(package: str) -> str:
    path = FILES[package].relative_to(REPOSITORY)
    return f"{path.parent}/" if path.name == "__init__.py" and package != "nas" else str(path)


def test_contributing_shows_this_order() -> None:
    assert table() in (REPOSITORY / "CONTRIBUTING.md").read_text(), f"CONTRIBUTING.md must say:\n{table()}"
