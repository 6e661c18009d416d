"""What `import nas` gives: documented, typed, and quick to import."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nas

ROOT = Path(__file__).resolve().parents[1]


def _page() -> str:
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.page())


def test_the_page_of_the_api_is_what_the_docstrings_say() -> None:
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == _page(), "run: python docs/make_api.py"


def test_what_is_exported_is_there_and_documented() -> None:
    page = _page()
    for name in nas.__all__:
        assert len(inspect.getdoc(getattr(nas, name)) or "") > 20, name
        assert f"nas.{name}" in page
        assert name in dir(nas)
    with pytest.raises(AttributeError, match="module 'nas' has no attribute 'serch'"):
        _ = nas.serch  # type: ignore[attr-defined]
    assert (ROOT / "nas" / "py.typed").exists()


def test_importing_nas_imports_nothing_heavy() -> None:
    code = "import sys, nas; nas.NasError; print([name for name in ('torch', 'ray', 'pandas', 'optuna') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


def test_no_docstring_begins_in_the_middle_of_a_sentence() -> None:
    """``Of one trial.`` tells a reader nothing without the line above it."""
    found = [
        f"{path.relative_to(ROOT)}: {start[0]}"
        for top in ("nas", "blocks")
        for path in sorted((ROOT / top).rglob("*.py"))
        for start in re.finditer(r'"""(?:Of|By) [^\n]*', path.read_text(encoding="utf-8"))
    ]
    assert not found, found
