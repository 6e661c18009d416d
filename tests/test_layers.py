"""A module imports only from lines below its own (docs/design: one direction)."""

from __future__ import annotations

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

# From the top: a module belongs to the first line one of whose names it is, or lies under.
LAYERS = [
    ("nas.cli", "nas.commands", "nas.__main__"),
    ("nas.bench", "nas.dashboard"),
    ("nas.report",),
    ("nas.searches",),
    ("nas.sampler",),
    ("nas.replays",),
    ("nas.api",),
    ("nas.export", "nas.network.predict", "nas.network.latency"),
    ("nas.network.load",),
    ("nas.network.lookup",),
    ("nas.network.model_selection",),
    ("nas.store",),
    ("nas.searches.early_stopping",),
    ("nas.pareto",),
    ("nas.train", "nas.data"),
    ("nas.space.feasibility",),
    ("nas.network.weights", "nas.network.gradcam"),
    ("nas.architecture.compile", "nas.network.pretrained"),
    ("nas.space.published",),
    ("nas.config.recipe_presets",),
    ("nas.config.recipe",),
    ("nas.space.space",),
    ("nas.space.reader",),
    ("nas.space.validation",),
    ("nas.architecture.cost", "nas.space.grammar"),
    ("nas.architecture.architecture",),
    ("nas.architecture.node_names",),
    ("nas.config.yaml_document", "nas.config.shipped_files"),
    ("nas.system.memory", "nas.system.temporary_folders", "nas.text.terminal"),
    (
        "nas.errors",
        "nas.limits",
        "nas.objectives",
        "nas.text.sanitize",
        "nas.statistics.proportion",
        "nas.statistics.scores",
        "nas.version",
    ),
    ("blocks",),
]


def _layer(module: str) -> int | None:
    for place, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return place
    return None


def _name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return {name for name in found if name.split(".")[0] in ("nas", "blocks")}


FILES = sorted([*REPOSITORY.glob("nas/**/*.py"), *REPOSITORY.glob("blocks/**/*.py")])


def test_imports_go_downwards() -> None:
    faults = [fault for path in FILES if _name(path) != "nas" for fault in _faults(path)]
    assert not faults, "\n".join(faults)


def _faults(path: Path) -> list[str]:
    module = _name(path)
    own = _layer(module)
    if own is None:
        return [f"{module} has no place in the order of layers"]
    faults: list[str] = []
    for imported in _imports(path):
        theirs = _layer(imported)
        allowed = theirs is None or theirs >= own or _layer(imported.rpartition(".")[0]) == own
        if not allowed:
            faults.append(f"{module} imports {imported} from a line above")
    return faults


def test_every_line_of_the_order_is_in_use() -> None:
    modules = [_name(path) for path in FILES]
    for names in LAYERS:
        assert any(module == name or module.startswith(name + ".") for name in names for module in modules), names
