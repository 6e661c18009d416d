"""docs/tour.md, typed as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def _listings(language: str) -> list[str]:
    text = (REPOSITORY / "docs" / "tour.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_newcomer_gets_from_nothing_to_an_exported_model(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(REPOSITORY / "docs")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("NAS_STORAGE", None)

    def typed(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    said = {line: typed("bash", "-c", line) for listing in _listings("console") for line in listing.splitlines()}
    assert len(said) > 15
    check = next(text for line, text in said.items() if "--check" in line)
    assert check.count("reproduced") >= 3
    prediction = next(text for line, text in said.items() if "predict" in line)
    assert "%" in prediction
    for name in ("kong.png", "report.html", "difference.svg", "front.png", "network.py", "network.safetensors"):
        assert (tmp_path / name).stat().st_size > 1000, name
    assert "(1, 1, 16, 16) -> (1, 10)" in said["python network.py"]
    (listing,) = _listings("python")
    front = typed(sys.executable, "-c", listing)
    assert "accuracy" in front
