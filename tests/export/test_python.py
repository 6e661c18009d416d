"""Exported Python files: every block alone, whole networks, and what a reader of the file meets."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given, settings
from torch import nn

from nas.architecture.compile import compile_model
from nas.errors import ExportError
from nas.export.checking import check_python, check_python_files
from nas.export.python import Notes, to_python
from nas.export.source import extract
from nas.space.published import PublishedConfig
from tests.blocks.cases import BLOCKS, Case, one_changed
from tests.export.networks import SHAPE, around, random_points, warmed


def few_cases() -> list[Case]:
    """Every block at its defaults, and with the last value of each hyperparameter."""
    last = {(case.block, case.changed[0][0] if case.changed else None): case for case in one_changed()}
    return list(last.values())


@pytest.mark.parametrize(
    "cases",
    [pytest.param(few_cases(), marks=pytest.mark.long), pytest.param(one_changed(), marks=pytest.mark.slow)],
    ids=["few", "all"],
)
def test_every_block_gives_the_same_bits_without_nas(cases: list[Case], tmp_path: Path) -> None:
    files: dict[Path, tuple[nn.Module, tuple[int, ...]]] = {}
    for place, case in enumerate(cases):
        architecture = around(case.block, **dict(case.changed))
        path = tmp_path / f"case_{place}.py"
        path.write_text(to_python(architecture, SHAPE, 7, Notes(f"{case}")))
        files[path] = (warmed(architecture), SHAPE)
    assert {case.block for case in cases} == set(BLOCKS)
    check_python_files(files)


@pytest.mark.long
def test_whole_networks_give_the_same_bits_without_nas(tmp_path: Path) -> None:
    files: dict[Path, tuple[nn.Module, tuple[int, ...]]] = {}
    networks = [PublishedConfig.load("kong_aim_cam").architecture(), *random_points("attn_cnn", 3)]
    for place, architecture in enumerate(networks):
        path = tmp_path / f"network_{place}.py"
        path.write_text(to_python(architecture, (3, 32, 32), 10, Notes("a network")))
        files[path] = (warmed(architecture, (3, 32, 32), 10), (3, 32, 32))
    check_python_files(files)


def test_the_file_is_formatted_and_has_no_loose_names(tmp_path: Path) -> None:
    for name in BLOCKS:
        notes = Notes("A title.", ["A fact."], "weights.safetensors", ["a", 'b"c'], (0.5,) * 3, (0.25,) * 3)
        (tmp_path / f"{name}.py").write_text(to_python(around(name), SHAPE, 7, notes))
    for place, architecture in enumerate(random_points("attn_cnn", 3)):
        (tmp_path / f"network_{place}.py").write_text(to_python(architecture, (3, 32, 32), 10, Notes("a network")))
    ruff = [sys.executable, "-m", "ruff"]
    for arguments in (
        ["check", "--isolated", "--select", "E4,E7,E9,F,I,W", "--line-length", "120", "--no-cache"],
        ["format", "--isolated", "--check", "--line-length", "120", "--no-cache"],
    ):
        ended = subprocess.run([*ruff, *arguments, str(tmp_path)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_file_imports_pytorch_and_the_standard_library_alone() -> None:
    for name in BLOCKS:
        tree = ast.parse(to_python(around(name), SHAPE, 7, Notes(name)))
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                assert module.partition(".")[0] in {"torch", *sys.stdlib_module_names}, (name, module)


def test_the_same_seed_draws_the_same_weights(tmp_path: Path) -> None:
    architecture = PublishedConfig.load("kong_aim").architecture()
    path = tmp_path / "network.py"
    path.write_text(to_python(architecture, (3, 32, 32), 10, Notes("kong_aim")))
    code = (
        "import hashlib, sys, importlib.util, torch\n"
        "spec = importlib.util.spec_from_file_location('network', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "torch.manual_seed(5)\n"
        "for p in module.Network().state_dict().values(): print(hashlib.sha256(p.numpy().tobytes()).hexdigest())"
    )
    output = subprocess.run([sys.executable, "-I", "-c", code, str(path)], capture_output=True, text=True, check=True)
    torch.manual_seed(5)
    model = compile_model(architecture, (3, 32, 32), 10)
    wanted = [hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for tensor in model.state_dict().values()]
    assert output.stdout.split() == wanted


def test_the_file_runs_as_a_script(tmp_path: Path) -> None:
    path = tmp_path / "network.py"
    path.write_text(to_python(PublishedConfig.load("kong_baseline").architecture(), (3, 32, 32), 10, Notes("a")))
    ended = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ended.stdout.strip() == "4,705,866 parameters; (1, 3, 32, 32) -> (1, 10)"


@pytest.mark.long
def test_what_is_not_the_model_is_refused(tmp_path: Path) -> None:
    architecture = around("conv")
    text = to_python(architecture, SHAPE, 7, Notes("a"))
    path = tmp_path / "network.py"
    for old, new, message in (
        ("(kernel_size - 1)", "(kernel_size + 1)", "does not give the logits"),
        ("import torch\n", "import torch\nimport nas\n", "it imports nas"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(ExportError, match=message):
            check_python(path, warmed(architecture), SHAPE)


def test_two_definitions_of_one_name_are_told_apart() -> None:
    found = extract([BLOCKS["conv"].module, BLOCKS["max_pool"].module], reserved=("_check", "Conv"))  # type: ignore[list-item]
    text = "\n".join(found.sources.values())
    assert "class Conv_conv(nn.Module)" in text
    assert "def _check_downsample(" in text
    assert "        _check_downsample(in_shape" in text
    assert "_check(" not in text.replace("_check_downsample(", "")


def test_a_block_that_needs_another_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy.py").write_text(
        "import numpy as np\nfrom torch import nn\n\n\nclass Needy(nn.Module):\n"
        "    def forward(self, x):\n        return x * np.pi\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import importlib

    module = importlib.import_module("needy")
    with pytest.raises(ExportError, match="needy: uses the package 'numpy'"):
        extract([module.Needy])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
@example("\ud800")
@example("nul\x00")
@example("\u202egnp.exe")
@example('"""\nopen("ran", "w")\n"""')
@example("'); open('ran', 'w') #")
@example("a\\")
def test_any_name_of_a_class_is_text_in_the_file(name: str) -> None:
    text = to_python(around("conv"), SHAPE, 7, Notes(f"network of {name}", [f"fact {name}"], class_names=[name, "b"]))
    tree = ast.parse(text.encode().decode())
    [classes] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CLASSES"
    ]
    assert classes == (name, "b")
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "open" not in called
